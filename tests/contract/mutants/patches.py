"""How a mutant is written: a function that changes one request, or one answer, or goes its own way.

    @answer("getUpload", 200)       gets each answer of these, and returns another (also the request, if it takes two)
    @request("startUpload")         gets each request of these, and returns another
    @behaviour                      gets a request and the way on to the mock, and answers

Without an operation they get all. The first line of the docstring says what is broken.
"""

import inspect
from collections.abc import Callable
from typing import Any, Final

from tests.contract.mutants.proxy import Ask, Defect, Reply, Way

DEFECTS: Final[dict[str, Defect]] = {}
Answering = Callable[..., Reply]
Asking = Callable[[Ask], Ask]


def behaviour(function: Defect) -> Defect:
    """Register a mutant that needs more than one request or answer."""
    DEFECTS[function.__name__] = function
    return function


def answer(operation: str | None = None, status: int | None = None) -> Callable[[Answering], Answering]:
    """Register a mutant that changes answers of an operation and a status."""

    def register(function: Answering) -> Answering:
        takes_request = len(inspect.signature(function).parameters) > 1

        async def defect(ask: Ask, way: Way) -> Reply:
            reply = await way.on(ask)
            if (operation and ask.operation != operation) or (status and reply.status != status):
                return reply
            return function(reply, ask) if takes_request else function(reply)

        return _registered(defect, function)

    return register


def request(operation: str | None = None) -> Callable[[Asking], Asking]:
    """Register a mutant that changes requests of an operation."""

    def register(function: Asking) -> Asking:
        async def defect(ask: Ask, way: Way) -> Reply:
            return await way.on(ask if operation and ask.operation != operation else function(ask))

        return _registered(defect, function)

    return register


def _registered(defect: Defect, function: Any) -> Any:
    defect.__name__, defect.__doc__ = function.__name__, function.__doc__
    DEFECTS[function.__name__] = defect
    return function
