"""Run a Python program so that it cannot outlive the test process that started it.

    python watched.py SCRIPT.py [ARGUMENT ...]      python watched.py -m MODULE [ARGUMENT ...]

The parent holds the other end of standard input and never writes to it: end of file there means that the parent is
gone, however it died, and this process leaves at once. Works wherever pipes do; imports nothing beyond the library.
"""

import os
import runpy
import sys
import threading


def _leave_with_the_parent() -> None:
    while os.read(0, 1024):  # not sys.stdin, whose lock would hang the interpreter's end
        pass
    os._exit(130)


def main() -> None:
    threading.Thread(target=_leave_with_the_parent, daemon=True).start()
    if sys.argv[1] == "-m":
        sys.argv = sys.argv[2:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = sys.argv[1:]
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
