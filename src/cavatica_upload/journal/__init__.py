"""What a run needs to resume an unfinished upload, in an SQLite database that survives kill -9."""
