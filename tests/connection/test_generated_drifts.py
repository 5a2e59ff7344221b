"""Generated functions with a client of connect(): an answer that they cannot read is an error of this package."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from generated_walk import generated_modules, operation_id
from loopback import TOKEN, Loopback, answer

from cavatica_upload.api import Api
from cavatica_upload.errors import UnexpectedAnswer

DOCUMENT: dict[str, Any] = yaml.safe_load((Path(__file__).resolve().parents[2] / "openapi.yaml").read_text())
OTHERS: tuple[Any, ...] = (None, [], 7, "text", {"x": {}}, ["text"], True, -1.5)


def good_answer(name: str) -> tuple[int, Any]:
    """The status and body of an operation's success in the document."""
    for item in DOCUMENT["paths"].values():
        for definition in item.values():
            if isinstance(definition, dict) and definition.get("operationId") == name:
                status, success = next(
                    (status, one) for status, one in definition["responses"].items() if status.startswith("2")
                )
                content = success.get("content", {}).get("application/json", {})
                example = next(iter(content.get("examples", {}).values()), {})
                if "$ref" in example:
                    example = DOCUMENT["components"]["examples"][example["$ref"].rpartition("/")[2]]
                return int(status), example.get("value")
    raise KeyError(name)


def damaged(value: Any) -> Iterator[tuple[str | None, Any]]:
    """Yield the answer with each value in it removed (with its key) or replaced by another."""
    for other in OTHERS:
        yield None, other
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, {name: other for name, other in value.items() if name != key}
            for missing, broken in damaged(inner):
                yield missing, {**value, key: broken}
    elif isinstance(value, list) and value:
        for missing, broken in damaged(value[0]):
            yield missing, [broken, *value[1:]]


def arguments(module: ModuleType, body: Any) -> dict[str, object]:
    """Values for all arguments of a generated function."""
    required = {
        parameter.name
        for parameter in inspect.signature(module.sync_detailed).parameters.values()
        if parameter.default is parameter.empty and parameter.name != "client"
    }
    return {name: SimpleNamespace(to_dict=lambda: body) if name == "body" else "7" for name in required}


def replies(good: Any) -> Iterator[tuple[str | None, int, Any]]:
    """Yield status and body of many answers, and the key that is missing."""
    for status in (200, 201, 202, 206, 226):
        yield None, status, good
    for status in (200, 204):
        yield None, status, b""
    yield None, 200, b"done"
    yield None, 200, b"[" * 100_000
    for missing, body in damaged(good):
        yield missing, 200, body


@pytest.mark.parametrize("module", list(generated_modules()), ids=operation_id)
@pytest.mark.parametrize("way", ["sync", "asyncio"])
def test_no_raw_errors(
    module: ModuleType, way: str, serve: Callable[..., Loopback], client_of: Callable[..., Api]
) -> None:
    """With any answer a generated function returns, or raises UnexpectedAnswer with the operation, a missing key and
    the start of the answer.
    """
    _, good = good_answer(operation_id(module))
    wanted = [] if good is None else list(replies(good))
    served = serve(*(answer(status, body) for _, status, body in wanted), answer(200, good))
    values = arguments(module, good)
    named = 0

    async def call(client: Api) -> object:
        return await module.asyncio_detailed(client=client, **values)

    async def every() -> None:
        nonlocal named
        async with client_of(served, attempts=1) as client:
            for missing, _, _ in wanted:
                try:
                    done = module.sync_detailed(client=client, **values) if way == "sync" else await call(client)
                except UnexpectedAnswer as error:
                    problem = error
                else:
                    assert done.status_code  # type: ignore[attr-defined]
                    continue
                assert problem.operation == operation_id(module)
                assert " failed: the server answered" in problem.message
                assert TOKEN not in str(problem)
                assert missing is None or missing in problem.message
                named += missing is not None

    asyncio.run(every())
    assert bool(named) == any(missing is not None for missing, _, _ in wanted)
    assert len(served.requests) == len(wanted)
