"""The machinery under `Uploader`: one pool of threads over all files, from the start of an upload to its receipt.

The life of one upload: `opening` (finds the one that was begun, or has `starting` start one; `resume` decides what is
kept), `puts` (parts to storage), `finishing` (completes, proves, leaves the receipt). `engine` deals these out to
threads; `transfer` is the state of one upload, `run` that of one call of the uploader. Rules without threads, clocks or
sockets: `checkpoints`, `circuit`, `concurrency`, `tries`.
"""
