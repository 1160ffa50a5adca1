#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Random SUB, UNSUB and PUB on many connections, each delivery judged by what
the protocol promises (tests/soak/judge.py); in peace, and while workers stand
still or die.  JUDGE_SECONDS is the time of each run, NATSD_TEST_SEED what it
is made of."""

import os
import random
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"),
                os.path.join(HERE, "..", "soak")]
from natsdtest import *  # noqa: E402,F403
import soak  # noqa: E402

suite = Suite("judge")
SECONDS = float(os.environ.get("JUDGE_SECONDS", "5"))
SEED = os.environ.get("NATSD_TEST_SEED", str(random.randrange(1 << 30)))


def run(env, **kwargs):
    lines = []
    one = soak.Soak(seed="%s/%d" % (SEED, env.workers), workers=env.workers,
                    seconds=SECONDS, say=lines.append, **kwargs)
    fine = one.main()
    if not fine:
        print("\n".join("    " + line for line in lines))
    check(fine, "%s", one.verdict)
    done = one.play.judge.account
    print("    %d messages, %d deliveries, %d deaths" % (
        done["messages"], done["delivered"], len(one.log.deaths)))
    check(done["delivered"] > 100, "hardly anything was delivered")


@suite.scenario("every delivery is one that is due", reference=False)
def peace(env):
    run(env, chaos=False, epoch=2)


@suite.scenario("the same while workers stand still", workers=(2,),
                reference=False)
def sleep(env):
    run(env, chaos=("freeze", "slow", "burst"), epoch=2.5, pace=0.4)


@suite.scenario("the same while workers die", workers=(2, 4),
                reference=False)
def war(env):
    run(env, chaos=("kill", "freeze", "reload", "rotate"), epoch=3, pace=0.7)


@suite.scenario("a reader for whom little was due may not be cut off",
                workers=(2,), reference=False)
def cut_off(env):
    one = soak.Soak(seed="%s/cut" % SEED, workers=2, seconds=SECONDS,
                    chaos=("burst",), epoch=2.5, pace=0.4, keep=False,
                    say=lambda text: None, conf={"max_pending": "1MB"})
    check(not one.main(), "nothing was found amiss")
    check("Slow Consumer" in one.verdict, "%s", one.verdict)


if __name__ == "__main__":
    print("seed %s (NATSD_TEST_SEED)" % SEED)
    sys.exit(suite.main())
