"""Claims about requests that no generator sends. Importing the package registers them, in this order."""

from tests.contract.requests import paths, bodies, headers, storage, lists  # noqa: I001

__all__ = ["bodies", "headers", "lists", "paths", "storage"]
