"""HTTP for the API and for storage: connections, bodies, backoff, and descriptions of failures."""
