"""What a run would do: checked and counted, with nothing sent."""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import attrs

from cavatica_upload.api import Api
from cavatica_upload.batch.files import STDIN, Batch, Item
from cavatica_upload.batch.folders import FolderTree
from cavatica_upload.batch.metadata import FILES_PER_CALL
from cavatica_upload.cli.batch_run import BatchOptions, find_uploaded
from cavatica_upload.cli.exit_codes import Exit
from cavatica_upload.cli.format import count_text, size_text, time_text
from cavatica_upload.cli.output import Output
from cavatica_upload.cli.upload_run import RunOptions
from cavatica_upload.destination import Destination
from cavatica_upload.errors import CavaticaError
from cavatica_upload.journal.journal import Journal, state_dir
from cavatica_upload.journal.records import Entry
from cavatica_upload.plan import Plan, part_size_for
from cavatica_upload.receipt_index import ReceiptIndex
from cavatica_upload.sources.remote import RemoteFile, is_url

WINDOW_CALLS = 1000
WINDOW_SECONDS = 300
PARTS_PER_REPORT = 32
MOST_ROWS = 40


@attrs.frozen
class PlannedFile:
    """What would become of a file: `state` is new, resume, changed, there, skip, overwrite, rename or taken."""

    item: Item
    target: str
    size: int | None
    part_size: int
    parts: int
    state: str
    resumed_parts: int = 0

    @property
    def calls(self) -> int:
        """The API calls it needs: one a part, two for start and completion, and now and then a report of many parts."""
        if self.state in ("there", "skip", "taken"):
            return 0
        left = self.parts - self.resumed_parts
        return left + 2 + (left - 1) // PARTS_PER_REPORT if left else 2

    @property
    def sends(self) -> bool:
        """Whether bytes would go up."""
        return self.state not in ("there", "skip", "taken")


def least_seconds(calls: int, share: float = 1.0) -> float:
    """Return the seconds that `calls` need at least: 1000 immediately, and 1000 more every five minutes.

    docs.cavatica.org, API rate limit.
    """
    return max(0, calls - 1) // max(1, int(WINDOW_CALLS * share)) * float(WINDOW_SECONDS)


class DryRun:
    """Looks at each file of a batch and says what a run would do with it."""

    def __init__(self, batch: Batch, about: BatchOptions, options: RunOptions, output: Output, api: Api) -> None:
        self._batch = batch
        self._about = about
        self._options = options
        self._output = output
        self._api = api
        target = about.target
        self._tree = FolderTree(api, target.destination, [target.path(folder) for folder in batch.folders])
        self._receipt_index = ReceiptIndex(state_dir() / "receipts", api.endpoint)
        self._problems: list[str] = []

    def __call__(self) -> Exit:
        """Check, print the plan, and return the exit code."""
        destination = self._about.target.destination
        if destination.project is not None:
            self._api.get_project(destination.project)
        else:
            self._api.get_file(str(destination.parent))
        planned = list(self._planned())
        missing = [folder for folder in self._folders() if self._tree.find(folder) is None]
        self._show(planned, missing)
        return Exit.USAGE if self._problems else Exit.DONE

    def _folders(self) -> list[str]:
        target = self._about.target
        own = list(accumulate(filter(None, target.folder.split("/")), "{}/{}".format))
        return own + [target.path(folder) for folder in self._batch.folders]

    def _planned(self) -> Iterator[PlannedFile]:
        journal = Journal(state_dir())
        try:
            for item in self._batch.items:
                try:
                    yield self._plan(item, journal)
                except CavaticaError as error:
                    self._problems.append(f"{item.label}: {error.message}")
        finally:
            journal.close()

    def _plan(self, item: Item, journal: Journal) -> PlannedFile:
        size = RemoteFile(item.source).size if is_url(item.source) else item.size
        part_size = part_size_for(size, self._about.part_size)
        parts = Plan(size, part_size).count if size is not None else 0
        folder = self._tree.find(self._about.target.path(item.folder))
        target = "/".join(part for part in (str(self._about.target), item.target) if part)
        state, resumed = "new", 0
        if folder is not None:
            state = self._state(item, folder)
            for entry in journal.find(self._api.endpoint, folder, item.name) if state == "new" else ():
                if _same(entry, item):
                    done = sum(1 for _ in journal.parts(entry))
                    state, resumed, part_size = "resume", done, entry.part_size
                    parts = Plan(entry.identity.size, part_size).count
                    break
                state = "changed"
            if state == "changed" and not self._options.yes:
                self._problems.append(
                    f"{item.label} changed since its upload was begun; --yes aborts that and uploads it anew."
                )
        return PlannedFile(item, target, size, part_size, parts, state, resumed)

    def _state(self, item: Item, folder: Destination) -> str:
        if find_uploaded(self._receipt_index, self._tree, self._about, item, folder):
            return "there"
        path = self._about.target.path(item.folder)
        names = self._tree.names(path) if len(self._batch.items) > 1 else None
        taken = item.name in names if names is not None else self._api.find_file(folder, item.name) is not None
        if not taken:
            return "new"
        if self._about.if_exists == "fail":
            self._problems.append(
                f"{item.label}: the name {item.name} is taken at {self._about.target.path(item.folder) or folder}; "
                "use --if-exists skip, overwrite or rename."
            )
            return "taken"
        return self._about.if_exists

    def _show(self, planned: list[PlannedFile], missing: list[str]) -> None:
        calls = sum(file.calls for file in planned) + 2 * len(missing)
        edits = sum(any(self._about.describes(file.item)) for file in planned)
        calls += -(-edits // FILES_PER_CALL)
        share = self._about.shard.fraction if self._about.shard else 1.0
        totals = {
            "files": len(planned),
            "to_send": sum(file.sends for file in planned),
            "bytes": sum(file.size or 0 for file in planned if file.sends),
            "parts": sum(file.parts for file in planned if file.sends),
            "resumed_parts": sum(file.resumed_parts for file in planned),
            "folders_to_make": len(missing),
            "api_calls": calls,
            "least_seconds": least_seconds(calls, share),
            "problems": [*(file.reason for file in self._batch.bad), *self._problems],
            "exit_code": int(Exit.USAGE if self._problems else Exit.DONE),
        }
        if self._output.as_json:
            for file in planned:
                self._output.record(_record(file, *self._about.describes(file.item)))
            self._output.record({"event": "plan", **totals})
        else:
            self._print(planned, missing, totals)
        for problem in self._problems:
            self._output.problem(problem)

    def _print(self, planned: list[PlannedFile], missing: list[str], totals: Mapping[str, Any]) -> None:
        rows = planned if self._output.verbose else planned[:MOST_ROWS]
        for file in rows:
            size = size_text(file.size) if file.size is not None else "?"
            parts = count_text(file.parts, "part") if file.parts else "? parts"
            note = {"new": "", "resume": f"  (resumes: {file.resumed_parts} parts uploaded already)"}
            self._output.result(
                f"{size:>9}  {parts:>12}  {file.item.label} -> {file.target}"
                + note.get(file.state, f"  ({_WORDS.get(file.state, file.state)})")
            )
            described = _description(*self._about.describes(file.item))
            if described:
                self._output.result(f"{'':>25}{described}")
        if len(planned) > len(rows):
            self._output.result(f"… and {len(planned) - len(rows):,} more files (--verbose shows all)")
        self._output.result(
            f"{totals['to_send']:,} of {count_text(len(planned), 'file')} to send: {size_text(totals['bytes'])} "
            f"in {count_text(totals['parts'], 'part')}"
            + (f", of which {totals['resumed_parts']:,} are uploaded already" if totals["resumed_parts"] else "")
            + (f"; {count_text(len(missing), 'folder')} to create" if missing else "")
            + "."
        )
        least = totals["least_seconds"]
        if totals["to_send"]:
            self._output.result(
                f"About {count_text(totals['api_calls'], 'API call')}; "
                + (
                    f"because of the rate limit this takes at least {time_text(least)}."
                    if least
                    else "the rate limit will not slow this down."
                )
            )
        self._output.say("Dry run: nothing was uploaded.")


_WORDS: Mapping[str, str] = {
    "there": "already uploaded by an earlier run, unchanged",
    "skip": "name taken: would be skipped",
    "overwrite": "name taken: would be replaced",
    "rename": "name taken: would get another",
    "taken": "name taken",
    "changed": "changed since its upload was begun",
}


def _same(entry: Entry, item: Item) -> bool:
    """Whether an unfinished upload is of the file as it is now."""
    if item.source == STDIN:
        return False
    if is_url(item.source):
        return entry.identity == RemoteFile(item.source).identity
    return (entry.identity.size, entry.identity.mtime_ns) == (item.size, Path(item.source).stat().st_mtime_ns)


def _description(metadata: Mapping[str, str], tags: tuple[str, ...]) -> str:
    """Write the metadata and tags of a file in one line."""
    parts = [f"{key}={value}" for key, value in metadata.items()] + ([f"tags: {', '.join(tags)}"] if tags else [])
    return "; ".join(parts)


def _record(file: PlannedFile, metadata: Mapping[str, str], tags: tuple[str, ...]) -> dict[str, Any]:
    return {
        "event": "planned",
        "file": file.item.label,
        "target": file.target,
        "size": file.size,
        "part_size": file.part_size,
        "parts": file.parts,
        "resumed_parts": file.resumed_parts,
        "state": file.state,
        "api_calls": file.calls,
        "metadata": dict(metadata),
        "tags": list(tags),
    }
