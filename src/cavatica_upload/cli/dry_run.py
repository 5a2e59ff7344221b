"""`cavatica upload --dry-run`: says what a run would do with each file, and sends nothing."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import attrs

from cavatica_upload.api import Api
from cavatica_upload.batch.files import Batch, Item
from cavatica_upload.batch.placement import FILES_PER_CALL, Placement
from cavatica_upload.cli.messages import Exit, sentence, time_text
from cavatica_upload.cli.output import Output
from cavatica_upload.cli.unfinished import open_journal
from cavatica_upload.disk import Identity, identity_of, state_dir
from cavatica_upload.errors import CavaticaError, reason_of
from cavatica_upload.journal.journal import Journal
from cavatica_upload.plan import CALLS_PER_SECOND, Plan, calls_for, count_text, least_seconds, part_size_for, size_text
from cavatica_upload.request import UploadRequest
from cavatica_upload.sources import is_url
from cavatica_upload.uploader import UploaderOptions

MOST_ROWS = 40
_NOTES: Mapping[str, str] = {
    "new": "",
    "resume": "  (resumes: {} already uploaded)",
    "there": "  (already uploaded by an earlier run, unchanged)",
    "skip": "  (name taken: would be skipped)",
    "overwrite": "  (name taken: would be replaced)",
    "rename": "  (name taken: would get another)",
    "taken": "  (name taken)",
    "changed": "  (changed since its upload started)",
}


@attrs.frozen
class PlannedFile:
    """What a run would do with a file; `state` is a key of `_NOTES`, `size` is None if it is not known."""

    request: UploadRequest
    size: int | None
    part_size: int
    state: str
    resumed_parts: int

    @property
    def parts(self) -> int:
        """The number of parts, 0 if it is not known."""
        return 0 if self.size is None else Plan(self.size, self.part_size).count

    @property
    def sends(self) -> bool:
        return self.state not in ("there", "skip", "taken")

    @property
    def calls(self) -> int:
        return calls_for(self.parts - self.resumed_parts) if self.sends else 0

    @property
    def target(self) -> str:
        return f"{self.request.target}/{self.request.name}"

    @property
    def problem(self) -> str | None:
        """Why its upload would fail, in a sentence; None if nothing is known."""
        request = self.request
        if self.state == "taken":
            place = request.folder or request.destination
            return (
                f"{request.key}: the name {request.name} is taken at {place}; "
                "use --if-exists skip, overwrite or rename."
            )
        if self.state == "changed" and request.changed == "refuse":
            return f"{request.key} changed since its upload started; --yes aborts that upload and starts a new one."
        return None

    def record(self) -> dict[str, Any]:
        """Return it as --json shows it."""
        return {
            "event": "planned",
            "file": self.request.key,
            "target": self.target,
            "size": self.size,
            "part_size": self.part_size,
            "parts": self.parts,
            "resumed_parts": self.resumed_parts,
            "state": self.state,
            "api_calls": self.calls,
            "metadata": dict(self.request.metadata),
            "tags": list(self.request.tags),
        }

    def lines(self) -> list[str]:
        """Return it as people read it."""
        size = size_text(self.size) if self.size is not None else "?"
        parts = count_text(self.parts, "part") if self.parts else "? parts"
        note = _NOTES[self.state].format(count_text(self.resumed_parts, "part"))
        fields = [f"{key}={value}" for key, value in self.request.metadata.items()]
        fields += [f"tags: {', '.join(self.request.tags)}"] if self.request.tags else []
        line = f"{size:>9}  {parts:>12}  {self.request.key} -> {self.target}{note}"
        return [line, f"{'':>25}{'; '.join(fields)}"] if fields else [line]


def dry_run(api: Api, batch: Batch, common: UploadRequest, options: UploaderOptions, output: Output) -> Exit:
    """Print what a run would do with each file of a batch, and return the exit code."""
    destination, target = common.destination, common.target
    if destination.project is not None:
        api.get_project(destination.project)
    else:
        api.get_file(str(destination.parent))
    share, rate = options["share"], _expected_rate(options, output)
    planned: list[PlannedFile] = []
    problems: list[str] = []
    with open_journal(output) as journal:
        placement = Placement(api, state_dir() / "receipts", lambda event: output.say(sentence(event)))
        part_size = functools.partial(part_size_for, rate=rate, calls_per_second=CALLS_PER_SECOND * share)
        for item in batch.items:
            try:
                planned.append(_plan(item.request(common), placement, journal, api.endpoint, part_size))
            except (CavaticaError, OSError) as error:
                problems.append(f"{item.label}: {reason_of(error)}")
            else:
                problems += filter(None, [planned[-1].problem])
    above = accumulate(filter(None, target.folder.split("/")), "{}/{}".format)
    folders = [*above, *(target.path(folder) for folder in batch.folders)]
    missing = sum(placement.tree(destination).find(path) is None for path in folders)
    sent = [file for file in planned if file.sends]
    described = sum(bool(file.request.metadata or file.request.tags) for file in planned)
    calls = sum(file.calls for file in planned) + 2 * missing + math.ceil(described / FILES_PER_CALL)
    left = sum(max(0, (file.size or 0) - file.resumed_parts * file.part_size) for file in sent)
    code = Exit.USAGE if problems else Exit.DONE
    totals = {
        "files": len(planned),
        "to_send": len(sent),
        "bytes": sum(file.size or 0 for file in sent),
        "parts": sum(file.parts for file in sent),
        "resumed_parts": sum(file.resumed_parts for file in planned),
        "folders_to_make": missing,
        "api_calls": calls,
        "least_seconds": least_seconds(calls, share),
        "expected_rate": rate,
        "bytes_seconds": left / rate if rate else None,
        "problems": [*(file.reason for file in batch.bad), *problems],
        "exit_code": int(code),
    }
    if output.as_json:
        for file in planned:
            output.record(file.record())
        output.record({"event": "plan", **totals})
    else:
        _print(output, planned, totals)
    for problem in problems:
        output.problem(problem)
    return code


def _expected_rate(options: UploaderOptions, output: Output) -> float | None:
    """Return the expected bytes per second of this machine or of all workers together; None if it is not known."""
    executor, rate = options["executor"], options["expected_rate"]
    if executor is None or rate is not None:
        return rate
    from cavatica_upload.engine.workers import Workers

    workers = Workers(executor, output.warn, patience=float("inf"))
    workers.look()
    return workers.expected_rate


def _plan(
    request: UploadRequest, placement: Placement, journal: Journal, endpoint: str, part_size_for: Callable[..., int]
) -> PlannedFile:
    """Return the plan for one file, as the uploader would make it. Raises OSError and the errors of API and source."""
    item: Item = request.context
    identity = _identity(item)
    size = None if identity is None else identity.size
    request.check_size(size)
    state, resumed, part_size = "new", 0, part_size_for(size, request.part_size)
    folder = placement.tree(request.destination).find(request.folder)
    if folder is None:
        pass
    elif placement.receipt_of(request, folder, item.size):
        state = "there"
    elif folder.find(item.name) is not None:
        state = "taken" if request.if_exists == "fail" else request.if_exists
    elif identity is not None:  # by the rules of engine/open.py
        for entry in journal.find(endpoint, folder.destination, item.name):
            if entry.abandoned:
                continue
            if entry.identity.may_be_same_as(identity):
                state, resumed, part_size = "resume", len(journal.parts(entry)), entry.part_size
                break
            if entry.identity.path == identity.path:
                state = "changed"
    return PlannedFile(request, size, part_size, state, resumed)


def _identity(item: Item) -> Identity | None:
    """Return the identity of a file, None for a stream."""
    if is_url(item.source):
        from cavatica_upload.sources.remote import RemoteFile

        return RemoteFile(item.source).identity
    return None if item.size is None else identity_of(item.source)


def _print(output: Output, planned: Sequence[PlannedFile], totals: Mapping[str, Any]) -> None:
    rows = planned if output.verbose else planned[:MOST_ROWS]
    for file in rows:
        for line in file.lines():
            output.result(line)
    if len(planned) > len(rows):
        output.result(f"… and {count_text(len(planned) - len(rows), 'more file')} (--verbose shows all)")
    resumed, folders = totals["resumed_parts"], totals["folders_to_make"]
    unsized = sum(file.sends and file.size is None for file in planned)
    output.result(
        f"{totals['to_send']:,} of {count_text(len(planned), 'file')} to send: {size_text(totals['bytes'])} "
        f"in {count_text(totals['parts'], 'part')}"
        + (f", {resumed:,} of them already uploaded" if resumed else "")
        + (f"; {count_text(unsized, 'file')} of unknown size" if unsized else "")
        + (f"; {count_text(folders, 'folder')} to create" if folders else "")
        + "."
    )
    if totals["to_send"]:
        least = totals["least_seconds"]
        slow = f"with the rate limit, they take at least {time_text(least)}"
        text = slow if least else "the rate limit will not slow this down"
        output.result(f"About {count_text(totals['api_calls'], 'API call')}; {text}.")
        if (by_bytes := totals["bytes_seconds"]) is not None:
            text = f"At {size_text(totals['expected_rate'])}/s the bytes take {time_text(by_bytes)}"
            larger = "; a larger --part-size needs fewer" if totals["parts"] > totals["to_send"] else ""
            output.result(f"{text}: API calls, not bytes, are the limit{larger}." if least > by_bytes else f"{text}.")
    output.say("Dry run: nothing was uploaded.")
