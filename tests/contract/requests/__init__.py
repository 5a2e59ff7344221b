"""Requests that no generator sends: odd paths, doubled keys, broken HTTP, tampered signatures.

Each claim is a function with the sentence that it proves as its docstring. `raw` has what they share.
"""

from tests.contract.requests import authorization, bodies, headers, lists, paths, storage

MODULES = (paths, bodies, headers, authorization, storage, lists)
CLAIMS = [claim for module in MODULES for claim in module.CLAIMS]
