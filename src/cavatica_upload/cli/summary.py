"""The result of a run: counts, failed files with the reasons, and the command that resumes."""

import re
from collections.abc import Sequence
from typing import Any

import attrs
import click

from cavatica_upload.cli.messages import (
    Exit,
    error_record,
    exit_of,
    exit_of_run,
    hint_of,
    is_resumable,
    message_of,
    time_text,
)
from cavatica_upload.cli.output import Output, command_line, visible
from cavatica_upload.cli.progress import Meter
from cavatica_upload.plan import count_text, plural, size_text

MOST_ROWS = 50
_SIGNED = re.compile(r"://\S*\?")
_WIDEST_NAME = 48


@attrs.frozen
class Failure:
    """A failed file and its error; `file_id` is set if it is uploaded and only its metadata could not be set."""

    file: str
    error: BaseException
    file_id: str | None = None

    @property
    def message(self) -> str:
        message = message_of(self.error)
        return f"Uploaded as {self.file_id}, but without its metadata: {message}" if self.file_id else message

    @property
    def hint(self) -> str | None:
        if self.file_id:
            return "Run the same command again: it sets the metadata, and sends no file twice."
        return hint_of(self.error)


@attrs.define
class Tally:
    """Counts the files of a run by their outcome. `size` is the bytes of the `done` files, which this run uploaded.

    `there` are files that an earlier run uploaded, `skipped` files whose name is taken, `different` those of them that
    are another file. `described` got metadata.
    """

    files: int
    done: int = 0
    there: int = 0
    skipped: int = 0
    different: int = 0
    size: int = 0
    unverified: int = 0
    failures: list[Failure] = attrs.field(factory=list)
    described: int = 0
    stopped: bool = False

    def fail(self, file: str, error: BaseException, file_id: str | None = None) -> None:
        """Count a failure; an interrupted file is none. `file_id`: only the metadata of the file could not be set."""
        if file_id is None and exit_of(error) is Exit.INTERRUPTED:
            self.stopped = True
        else:
            self.failures.append(Failure(file, error, file_id))

    @property
    def finished(self) -> int:
        """The number of files that need nothing more."""
        return self.done + self.there + self.skipped - self.without_metadata

    @property
    def without_metadata(self) -> int:
        """The number of uploaded files whose metadata could not be set."""
        return sum(failure.file_id is not None for failure in self.failures)

    @property
    def interrupted(self) -> int:
        """The number of files that a stop left unfinished."""
        return max(0, self.files - self.finished - len(self.failures)) if self.stopped else 0

    @property
    def code(self) -> Exit:
        codes = [exit_of(failure.error) for failure in self.failures]
        return exit_of_run(self.finished, [*codes, Exit.INTERRUPTED] if self.interrupted else codes)


def typed() -> list[str]:
    """Return the words of the command line, as they were typed."""
    return list(click.get_current_context().find_root().obj or ())


def show(output: Output, tally: Tally, meter: Meter, seconds: float, resume: Sequence[str] | None) -> None:
    """Write the end of a run to standard error, and with --json as the last line of standard output.

    `resume` are the words of the command that resumes, None if there is none.
    """
    unfinished = tally.interrupted or any(failure.file_id or is_resumable(failure.error) for failure in tally.failures)
    command = command_line(resume) if resume is not None and unfinished else None
    if output.as_json:
        signed = command is not None and _SIGNED.search(command)  # the query of a URL may be a key
        output.event("run_finished", **_record(tally, meter, seconds, None if signed else command))
    if tally.done or tally.finished or len(tally.failures) > 1:
        output.say(_counts(tally, meter, seconds))
    _show_failures(output, tally.failures)
    if tally.interrupted:
        text = f"Interrupted: {tally.finished:,} of {count_text(tally.files, 'file')} finished"
        if resume is None:
            text += ". Standard input has to be sent again from its beginning"
        elif meter.kept_parts:
            kept = f"{count_text(meter.kept_parts, 'part')} ({size_text(meter.kept_bytes)})"
            text += f"; {kept} of unfinished files {plural(meter.kept_parts, 'is', 'are')} kept on the server"
        output.problem(f"{text}.")
    if command:
        output.hint(f"To resume: {command}")


def _counts(tally: Tally, meter: Meter, seconds: float) -> str:
    text = "Nothing was uploaded"
    if tally.done:
        of = f" of {tally.files:,}" if tally.done < tally.files else ""
        text = f"Uploaded {tally.done:,}{of} {plural(tally.files, 'file', 'files')}"
        text += f", {size_text(tally.size)} in {time_text(seconds)}"
        text += f" ({size_text(meter.sent / seconds)}/s)" if meter.sent and seconds > 0 else ""
    others = {
        "not verified, see the receipts": tally.unverified,
        "already there": tally.there,
        "skipped": tally.skipped - tally.different,
        "skipped although different": tally.different,
        plural(tally.without_metadata, "without its metadata", "without their metadata"): tally.without_metadata,
        "failed": len(tally.failures) - tally.without_metadata,
    }
    text += "".join(f"; {count:,} {what}" for what, count in others.items() if count)
    if tally.described:
        text += f"; metadata set on {count_text(tally.described, 'file')}"
    return f"{text}."


def _show_failures(output: Output, failures: Sequence[Failure]) -> None:
    if len(failures) == 1:
        (failure,) = failures
        name = "" if failure.file in failure.message else f"{failure.file}: "
        output.problem(name + failure.message, failure.hint)
    elif failures:
        rows = failures[:MOST_ROWS]
        width = min(_WIDEST_NAME, max(len(visible(failure.file)) for failure in rows))
        alike = len({failure.message for failure in failures}) == 1
        output.problem(f"{count_text(len(failures), 'file')} failed:{f' {rows[0].message}' if alike else ''}")
        for failure in rows:
            message = "" if alike else failure.message.removeprefix(f"{failure.file} ")
            output.hint(f"  {visible(failure.file):<{width}}  {message}".rstrip())
        if len(failures) > len(rows):
            output.hint(f"  … and {len(failures) - len(rows):,} more; --json or --log-file has them all")
        for hint in dict.fromkeys(failure.hint for failure in failures if failure.hint):
            output.hint(hint)


def _record(tally: Tally, meter: Meter, seconds: float, resume: str | None) -> dict[str, Any]:
    return {
        "files": tally.files,
        "uploaded": tally.done,
        "already_there": tally.there,
        "skipped": tally.skipped,
        "skipped_different": tally.different,
        "failed": len(tally.failures),
        "described": tally.described,
        "interrupted": tally.interrupted,
        "bytes": tally.size,
        "bytes_sent": meter.sent,
        "kept_parts": meter.kept_parts,
        "kept_bytes": meter.kept_bytes,
        "seconds": round(seconds, 3),
        "exit_code": int(tally.code),
        "resume": resume,
        "failures": [
            {"file": failure.file, "error": error_record(failure.error) | {"message": failure.message}}
            for failure in tally.failures
        ],
    }
