"""What a run came to: counts, the files that failed and why, and the command that goes on."""

import shlex
import sys
from collections.abc import Sequence
from typing import Any

import attrs

from cavatica_upload.cli.console import Output, count_text, error_record, size_text, time_text, visible
from cavatica_upload.cli.exits import Exit, exit_of, exit_of_run, is_resumable
from cavatica_upload.errors import UploadBusy

MOST_ROWS = 50
_WIDEST_NAME = 48


@attrs.frozen
class Failure:
    """A file that is not as it should be, and why; `before` is said in front of the error's own sentence."""

    file: str
    error: BaseException
    before: str = ""

    @property
    def code(self) -> Exit:
        """The exit code this failure alone would give."""
        return exit_of(self.error)

    @property
    def message(self) -> str:
        """What happened, in one sentence."""
        return self.before + (getattr(self.error, "message", None) or str(self.error) or type(self.error).__name__)

    @property
    def hint(self) -> str | None:
        """What to do, in one sentence."""
        if self.before:
            return "Run the same command again: it sets the metadata, and sends no file twice."
        return getattr(self.error, "hint", None)


@attrs.define
class Tally:
    """Counts of a run; `there` are files that were on the platform before, `skipped` those left alone on request."""

    files: int = 0
    done: int = 0
    there: int = 0
    skipped: int = 0
    size: int = 0
    sent: int = 0
    unverified: int = 0
    failures: list[Failure] = attrs.field(factory=list)
    stopped: bool = False

    def fail(self, file: str, error: BaseException) -> None:
        """Count a failed file; those that were merely interrupted are not worth a row each."""
        if exit_of(error) is Exit.INTERRUPTED:
            self.stopped = True
        else:
            self.failures.append(Failure(file, error))

    @property
    def well(self) -> int:
        """The files that are as they should be."""
        return self.done + self.there + self.skipped

    @property
    def interrupted(self) -> int:
        """The files that were not begun or not finished, in a run that was stopped."""
        return max(0, self.files - self.well - len(self.failures)) if self.stopped else 0

    def fail_metadata(self, file: str, file_id: str, error: BaseException) -> None:
        """Count a file that is there without the metadata it should have."""
        self.failures.append(Failure(file, error, f"It is there as {file_id}, but without its metadata: "))

    @property
    def code(self) -> Exit:
        """The exit code of the run."""
        codes = {failure.code for failure in self.failures}
        return exit_of_run(self.well, codes | {Exit.INTERRUPTED} if self.interrupted else codes)


def command_line(argv: Sequence[str]) -> str:
    """Return the command as it can be typed again; it never holds a token, since no option takes one."""
    return shlex.join(["cavatica", *argv])


def show(output: Output, tally: Tally, seconds: float, again: str | None) -> None:
    """Write the end of a run to standard error, and under --json as the last line of standard output."""
    resume = again if again and (tally.interrupted or any(_goes_on(failure) for failure in tally.failures)) else None
    if output.as_json:
        output.record(_record(tally, seconds, resume))
    if tally.files != 1 or not tally.failures:
        output.say(_counts(tally, seconds))
    _show_failures(output, tally)
    if tally.interrupted:
        output.problem(f"Interrupted, with {count_text(tally.interrupted, 'file')} to go; what was sent is kept.")
    if resume:
        sys.stderr.flush()
        output.hint(f"To go on where this stopped: {resume}")


def _goes_on(failure: Failure) -> bool:
    return is_resumable(failure.code) or isinstance(failure.error, UploadBusy)


def _counts(tally: Tally, seconds: float) -> str:
    text = f"{tally.done:,} of {count_text(tally.files, 'file')} uploaded, {size_text(tally.size)}"
    text += f" in {time_text(seconds)}"
    if tally.sent and seconds > 0:
        text += f" ({size_text(tally.sent / seconds)}/s)"
    if tally.unverified:
        text += f"; {tally.unverified:,} not verified, see the receipts"
    for count, what in ((tally.there, "already there"), (tally.skipped, "skipped"), (len(tally.failures), "failed")):
        if count:
            text += f"; {count:,} {what}"
    return text + "."


def _show_failures(output: Output, tally: Tally) -> None:
    if not tally.failures:
        return
    if len(tally.failures) == 1:
        failure = tally.failures[0]
        name = "" if failure.file in failure.message else f"{visible(failure.file)}: "
        output.problem(name + visible(failure.message), visible(failure.hint) if failure.hint else None)
        return
    output.problem(f"{count_text(len(tally.failures), 'file')} failed:")
    rows = tally.failures[:MOST_ROWS]
    width = min(_WIDEST_NAME, max(len(visible(failure.file)) for failure in rows))
    for failure in rows:
        output.hint(f"  {visible(failure.file):<{width}}  {visible(failure.message)}")
    if len(tally.failures) > len(rows):
        output.hint(f"  … and {len(tally.failures) - len(rows):,} more; --json or --log-file has them all")
    for hint in dict.fromkeys(failure.hint for failure in tally.failures if failure.hint):
        output.hint(visible(hint))


def _record(tally: Tally, seconds: float, resume: str | None) -> dict[str, Any]:
    return {
        "event": "run_finished",
        "files": tally.files,
        "uploaded": tally.done,
        "already_there": tally.there,
        "skipped": tally.skipped,
        "failed": len(tally.failures),
        "interrupted": tally.interrupted,
        "bytes": tally.size,
        "bytes_sent": tally.sent,
        "seconds": round(seconds, 3),
        "exit_code": int(tally.code),
        "resume": resume,
        "failures": [
            {"file": failure.file, "error": error_record(failure.error) | {"message": failure.message}}
            for failure in tally.failures
        ],
    }
