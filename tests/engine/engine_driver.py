"""Uploads files, each in a process of its own that may be killed.

`python engine_driver.py ENDPOINT TOKEN STATE` reads lines `PART_SIZE BYTES_PER_SECOND JOBS FILE`. For each it forks a
process that uploads, and prints `pid NUMBER`; when that has ended, `ended STATUS` (negative: killed by that signal).
Importing the package once and forking makes a process a matter of milliseconds; it is no less real.
"""

import os
import signal
import sys

from cavatica_upload import CavaticaError, Interrupted, Uploader


def upload(endpoint: str, token: str, state: str, file: str, part_size: int, rate: float, jobs: int) -> int:
    """Upload one file; Ctrl-C (SIGINT) stops it, a second one immediately."""
    with Uploader(token=token, endpoint=endpoint, state_dir=state, jobs=jobs, bwlimit=rate or None) as uploader:
        wishes = iter((False, True, True, True))
        signal.signal(signal.SIGINT, lambda *_: uploader.cancel(at_once=next(wishes)))
        try:
            uploader.upload(file, "me/study", part_size=part_size)
        except Interrupted as error:
            print(f"interrupted {error.message} {error.hint}", flush=True)
            return 130
        except CavaticaError as error:
            print(f"failed {type(error).__name__}: {error.message}", flush=True)
            return 1
    return 0


def main() -> None:
    endpoint, token, state = sys.argv[1:4]
    for line in sys.stdin:
        part_size, rate, jobs, file = line.rstrip("\n").split(" ", 3)
        child = os.fork()
        if child == 0:
            status = 70
            try:
                status = upload(endpoint, token, state, file, int(part_size), float(rate), int(jobs))
            finally:
                sys.stdout.flush()
                os._exit(status)
        print(f"pid {child}", flush=True)
        _, ended = os.waitpid(child, 0)
        print(f"ended {os.waitstatus_to_exitcode(ended)}", flush=True)


if __name__ == "__main__":
    main()
