"""`docs/events.md` has all events and keys that `--json` prints."""

import re
from pathlib import Path
from typing import Any

import attrs
import pytest
from cli_machine import PROJECT, Machine

from cavatica_mock import Fault
from cavatica_upload import events
from cavatica_upload.cli.messages import record
from cavatica_upload.destination import Destination

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/events.md"
TO = ("--project", PROJECT)
ALWAYS = {"event", "time"}
SOMETIMES = {"operation"}  # of an error


def documented() -> dict[str, list[set[str]]]:
    """The keys of each event, once for each row of the document that has it."""
    rows: dict[str, list[set[str]]] = {}
    for name, keys in re.findall(r"^\| `(\w+)` \| ((?:`\w+` ?)+)\|", DOCUMENT.read_text(), flags=re.MULTILINE):
        rows.setdefault(name, []).append(set(re.findall(r"\w+", keys)))
    return rows


def keys_of(event: dict[str, Any]) -> set[str]:
    keys = event.keys() - ALWAYS
    return keys - SOMETIMES if event["event"] == "error" else keys


def test_what_commands_print_is_documented(machine: Machine) -> None:
    """Every printed object has exactly the keys of its row."""
    machine.file("a.bam", bytes(300))
    machine.file("b.bam", b"old")
    machine.file("manifest.csv", b"x.bam,1\n")
    seen = []
    begun = machine.mock
    begun.faults.add(Fault("completeUpload", "status", status=400, code=8000))
    commands = [
        ("upload", "a.bam", *TO, "--part-size", "100"),
        ("uploads", "list"),
        ("upload", "a.bam", "b.bam", *TO, "--part-size", "100"),
        ("upload", "a.bam", *TO, "--dry-run"),
        ("upload", "a.bam", *TO, "--metadata", "a=b"),
        ("upload", "b.bam", *TO, "--name", "a.bam", "--if-exists", "skip"),
        ("upload", "b.bam", *TO, "--name", "a.bam"),
        ("upload", "--manifest", "manifest.csv", *TO),
        ("receipts",),
        ("doctor", *TO),
        ("uploads", "abort", "0" * 64),
    ]
    for command in commands:
        seen += machine.call(*command, "--json").events
    place = next(event["receipt"] for event in seen if event["event"] == "receipt")
    seen += machine.call("verify", place, "a.bam", "--json").events
    from cavatica_upload import connect

    api = connect(machine.mock.token, machine.mock.base_url)
    upload = api.start_upload(Destination(project=PROJECT), "c.bam", 100).upload_id
    api.close()
    seen += machine.call("uploads", "show", upload, "--json").events
    seen += machine.call("uploads", "list", "--json").events
    table = documented()
    for event in seen:
        assert keys_of(event) in table[event["event"]], event
    missing = table.keys() - {event["event"] for event in seen}
    assert missing <= {
        "progress",
        "part_retried",
        "retrying",
        "rate_limit_wait",
        "outage",
        "notice",
        "drift",
        "parts_reported",
    }


PLAIN = [kind for kind in events.Event.__args__ if kind not in (events.UploadCompleted, events.UploadFailed)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.__name__)
def test_every_event_is_documented(kind: type) -> None:
    """All event classes are documented field by field, including those of a failing server."""
    values: dict[str, Any] = {field.name: 1 for field in attrs.fields(kind)}
    if kind is events.BytesSent:
        return  # printed as progress, summed up
    found = record(kind(**values))
    assert keys_of(found) in documented()[found["event"]]
