"""What several commands share: types of values, options in sections, and those for connection and output."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click
from click.core import augment_usage_errors

from cavatica_upload.cli.output import Output, write_line
from cavatica_upload.errors import ConfigError, reason_of

if TYPE_CHECKING:
    from cavatica_upload.api import Api

_Function = TypeVar("_Function", bound=Callable[..., Any])

_SECONDS: Mapping[str, int] = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

PATH = click.Path(readable=False)
"""A path, which shells complete. Whether it can be read is seen when it is read, with a sentence of ours."""
FILE = click.Path(path_type=Path, dir_okay=False, readable=False)  # a path of a file


class Whole(click.IntRange):
    """A whole number from `min` to `max`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is not a whole number from {self._describe_range()}.", param, ctx)

    def _describe_range(self) -> str:
        return f"{self.min:,} to {self.max:,}"  # click writes it as in mathematics


class Size(click.ParamType[int]):
    """A number of bytes, such as `64MiB`; `64M` and `64MB` mean the same: sizes are binary everywhere here."""

    name = "size"

    def __init__(self, *, a_second: bool = False) -> None:
        self._a_second = a_second

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        end = r"(?:/s)?" if self._a_second else ""
        found = re.fullmatch(rf"([0-9]{{1,18}}(?:\.[0-9]+)?)\s*(?:([kmgt])i?)?b?{end}", value.strip().lower())
        size = int(float(found[1]) * 1024 ** " kmgt".index(found[2] or " ")) if found else 0
        if size < 1:
            example = "100MiB" if self._a_second else "64MiB"
            self.fail(f"{value!r} is not a size of at least one byte; write it like {example}.", param, ctx)
        return size


class Span(click.ParamType[float]):
    """A span of time, such as `7d`, in seconds. A number alone is one only if it has a usual `unit`."""

    name = "span"

    def __init__(self, unit: str = "") -> None:
        self._unit = unit

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)\s*([a-z]*)", value.strip().lower())
        seconds = _SECONDS.get(found[2] or self._unit) if found else None
        if not found or seconds is None:
            example = "10s or 2min" if self._unit else "7d, 12h or 30min"
            self.fail(f"{value!r} is not a span of time; write it like {example}.", param, ctx)
        return float(found[1]) * seconds


class Option(click.Option):
    """An option that knows its section of the help page, and the `group` that the command gets its value in."""

    def __init__(self, *args: Any, section: str = "Options", group: str | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self.section = section
        self.group = group


class _Help(click.Command):
    """A command whose help page is written like its results: no error if the reader has ended."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        found = super().get_help_option(ctx)
        if found is not None:
            found.callback = _show_help
        return found

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line; every error of it names this command. No value may be empty, as if by accident."""
        with augment_usage_errors(ctx):
            if isinstance(self, Command):
                self._refuse_empty(ctx, args)
            return super().parse_args(ctx, args)

    def _refuse_empty(self, ctx: click.Context, args: list[str]) -> None:
        options = [param for param in self.params if isinstance(param, click.Option) and not param.is_flag]
        names = {name for param in options for name in param.opts}
        ended = False  # after “--” there is no option
        for before, word in pairwise([ctx.command_path, *args]):
            ended |= before == "--"
            if not word or (not ended and word.startswith("--") and word.find("=") == len(word) - 1):
                of_option = word or (before in names and not ended)
                what = f"The value after {word or before}" if of_option else f"An argument (after {before})"
                raise click.UsageError(f"{what} is empty; a shell variable may be unset.")


def _show_help(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        write_line(ctx.get_help())
        ctx.exit()


class Group(_Help, click.Group):
    """Commands in the order in which they were added."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.commands)


class Command(_Help):
    """A command with the options in sections on its help page.

    It gets the options of a group as one dict, those of the groups `output` and `connection` as objects.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Put the options of each group together, and run the command."""
        values = ctx.params
        for param in self.params:
            if isinstance(param, Option) and param.group is not None:
                values.setdefault(param.group, {})[param.name] = values.pop(str(param.name))
        for group, kind in (("output", Output), ("connection", Connection)):
            if group in values:
                values[group] = kind(**values[group])
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section, in the order in which the sections first occur."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in sorted(self.get_params(ctx), key=lambda param: not isinstance(param, Option)):
            record = param.get_help_record(ctx)
            if record and isinstance(param, click.Option):
                sections.setdefault(getattr(param, "section", "Options"), []).append(record)
        for name, records in sections.items():
            with formatter.section(name):
                formatter.write_dl(records, col_max=28)


def option(*names: str, **more: Any) -> Callable[[_Function], _Function]:
    return click.option(*names, cls=Option, **more)


def stop_option(**more: Any) -> Callable[[_Function], _Function]:
    return option(
        "--stop-within",
        type=Span("s"),
        default="10s",
        metavar="TIME",
        help="After Ctrl-C or SIGTERM, wait this long for the parts in flight, such as 1min. Default: 10s.",
        **more,
    )


@attrs.frozen
class Connection:
    """The endpoint, and where to find the token."""

    endpoint: str | None
    profile: str | None
    token_file: Path | None
    token: str | None = attrs.field(init=False, repr=False)

    @token.default
    def _token(self) -> str | None:
        return None if self.token_file is None else _read_token(self.token_file)

    @contextmanager
    def api(self, output: Output, *, notices: bool = True) -> Iterator["Api"]:
        """Connect to the platform; `notices` are warnings about the token."""
        from cavatica_upload.api.client import connect
        from cavatica_upload.cli.messages import sentence
        from cavatica_upload.events import Event, Notice, Retrying

        def show(event: Event) -> None:
            if isinstance(event, Notice):
                if notices:
                    output.warn(sentence(event))
            elif output.verbose or not isinstance(event, Retrying) or event.attempt > 2:
                output.say(sentence(event))

        for notice in self.token_file_notices if notices else ():
            output.warn(notice)
        with connect(self.token, self.endpoint, profile=self.profile, on_event=show) as api:
            yield api

    @property
    def token_file_notices(self) -> tuple[str, ...]:
        """Warnings, such as that others can read the token file."""
        from cavatica_upload.config import file_notices

        return file_notices(self.token_file) if self.token_file is not None else ()


def connection_options(command: _Function) -> _Function:
    """Add --profile, --token-file and --endpoint to a Command, which gets them as `connection`."""
    add = functools.partial(option, section="Connection", group="connection")
    for decorate in (
        add("--endpoint", metavar="URL", help="Base URL of the API, ending in /v2."),
        add(
            "--token-file",
            type=FILE,
            help="File that holds only the token. There is no --token, because all users can see a command line.",
        ),
        add("--profile", metavar="NAME", help="Section of ~/.sevenbridges/credentials to use."),
        click.option("--token", hidden=True, expose_value=False, callback=_refuse_token),
    ):
        command = decorate(command)
    return command


def _refuse_token(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.UsageError(
            "There is no --token: other users of this machine can see a command line, and your shell keeps it. "
            "Set SB_AUTH_TOKEN, or use --token-file or --profile.",
            ctx,
        )


def _read_token(path: Path) -> str:
    from cavatica_upload.config import read_text

    try:
        text = read_text(path).strip()
    except OSError as error:
        raise ConfigError(f"The token file {path} cannot be read: {reason_of(error)}.", "Check the path.") from error
    except UnicodeDecodeError:
        text = ""
    if not text.isascii() or len(text.split()) != 1:
        raise ConfigError(f"The token file {path} does not hold one token.", "Put the token in it, and nothing else.")
    return text


def output_options(command: _Function) -> _Function:
    """Add --json and --quiet to a Command, which gets them as `output`."""
    add = functools.partial(option, section="Output", group="output")
    quiet = add("--quiet", "-q", is_flag=True, help="Print only errors on standard error.")
    return add("--json", "as_json", is_flag=True, help="Print one JSON object per line on standard output.")(
        quiet(command)
    )


def progress_options(command: _Function) -> _Function:
    """Add what `output_options` adds, --verbose, and --log-file as `log_file`."""
    add = functools.partial(option, section="Output")
    log_file = add(
        "--log-file",
        type=FILE,
        help="Append all events to this file, with times; the token and signed URLs are left out.",
    )
    verbose = add("--verbose", "-v", group="output", is_flag=True, help="Also report each part and each retry.")
    return output_options(verbose(log_file(command)))
