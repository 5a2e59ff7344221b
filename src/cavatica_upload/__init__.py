"""Multipart upload to CAVATICA and the Seven Bridges platforms: resumable, verified, thrifty with API calls."""
