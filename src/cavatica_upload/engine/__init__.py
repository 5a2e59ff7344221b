"""The machinery under `Uploader`: from the start of an upload to its receipt.

`engine` begins files; each has a thread that follows `file_upload` from top to bottom: `open` (finds the upload that
was begun, or has `start` start one; `proof` decides what is kept), `parts` (one pool of workers for all files, which
run `send_part`), `complete` (completes, proves, writes the receipt). `run` holds the requests of one call of the
uploader. Rules without threads, clocks or sockets: `checkpoints`, `concurrency`, `part_attempts`.
"""
