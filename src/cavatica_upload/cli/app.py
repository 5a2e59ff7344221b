"""The command `cavatica`: its parts, and the one place where exceptions become sentences and exit codes."""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from cavatica_upload import versions
from cavatica_upload.cli.abort import abort
from cavatica_upload.cli.completion import completion
from cavatica_upload.cli.console import Output, drop_output
from cavatica_upload.cli.doctor import doctor
from cavatica_upload.cli.exits import MEANINGS, Exit, exit_of
from cavatica_upload.cli.logfile import close_log, log_text, write_trace
from cavatica_upload.cli.options import Group
from cavatica_upload.cli.receipts import receipts
from cavatica_upload.cli.resume import resume
from cavatica_upload.cli.summary import command_line
from cavatica_upload.cli.upload import upload
from cavatica_upload.cli.uploads import uploads
from cavatica_upload.cli.verify import verify
from cavatica_upload.errors import CavaticaError, UsageError

_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {int(code):>3}  {meaning}" for code, meaning in MEANINGS.items())
_EPILOG += """

\b
Environment:
  SB_AUTH_TOKEN, SB_API_ENDPOINT  the token, and the API it is for
  CAVATICA_STATE_DIR              where journal and receipts are kept
  CAVATICA_MD5                    lanes or hashlib: how MD5s are taken
  HTTPS_PROXY, NO_PROXY           proxies
  SSL_CERT_FILE                   certificate authorities of your network
  NO_COLOR                        no colours
"""


@click.group(
    cls=Group, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(message=versions.BOTH, help="Show the versions of program and contract, and exit.")
def app() -> None:
    """Upload large files to CAVATICA and the Seven Bridges platforms.

    Resumable, verified part by part, and thrifty with API calls. The token is looked for in the environment
    (SB_AUTH_TOKEN) and in ~/.sevenbridges/credentials, where the platform's own tools keep it.
    """


for _command in (upload, uploads, receipts, verify, doctor, completion):
    app.add_command(_command)
for _command in (resume, abort):
    uploads.add_command(_command)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; whatever happens is told in sentences."""
    words = list(sys.argv[1:] if argv is None else argv)
    output = Output(as_json="--json" in words)
    try:
        with _sigterm_interrupts(), _threads_fail_in_sentences(output):
            return _run(output, words)
    except (KeyboardInterrupt, click.Abort):  # anywhere outside an upload, which has its own way to stop
        output.problem("Interrupted.", f"The same command goes on: {command_line(words)}" if words else None)
        return int(Exit.INTERRUPTED)
    finally:
        close_log()


def _run(output: Output, words: list[str]) -> int:
    try:
        result: Any = app.main(args=list(words), prog_name="cavatica", standalone_mode=False, obj=words)
        return result if isinstance(result, int) else int(Exit.DONE)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return int(Exit.USAGE)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "cavatica"
        output.error(UsageError(error.format_message(), f"“{where} --help” shows what there is."))
        return int(Exit.USAGE)
    except click.Abort:
        raise
    except CavaticaError as error:
        log_text(f"{type(error).__name__}: {error.message}")
        output.error(error)
        return int(exit_of(error))
    except BrokenPipeError:
        drop_output()
        return int(Exit.DONE)
    except Exception as error:  # noqa: BLE001  # the last resort: a user is told what to send us, not shown a trace
        return _unexpected(output, error)


def main() -> NoReturn:
    """Be the command `cavatica`."""
    sys.exit(run())


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _threads_fail_in_sentences(output: Output) -> Iterator[None]:
    def told(failure: threading.ExceptHookArgs) -> None:
        if isinstance(failure.exc_value, Exception):
            _unexpected(output, failure.exc_value)

    before = threading.excepthook
    threading.excepthook = told
    try:
        yield
    finally:
        threading.excepthook = before


def _unexpected(output: Output, error: Exception) -> int:
    path = write_trace(error)
    output.problem(
        f"This is a fault of the program ({type(error).__name__}); what was sent is kept, the same command goes on.",
        f"Please report it with the trace in {path}." if path else "The trace could not be written anywhere.",
    )
    return int(Exit.INTERNAL)
