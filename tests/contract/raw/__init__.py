"""Requests that no generator sends: odd paths, doubled keys, broken HTTP, tampered signatures.

Each claim is a function with the sentence that it proves as its docstring. `bench` has what they share.
"""

from tests.contract.raw import bodies, headers, limits, lists, paths, queries, rights, storage

CLAIMS = [
    claim for module in (paths, queries, bodies, headers, rights, storage, lists, limits) for claim in module.CLAIMS
]
