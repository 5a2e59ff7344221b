"""Values in paths cannot make one operation another, for any generated function."""

import asyncio
import inspect
from collections.abc import Callable
from types import ModuleType, SimpleNamespace

import pytest
from generated_walk import generated_modules, operation_id
from hypothesis import given
from hypothesis import strategies as st
from loopback import Loopback, answer, targets

from cavatica_upload.api.client import Api, refuse_unsafe_path
from cavatica_upload.api.operations import recognise
from cavatica_upload.errors import UsageError

MODULES = list(generated_modules())
BAD = ["", ".", "..", "../x", "a/../b", "/", "a/b", "\\", "..\\..", "a\nb", "a\x00b"]


def path_parameters(module: ModuleType) -> list[str]:
    parameters = inspect.signature(module._get_kwargs).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]


def required_others(module: ModuleType) -> dict[str, object]:
    parameters = inspect.signature(module._get_kwargs).parameters.values()
    return {
        parameter.name: SimpleNamespace(to_dict=dict)
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    }


CASES = [(module, name) for module in MODULES for name in path_parameters(module)]


def test_all_generated_functions_are_walked() -> None:
    """The walk finds all operations, most of them with values in their paths."""
    assert len(MODULES) >= 17
    assert len(CASES) >= 12


@pytest.mark.parametrize(("module", "name"), CASES, ids=lambda case: getattr(case, "__name__", case).rpartition(".")[2])
def test_refused_before_sending(
    module: ModuleType, name: str, serve: Callable[..., Loopback], client_of: Callable[..., Api]
) -> None:
    """Every generated function refuses bad values in its path before anything is sent."""
    server = serve(answer(200, {}))
    client = client_of(server)
    for bad in BAD:
        values = dict.fromkeys(path_parameters(module), "7") | {name: bad}
        with pytest.raises(UsageError, match="nothing was sent"):
            module.sync_detailed(client=client, **values, **required_others(module))

        async def call(values: dict[str, str] = values) -> None:
            async with client:
                await module.asyncio_detailed(client=client, **values, **required_others(module))

        with pytest.raises(UsageError, match="nothing was sent"):
            asyncio.run(call())
    assert server.requests == []


@given(value=st.text(min_size=1, max_size=20), module=st.sampled_from(MODULES))
def test_what_passes_is_the_same_operation(value: str, module: ModuleType) -> None:
    """Any value is refused, or leads to the path of the same operation."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return
    request = module._get_kwargs(**dict.fromkeys(path_parameters(module), value), **required_others(module))
    try:
        refuse_unsafe_path(request["url"])
    except UsageError:
        return
    assert recognise(request["method"], request["url"]).name == operation_id(module)


@pytest.mark.parametrize("value", ["..a", "a..", "...", "a b", "a%2Fb", "ü", "a?b#c", "~", "%2e%2e"])
def test_odd_but_harmless(value: str, serve: Callable[..., Loopback], client_of: Callable[..., Api]) -> None:
    """Dots in a name, spaces, quotes and question marks are quoted and sent."""
    server = serve(answer(200, {"url": "https://storage.example/x"}))
    from cavatica_client.api.files import get_download_info

    get_download_info.sync(value, client=client_of(server))
    assert recognise("GET", targets(server.requests)[0].removeprefix("GET /v2")).name == "getDownloadInfo"


def test_unsendable_text(client_of: Callable[..., Api], serve: Callable[..., Loopback]) -> None:
    """A file name that is not valid Unicode and a very long ID are refused with a sentence."""
    from cavatica_client.api.files import get_file
    from cavatica_client.api.uploads import start_upload
    from cavatica_client.models import StartUploadRequest

    client = client_of(serve(answer(200, {})))
    with pytest.raises(UsageError, match="cannot be sent"):
        start_upload.sync(client=client, body=StartUploadRequest(name="bad\udcff.bam"))
    with pytest.raises(UsageError, match="cannot be sent"):
        get_file.sync("a" * 70_000, client=client)
