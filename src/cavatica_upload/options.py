"""The keyword arguments of the Python interface, for type checkers and for `help()`."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, TypedDict, TypeVar

import attrs

from cavatica_client import AuthenticatedClient
from cavatica_upload.events import Listener
from cavatica_upload.request import DigestName, IfChanged
from cavatica_upload.timing import Timing

Function = TypeVar("Function", bound=Callable[..., Any])


class UploadOptions(TypedDict, total=False):
    """The keyword arguments of `Uploader.upload()`: the fields of UploadRequest, and `if_exists`."""

    name: str | None
    part_size: int | None
    digest: DigestName | None
    md5: str | None
    expect_size: int | None
    expect_md5: str | None
    allow_empty: bool
    changed: IfChanged
    resume_id: str | None
    wait: bool
    metadata: Mapping[str, str]
    tags: Sequence[str]
    key: str


class UploaderOptions(TypedDict, total=False):
    """The keyword arguments of Uploader."""

    token: str | None
    endpoint: str | None
    profile: str | None
    client: AuthenticatedClient | None
    jobs: int | None
    bwlimit: float | None
    verify: bool
    state_dir: str | os.PathLike[str] | None
    listeners: Sequence[Listener]
    share: float
    part_deadline: float | None
    file_deadline: float | None
    retry_for: float
    stop_within: float
    executor: Executor | None
    expected_rate: float | None
    allow_http: bool
    timing: Timing | None


class Options(UploaderOptions, UploadOptions, total=False):
    """All options of `upload()`, and `if_exists`."""


def with_options_of(*takers: Callable[..., Any]) -> Callable[[Function], Function]:
    """Show in a function's signature the keyword arguments that it passes on to `takers`."""

    def show(function: Function) -> Function:
        shown = {
            name: parameter
            for name, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        }
        for taker in takers:
            for name, parameter in inspect.signature(taker).parameters.items():
                if parameter.kind is parameter.KEYWORD_ONLY and name not in (*shown, "context"):
                    default = {} if parameter.default is attrs.NOTHING else parameter.default
                    shown[name] = parameter.replace(default=default)
        signature = inspect.signature(function).replace(parameters=list(shown.values()))
        function.__signature__ = signature  # type: ignore[attr-defined]
        return function

    return show
