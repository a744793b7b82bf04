#!/usr/bin/env python3
"""Real peers against the real binary, each checked by what the simulated provider delivered.

Usage: run.py PATH-TO-BINARY [WORD…]. Only checks whose names contain a word are run, all without one. Needs root
for the disks and for Postfix; traffic stays on this machine's loopback. Ends with "N passed, N failed" and
exits 0 only when nothing failed.
"""

import os
import sys
import time
import traceback

import chaos
import clients
import disks
import relay
import terminal
import vendors


def main():
    binary, words = os.path.abspath(sys.argv[1]), sys.argv[2:]
    passed = failed = 0
    for name, check in [
        *clients.checks(binary),
        *relay.checks(binary),
        *disks.checks(binary),
        *chaos.checks(binary),
        *terminal.checks(binary),
        *vendors.checks(binary),
    ]:
        if words and not any(word in name for word in words):
            continue
        began = time.monotonic()
        try:
            check()
            passed += 1
            print(f"ok    {name} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL  {name}\n{traceback.format_exc()}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
