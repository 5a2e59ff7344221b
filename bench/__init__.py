"""Side-by-side measurements of upload clients against a storage that only swallows bytes. No timed asserts."""
