"""`cavatica upload --dry-run`: checks and counts what a run would do, without sending anything."""

import functools
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import attrs

from cavatica_upload.api import Api
from cavatica_upload.batch.files import STDIN, Batch, Item
from cavatica_upload.batch.placement import FILES_PER_CALL, Placement
from cavatica_upload.cli.messages import Exit, count_text, sentence, time_text
from cavatica_upload.cli.output import Output
from cavatica_upload.cli.uploads import open_journal
from cavatica_upload.destination import Destination
from cavatica_upload.disk import state_dir
from cavatica_upload.engine.checkpoints import calls_for
from cavatica_upload.errors import CavaticaError
from cavatica_upload.journal.journal import Journal
from cavatica_upload.journal.records import Entry
from cavatica_upload.plan import CALLS_PER_SECOND, Plan, least_seconds, part_size_for, size_text
from cavatica_upload.request import UploadRequest
from cavatica_upload.sources.remote import RemoteFile, is_url

MOST_ROWS = 40
_STATES: Mapping[str, str] = {
    "there": "already uploaded by an earlier run, unchanged",
    "skip": "name taken: would be skipped",
    "overwrite": "name taken: would be replaced",
    "rename": "name taken: would get another",
    "taken": "name taken",
    "changed": "changed since its upload was begun",
}


@attrs.frozen
class PlannedFile:
    """The plan for one file; `state` is new, resume, or a key of `_STATES`."""

    request: UploadRequest
    size: int | None
    part_size: int
    parts: int
    state: str
    resumed_parts: int = 0

    @property
    def sends(self) -> bool:
        """Whether bytes would be sent."""
        return self.state not in ("there", "skip", "taken")

    @property
    def calls(self) -> int:
        """The API calls it needs."""
        return calls_for(self.parts - self.resumed_parts) if self.sends else 0

    @property
    def bytes_left(self) -> int:
        """The bytes that would be sent; 0 if the size is not known."""
        return max(0, (self.size or 0) - self.resumed_parts * self.part_size)

    @property
    def target(self) -> str:
        """The path on the platform."""
        return f"{self.request.target}/{self.request.name}"

    @property
    def described(self) -> bool:
        """Whether it gets metadata or tags."""
        return bool(self.request.metadata or self.request.tags)

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
        note = {"new": "", "resume": f"  (resumes: {count_text(self.resumed_parts, 'part')} already uploaded)"}
        text = f"{size:>9}  {parts:>12}  {self.request.key} -> {self.target}"
        fields = [f"{key}={value}" for key, value in self.request.metadata.items()]
        fields += [f"tags: {', '.join(self.request.tags)}"] if self.request.tags else []
        described = [f"{'':>25}{'; '.join(fields)}"] if fields else []
        return [text + note.get(self.state, f"  ({_STATES.get(self.state)})"), *described]


def dry_run(api: Api, batch: Batch, common: UploadRequest, output: Output, share: float, rate: float | None) -> Exit:
    """Print what a run would do with each file of a batch, and return the exit code.

    `share` is the share of the API calls; `rate` is the expected bytes per second, None if it is not known.
    """
    destination = common.destination
    if destination.project is not None:
        api.get_project(destination.project)
    else:
        api.get_file(str(destination.parent))
    look = _Look(
        api,
        batch,
        common,
        output,
        functools.partial(part_size_for, rate=rate, calls_per_second=CALLS_PER_SECOND * share),
    )
    planned: list[PlannedFile] = []
    with open_journal(output) as journal:
        for item in batch.items:
            try:
                planned.append(look.plan(item, journal))
            except CavaticaError as error:
                look.problems.append(f"{item.label}: {error.message}")
    _show(output, planned, look.missing_folders(), [file.reason for file in batch.bad], look.problems, share, rate)
    return Exit.USAGE if look.problems else Exit.DONE


class _Look:
    """Checks files on disk, on the platform and in the journal; `problems` has a sentence for each expected failure."""

    def __init__(
        self, api: Api, batch: Batch, common: UploadRequest, output: Output, part_size_for: Callable[..., int]
    ) -> None:
        self._api = api
        self._batch = batch
        self._common = common
        self._part_size_for = part_size_for
        self._placement = Placement(api, state_dir() / "receipts", lambda event: output.say(sentence(event)))
        self._tree = self._placement.tree(common.destination)
        self.problems: list[str] = []

    def missing_folders(self) -> list[str]:
        """Return the folders that would be created."""
        target = self._common.target
        above = accumulate(filter(None, target.folder.split("/")), "{}/{}".format)
        paths = [*above, *(target.path(folder) for folder in self._batch.folders)]
        return [path for path in paths if self._tree.find(path) is None]

    def plan(self, item: Item, journal: Journal) -> PlannedFile:
        """Return the plan for one file."""
        request = item.request(self._common)
        size = RemoteFile(item.source).size if is_url(item.source) else item.size
        part_size = self._part_size_for(size, request.part_size)
        folder = self._tree.find(request.folder)
        state = "new" if folder is None else self._state(item, request, folder)
        if folder is not None and state == "new":
            for entry in journal.find(self._api.endpoint, folder, item.name):
                if _same(entry, item):
                    parts = Plan(entry.identity.size, entry.part_size).count
                    return PlannedFile(request, size, entry.part_size, parts, "resume", len(journal.parts(entry)))
                state = "changed"
        if state == "changed" and request.changed == "refuse":
            self.problems.append(
                f"{item.label} changed since its upload was begun; --yes aborts that and uploads it anew."
            )
        return PlannedFile(request, size, part_size, Plan(size, part_size).count if size is not None else 0, state)

    def _state(self, item: Item, request: UploadRequest, folder: Destination) -> str:
        if self._placement.receipt_of(request, folder, item.size):
            return "there"
        if self._tree.entry(request.folder, item.name) is None:
            return "new"
        if request.if_exists == "fail":
            self.problems.append(
                f"{item.label}: the name {item.name} is taken at {request.folder or folder}; "
                "use --if-exists skip, overwrite or rename."
            )
            return "taken"
        return request.if_exists


def _show(
    output: Output,
    planned: list[PlannedFile],
    missing: list[str],
    bad: list[str],
    problems: list[str],
    share: float,
    rate: float | None,
) -> None:
    sent = [file for file in planned if file.sends]
    calls = sum(file.calls for file in planned) + 2 * len(missing)
    calls += -(-sum(file.described for file in planned) // FILES_PER_CALL)
    totals = {
        "files": len(planned),
        "to_send": len(sent),
        "bytes": sum(file.size or 0 for file in sent),
        "parts": sum(file.parts for file in sent),
        "resumed_parts": sum(file.resumed_parts for file in planned),
        "folders_to_make": len(missing),
        "api_calls": calls,
        "least_seconds": least_seconds(calls, share),
        "expected_rate": rate,
        "bytes_seconds": sum(file.bytes_left for file in sent) / rate if rate else None,
        "problems": [*bad, *problems],
        "exit_code": int(Exit.USAGE if problems else Exit.DONE),
    }
    if output.as_json:
        for file in planned:
            output.record(file.record())
        output.record({"event": "plan", **totals})
    else:
        _print(output, planned, totals)
    for problem in problems:
        output.problem(problem)


def _print(output: Output, planned: Sequence[PlannedFile], totals: Mapping[str, Any]) -> None:
    rows = planned if output.verbose else planned[:MOST_ROWS]
    for file in rows:
        for line in file.lines():
            output.result(line)
    if len(planned) > len(rows):
        output.result(f"… and {len(planned) - len(rows):,} more files (--verbose shows all)")
    resumed, folders = totals["resumed_parts"], totals["folders_to_make"]
    output.result(
        f"{totals['to_send']:,} of {count_text(len(planned), 'file')} to send: {size_text(totals['bytes'])} "
        f"in {count_text(totals['parts'], 'part')}"
        + (f", {resumed:,} of them already uploaded" if resumed else "")
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


def _same(entry: Entry, item: Item) -> bool:
    """Whether an unfinished upload is of the file as it is now."""
    if item.source == STDIN:
        return False
    if is_url(item.source):
        return entry.identity == RemoteFile(item.source).identity
    return (entry.identity.size, entry.identity.mtime_ns) == (item.size, Path(item.source).stat().st_mtime_ns)
