"""Uploads files, from the start of an upload to its receipt: `engine` starts files, `file_upload` runs each of them."""
