"""The command `cavatica`: its subcommands, and the one place where exceptions become sentences and exit codes."""

import functools
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete, shell_complete

from cavatica_upload.cli.doctor import doctor
from cavatica_upload.cli.messages import MEANINGS, Exit, exit_of
from cavatica_upload.cli.options import Command, Group
from cavatica_upload.cli.output import (
    Output,
    close_log,
    command_line,
    flush_output,
    log_text,
    output_failed,
    write_line,
)
from cavatica_upload.cli.receipts import receipts, verify
from cavatica_upload.cli.signals import SIGNALS
from cavatica_upload.cli.upload import upload
from cavatica_upload.cli.uploads import uploads
from cavatica_upload.errors import CavaticaError, Interrupted, UsageError, is_interruption

_COMPLETE = "_CAVATICA_COMPLETE"
_SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
_EPILOG = "\b\nExit codes:\n" + "\n".join(f"{int(code):>3}  {meaning}" for code, meaning in MEANINGS.items())
_EPILOG += """

\b
Environment:
  SB_AUTH_TOKEN, SB_API_ENDPOINT  the token, and the base URL of the API
  CAVATICA_STATE_DIR              the folder of journal and receipts
  CAVATICA_MD5                    lanes or hashlib: how MD5s are computed
  HTTPS_PROXY, NO_PROXY           proxies
  SSL_CERT_FILE                   certificate authorities of your network
  NO_COLOR                        no colours
"""


def _show_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        import json
        from importlib.resources import files

        from cavatica_upload.http import BOTH_VERSIONS

        contract = json.loads(files("cavatica_upload").joinpath("api", "contract.json").read_text(encoding="utf-8"))
        write_line(f"{BOTH_VERSIONS}\nopenapi.yaml sha256:{contract['sha256']}")
        ctx.exit()


@click.group(
    cls=Group, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the versions of program and contract, and exit.",
)
def app() -> None:
    """Upload large files to CAVATICA and the Seven Bridges platforms.

    Resumes after a crash, verifies every part, stays within the API rate limit. The token is read from the
    environment (SB_AUTH_TOKEN) or from ~/.sevenbridges/credentials, where the platform's own tools keep it.
    """


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(list(_SHELLS)))
def completion(shell: str) -> None:
    """Print a script that completes commands, options and paths.

    \b
    bash:  cavatica completion bash >> ~/.bashrc
    zsh:   cavatica completion zsh >> ~/.zshrc
    fish:  cavatica completion fish > ~/.config/fish/completions/cavatica.fish
    """
    write_line(_SHELLS[shell](app, {}, "cavatica", _COMPLETE).source())


for _command in (upload, uploads, receipts, verify, doctor, completion):
    app.add_command(_command)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. Every error is printed as a sentence."""
    words = list(sys.argv[1:] if argv is None else argv)
    output = Output(as_json="--json" in words)
    hook, threading.excepthook = threading.excepthook, functools.partial(_report_thread, output)
    logger, traces = logging.getLogger(), _Traces(output)
    logger.addHandler(traces)
    with SIGNALS.handled():
        try:
            try:
                code = _call(words, output)
            finally:
                close_log(output)
                flush_output()
        except (KeyboardInterrupt, click.Abort):  # outside of an upload, which stops in its own way
            if output.on_terminal:
                output.hint("")  # after the ^C of the terminal
            output.error(Interrupted("Interrupted."))
            if words:
                output.hint(f"To run it again: {command_line(words)}")
            code = int(Exit.INTERRUPTED)
        finally:
            threading.excepthook = hook
            logger.removeHandler(traces)
    return int(Exit.FAILED) if code == Exit.DONE and output_failed() else code


def _call(words: list[str], output: Output) -> int:
    try:
        if instruction := os.environ.get(_COMPLETE):
            return shell_complete(app, {}, "cavatica", _COMPLETE, instruction)
        # Not app.main(): that answers a broken pipe, Ctrl-C and the end of a file in ways of its own.
        with app.make_context("cavatica", list(words), obj=words) as context:
            result: Any = app.invoke(context)
        return result if isinstance(result, int) else int(Exit.DONE)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.Abort:
        raise
    except BaseException as error:  # the last resort: a sentence instead of a traceback
        if is_interruption(error):
            raise KeyboardInterrupt from error
        return int(_fail(error, output))


def _fail(error: BaseException, output: Output) -> Exit:
    match error:
        case click.exceptions.NoArgsIsHelpError():
            with suppress(OSError):  # a full disk
                click.echo(error.format_message(), err=True)
            return Exit.USAGE
        case click.ClickException():
            context = getattr(error, "ctx", None)
            text = " ".join(error.format_message().split())
            hint = f"See “{context.command_path if context else 'cavatica'} --help”."
            if context and isinstance(error, click.NoSuchOption | click.BadOptionUsage):
                name = error.option_name.lstrip("-")  # a letter of a short one
                words = (word for word in context.find_root().obj if word[:1] == "-" and name in word)
                path = next(filter(os.path.lexists, words), None)
                if path is not None:  # as a pattern of the shell gives it
                    hint = f"For the file {path}, write .{os.sep}{path}. {hint}"
            output.error(UsageError(text if text.endswith((".", "?", ")")) else f"{text}.", hint))
            return Exit.USAGE
        case CavaticaError():
            log_text(f"{type(error).__name__}: {error.message}")
            output.error(error)
            return exit_of(error)
        case _:
            return _unexpected(output, error)


def _report_thread(output: Output, failure: threading.ExceptHookArgs) -> None:
    if isinstance(failure.exc_value, Exception):
        _unexpected(output, failure.exc_value)


class _Traces(logging.Handler):
    """Without a handler, `logging` prints errors as they are; this one keeps the trace of an unexpected one."""

    def __init__(self, output: Output) -> None:
        super().__init__(logging.ERROR)
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        """Report where the trace of an error in an upload is, whose message is printed with the file."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and record.name == "cavatica_upload":
            self._output.problem(*_report(error))


def _unexpected(output: Output, error: BaseException) -> Exit:
    text, hint = _report(error)
    output.problem(text, hint)
    if output.as_json:
        code, kind = int(Exit.INTERNAL), type(error).__name__
        output.record({"event": "error", "kind": kind, "message": text, "hint": hint, "exit_code": code})
    return Exit.INTERNAL


def _report(error: BaseException) -> tuple[str, str]:
    """Write the traceback of an unexpected exception to a new file, and return what happened and what to do."""
    from cavatica_upload.disk import private_folder, state_dir

    text = f"Internal error ({type(error).__name__}). Uploaded parts are kept; run the same command to resume."
    try:
        path = state_dir() / "traces" / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.txt"
        private_folder(path.parent)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    except OSError:
        return text, "The trace could not be written anywhere."
    return text, f"Please report it with the trace in {path}."
