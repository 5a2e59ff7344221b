"""HTTP for the API and for storage: connections, bodies, and descriptions of failures."""
