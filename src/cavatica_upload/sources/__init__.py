"""Where bytes come from: a file on disk, a stream, an object behind a URL."""
