"""The resume record: what is open, and which parts storage has, in SQLite; it survives `kill -9`."""
