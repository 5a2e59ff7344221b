"""The keyword arguments of the Python interface: for type checkers, for `help()`, and what they may be."""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, TypedDict, TypeVar, Unpack, cast

import attrs

from cavatica_upload.api import Api
from cavatica_upload.errors import UsageError, check_kind, is_number
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
    client: Api | None
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


_NUMBERS: Mapping[str, tuple[Callable[[float], bool], str]] = {
    "jobs": (lambda number: number in range(1, 65), "between 1 and 64 parts can be in flight."),
    "bwlimit": (lambda number: number > 0, "a limit is more than 0 bytes per second."),
    "expected_rate": (lambda number: number > 0, "a rate is more than 0 bytes per second."),
    "part_deadline": (lambda number: number > 0, "a deadline is more than 0 seconds, or None."),
    "file_deadline": (lambda number: number > 0, "a deadline is more than 0 seconds, or None."),
    "retry_for": (lambda number: number >= 0, "a time is 0 seconds or more."),
    "stop_within": (lambda number: number >= 0, "a time is 0 seconds or more."),
    "share": (lambda number: 0 < number <= 1, "a share of the calls is more than 0, and at most 1."),
}
_NEVER_NONE = ("retry_for", "stop_within", "share")


def check_options(**options: Unpack[UploaderOptions]) -> None:
    """Raise UsageError for an argument of Uploader that cannot be right."""
    for name, (fits, rule) in _NUMBERS.items():
        value = options.get(name)
        if (value is not None or name in _NEVER_NONE) and not (is_number(value) and fits(cast("float", value))):
            raise UsageError(f"{name}={value!r}: {rule}")
    check_kind(bool, "True or False", **{name: options[name] for name in ("verify", "allow_http")})
    check_kind(Api | None, "a client made by connect()", client=options["client"])
    check_kind(Timing | None, "a Timing", timing=options["timing"])
    check_kind(str | os.PathLike | None, "a path", state_dir=(state_dir := options["state_dir"]))
    if "\0" in str(state_dir):
        raise UsageError(f"state_dir={state_dir!r} is not a path.")
    listeners, executor = options["listeners"], options["executor"]
    if not isinstance(listeners, Iterable) or not all(map(callable, listeners)):
        raise UsageError(f"listeners={listeners!r}: a list of functions is needed.")
    if executor is not None and not hasattr(executor, "submit"):
        raise UsageError(f"executor={executor!r}: an Executor as those of concurrent.futures is needed.")


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
                if parameter.kind is parameter.KEYWORD_ONLY and name not in (*shown, "context", "regular"):
                    default = {} if parameter.default is attrs.NOTHING else parameter.default
                    shown[name] = parameter.replace(default=default)
        signature = inspect.signature(function).replace(parameters=list(shown.values()))
        function.__signature__ = signature  # type: ignore[attr-defined]
        return function

    return show
