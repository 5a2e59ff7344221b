"""The result of a run: counts, failed files with the reasons, and the command that resumes."""

import re
from collections.abc import Sequence
from pathlib import Path
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
from cavatica_upload.receipt import Receipt
from cavatica_upload.request import UploadRequest

MOST_ROWS = 50
_SIGNED = re.compile(r"://\S*\?")
_WIDEST_NAME = 48


@attrs.frozen
class Failure:
    """A failed file and its error; `file_id` is set if it is uploaded and only `lacks` its metadata or receipt.

    `repeatable`: the same command adds what it lacks. `receipt` is where its receipt is kept.
    """

    file: str
    error: BaseException
    file_id: str | None = None
    lacks: str = "metadata"
    repeatable: bool = True
    receipt: Path | None = None

    @property
    def message(self) -> str:
        message = message_of(self.error)
        return f"Uploaded as {self.file_id}, but without its {self.lacks}: {message}" if self.file_id else message

    @property
    def hint(self) -> str | None:
        if self.file_id is None:
            return hint_of(self.error)
        if self.repeatable:
            return f"Run the same command again: it adds the {self.lacks}, and sends no file twice."
        if self.lacks == "metadata":
            return "Set it on the platform: the same command would send the file again."
        return f"“cavatica receipts” lists its receipt: {self.receipt}" if self.receipt else None

    @property
    def resumable(self) -> bool:
        """Whether the same command, run again, ends what is missing."""
        return self.repeatable if self.file_id else is_resumable(self.error)


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

    def fail(self, file: str, error: BaseException) -> None:
        """Count a failure; an interrupted file is none."""
        if exit_of(error) is Exit.INTERRUPTED:
            self.stopped = True
        else:
            self.failures.append(Failure(file, error))

    def lack(self, what: str, request: UploadRequest, receipt: Receipt, error: BaseException) -> None:
        """Count a file that is uploaded, but without its metadata or receipt."""
        repeatable = request.regular and receipt.path is not None and request.may_be_there
        self.failures.append(Failure(request.key, error, receipt.file_id, what, repeatable, receipt.path))

    @property
    def on_platform(self) -> int:
        """The number of files that are on the platform."""
        return self.done + self.there + self.skipped

    @property
    def incomplete(self) -> int:
        """The number of files that are on the platform and lack something."""
        return len({failure.file_id for failure in self.failures} - {None})

    @property
    def finished(self) -> int:
        """The number of files that need nothing more."""
        return self.on_platform - self.incomplete

    @property
    def failed(self) -> int:
        """The number of files that are not uploaded."""
        return sum(failure.file_id is None for failure in self.failures)

    @property
    def interrupted(self) -> int:
        """The number of files that a stop left unfinished."""
        return max(0, self.files - self.on_platform - self.failed) if self.stopped else 0

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
    unfinished = tally.interrupted or any(failure.resumable for failure in tally.failures)
    command = command_line(resume) if resume is not None and unfinished else None
    if output.as_json:
        signed = command is not None and _SIGNED.search(command)  # the query of a URL may be a key
        output.event("run_finished", **_record(tally, meter, seconds, None if signed else command))
    if tally.done or tally.finished or len(tally.failures) > 1:
        output.say(_counts(tally, meter, seconds))
    _show_failures(output, tally)
    if tally.interrupted:
        text = f"Interrupted: {tally.on_platform:,} of {count_text(tally.files, 'file')} finished"
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
    }
    for lacks, many in (("metadata", "metadata"), ("receipt", "receipts")):
        count = sum(failure.file_id is not None and failure.lacks == lacks for failure in tally.failures)
        others[f"without {plural(count, f'its {lacks}', many)}"] = count
    others["failed"] = tally.failed
    text += "".join(f"; {count:,} {what}" for what, count in others.items() if count)
    if tally.described:
        text += f"; metadata set on {count_text(tally.described, 'file')}"
    return f"{text}."


def _show_failures(output: Output, tally: Tally) -> None:
    failures = tally.failures
    if len(failures) == 1:
        (failure,) = failures
        name = "" if failure.file in failure.message else f"{failure.file}: "
        output.problem(name + failure.message, failure.hint)
    elif failures:
        rows = failures[:MOST_ROWS]
        width = min(_WIDEST_NAME, max(len(visible(failure.file)) for failure in rows))
        alike = len({failure.message for failure in failures}) == 1
        what = plural(tally.incomplete, "is not complete", "are not complete") if not tally.failed else "failed"
        count = count_text(tally.failed + tally.incomplete, "file")
        output.problem(f"{count} {what}:{f' {rows[0].message}' if alike else ''}")
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
