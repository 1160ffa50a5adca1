#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The rude clients of tests/wire/25_fuzz.py, as a process: `go` and `rest` on
its standard input, an answer to each; it ends with its input.

  rude.py PORT SOCKET SEED NUMBER
"""

import importlib.util
import os
import re
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))


def load():
    path = os.path.join(HERE, "..", "wire", "25_fuzz.py")
    spec = importlib.util.spec_from_file_location("fuzz", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fuzz = load()


class Where:
    """What Rude wants of a Server and of the polite ones."""

    stream = b"l.loud"  # LOUD of play.py

    def __init__(self, port, path):
        self.address, self.socket_path = ("127.0.0.1", port), path


class Rude(fuzz.Rude):
    """Keeps away from the subjects of the judge."""

    @staticmethod
    def tame(data):
        data = fuzz.Rude.tame(data)
        return re.sub(rb"(?<![.a-z0-9])\*", b"x", data)


def main():
    where = Where(int(sys.argv[1]), sys.argv[2])
    active, stop = threading.Event(), threading.Event()
    idle = []

    def work(rude):
        while not stop.is_set():
            if not active.is_set():
                for sock in rude.held:
                    sock.close()
                rude.held = []
                idle.append(rude)
                active.wait()
                continue
            try:
                rude.step()
            except OSError:  # natsd may be about to replace a worker
                time.sleep(0.05)
            except BaseException as error:  # a verdict of its own
                print("%r: %s" % (rude, error), file=sys.stderr, flush=True)
                os._exit(1)
    crowd = [Rude(where, sys.argv[3], number, where)
             for number in range(int(sys.argv[4]))]
    for rude in crowd:
        threading.Thread(target=work, args=(rude,), daemon=True).start()
    for line in sys.stdin:
        if line == "go\n":
            idle.clear()
            active.set()
        elif line == "rest\n":
            active.clear()
            while len(set(idle)) < len(crowd):
                time.sleep(0.01)
        print(sum(rude.count for rude in crowd), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
