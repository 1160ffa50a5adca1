#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Random SUB, UNSUB and PUB on many connections, each delivery judged by what
the protocol promises (tests/soak/judge.py); with and without workers that
die."""

import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, os.path.join(HERE, "..", "soak"))
from natsdtest import *  # noqa: E402,F403
import soak  # noqa: E402

suite = Suite("judge")
SECONDS = float(os.environ.get("JUDGE_SECONDS", "6"))
SEED = os.environ.get("NATSD_TEST_SEED", "%d" % (time.time() * 1000 % 1e6))


@suite.scenario("every delivery is one that is due", reference=False)
def peace(env):
    run = soak.Soak(seed="%s/%d" % (SEED, env.workers), workers=env.workers,
                    seconds=SECONDS, chaos=False, epoch=2)
    check(run.main(), "%s", run.verdict)


@suite.scenario("the same while workers die", workers=(2, 4),
                reference=False)
def war(env):
    run = soak.Soak(seed="%s/%d" % (SEED, env.workers), workers=env.workers,
                    seconds=SECONDS, chaos=("kill", "reload", "slow"),
                    epoch=3, pace=0.7)
    check(run.main(), "%s", run.verdict)


if __name__ == "__main__":
    print("seed %s (NATSD_TEST_SEED)" % SEED)
    sys.exit(suite.main())
