"""`cavatica uploads`, `receipts`, `verify`, `doctor` and `completion`, as their users call them."""

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cli_machine import PROJECT, Machine

from cavatica_mock import Fault, MockServer
from cavatica_upload import connect
from cavatica_upload.api import Api
from cavatica_upload.destination import Destination

TO = ("--project", PROJECT)


@pytest.fixture
def api(mock: MockServer) -> Iterator[Api]:
    """A connection of the same user from another machine."""
    with connect(mock.token, mock.base_url) as client:
        yield client


def test_an_upload_of_another_machine_is_listed_shown_and_finished_here(machine: Machine, api: Api) -> None:
    """An upload of another machine is listed, shown and resumed: only parts that the server lacks are sent."""
    content = b"A" * 100 + b"B" * 50
    machine.file("a.bam", content)
    begun = api.start_upload(Destination(project=PROJECT), "a.bam", size=150, part_size=100)
    machine.mock.faults.add(Fault("completeUpload", "status", status=503, code=8000))
    listed = machine.run("uploads", "list")
    assert listed.code == 0
    assert listed.out.split("\t")[0] == begun.upload_id
    assert "not started here" in listed.out
    shown = machine.call("uploads", "show", begun.upload_id, "--json").event("upload")
    assert (shown["name"], shown["part_size"], shown["begun_here"]) == ("a.bam", 100, False)
    assert machine.call("uploads", "resume", begun.upload_id).code == 2
    ended = machine.run("uploads", "resume", begun.upload_id, "a.bam")
    assert ended.code == 0
    assert machine.remote() == {"a.bam": content}
    assert machine.call("uploads", "list", "--json").out == ""


@pytest.mark.parametrize(
    ("size", "code", "said"),
    [
        (50, 5, "Give the file whose upload was started"),
        (250, 5, "Give the file whose upload was started"),
        (400, 1, "This upload has the part numbers 1 to 3."),
    ],
)
def test_resume_of_an_id_with_another_file(machine: Machine, size: int, code: int, said: str) -> None:
    """If the server does not take the parts of a wrong file, the upload stays open, and is resumed where it began."""
    right = machine.file("a.bam", bytes(range(100)) * 3).read_bytes()
    machine.file("b.bam", bytes(size))
    words = ("upload", "a.bam", *TO, "--part-size", "100", "--retry-for", "0s")
    machine.mock.faults.add(Fault("putPart", "no_etag", times=None))
    assert machine.call(*words).code == 4
    machine.mock.faults.clear()
    (begun,) = [upload["upload_id"] for upload in machine.mock.uploads()]
    refused = machine.call("uploads", "resume", begun, "b.bam", env={"CAVATICA_STATE_DIR": "other"})
    assert (refused.code, said in refused.err) == (code, True)
    assert ([upload["upload_id"] for upload in machine.mock.uploads()], machine.remote()) == ([begun], {})
    assert machine.call(*words).code == 0
    assert machine.remote() == {"a.bam": right}


def test_resume_of_an_id_with_a_file_that_was_cut(machine: Machine) -> None:
    """A file with fewer parts than the server has is refused before anything is sent."""
    content = bytes(range(100)) * 4
    machine.file("a.bam", content)
    begun = machine.leave_open("upload", "a.bam", *TO, "--part-size", "100", part=4)
    machine.file("a.bam", content[:150])
    sent = machine.mock.calls["putPart"]
    refused = machine.call("uploads", "resume", begun, "a.bam", env={"CAVATICA_STATE_DIR": "other"})
    assert (refused.code, f"The parts of upload {begun} are not those of a.bam." in refused.err) == (5, True)
    assert machine.mock.calls["putPart"] == sent


def test_resume_completes_uploads_of_this_machine(machine: Machine) -> None:
    """Resume without an ID completes every unfinished upload of this machine."""
    machine.file("a.bam", bytes(300))
    machine.leave_open("upload", "a.bam", *TO, "--part-size", "100", part=3)
    mine = machine.call("uploads", "list", "--mine")
    assert "2 of 3 parts sent from" in mine.out
    ended = machine.call("uploads", "resume")
    assert (ended.code, machine.remote()) == (0, {"a.bam": bytes(300)})
    assert "Resuming 1 upload." in ended.err


def test_uploads_are_aborted_by_id_and_by_age(machine: Machine, api: Api) -> None:
    """Abort takes IDs and an age, needs --yes for an age without a terminal, keeps younger uploads, and reports unknown
    IDs.
    """
    ids = [api.start_upload(Destination(project=PROJECT), f"{n}.bam", size=1).upload_id for n in range(3)]
    assert machine.call("uploads", "abort").code == 2
    assert machine.call("uploads", "abort", ids[0]).out == f"{ids[0]}\taborted\n"
    gone = machine.run("uploads", "abort", ids[0])
    assert (gone.code, "no unfinished upload" in gone.err) == (1, True)
    assert machine.call("uploads", "abort", "--older-than", "1h", "--yes").code == 0
    assert len(machine.mock.uploads()) == 2
    refused = machine.call("uploads", "abort", "--older-than", "0s")
    assert (refused.code, "--yes" in refused.err, len(machine.mock.uploads())) == (2, True, 2)
    assert machine.call("uploads", "abort", "--older-than", "0s", "--mine", "--yes").code == 0
    assert len(machine.mock.uploads()) == 2
    assert machine.call("uploads", "abort", "--older-than", "0s", "--yes").code == 0
    assert machine.mock.uploads() == []


def test_what_abort_of_ids_would_do(machine: Machine, api: Api) -> None:
    """A dry run lists the uploads with the IDs, once each, and reports those that are gone, as abort itself does."""
    there, gone = (api.start_upload(Destination(project=PROJECT), f"{n}.bam", size=1).upload_id for n in range(2))
    api.abort_upload(gone)
    ended = machine.call("uploads", "abort", there, gone, there, "--dry-run", "--json")
    assert (ended.code, ended.event("upload")["upload_id"], ended.event("error")["kind"]) == (1, there, "UploadGone")
    assert "Dry run: 1 upload would be aborted." in ended.err
    assert len(machine.mock.uploads()) == 1
    alone = machine.call("uploads", "abort", there, there, "--dry-run")
    assert (alone.code, alone.err.count(there)) == (0, 1)
    ended = machine.call("uploads", "abort", there, there)
    assert (ended.code, ended.out, ended.err) == (0, f"{there}\taborted\n", "")
    nothing = machine.call("uploads", "abort", there, "--dry-run")
    assert (nothing.code, "There is nothing to abort." in nothing.err) == (1, True)


def test_receipts_are_kept_listed_and_verified(machine: Machine) -> None:
    """Verify compares a file with its receipt offline; a file that differs gives exit code 5 and the numbers of the
    parts.
    """
    machine.file("d/a.bam", bytes(250))
    machine.file("d/b.bam", b"b")
    done = machine.call("upload", "d", "-r", *TO, "--part-size", "100", "--receipt", "kept/", "-q")
    assert done.code == 0
    receipt = machine.home / "kept/d/a.bam.receipt.json"
    assert json.loads(receipt.read_text())["name"] == "a.bam"
    listed = machine.run("receipts", "a.bam")
    assert [line.split("\t")[3] for line in listed.out.splitlines()] == ["verified"]
    assert len(machine.call("receipts", "--json").events) == 2
    offline = {"SB_API_ENDPOINT": "http://127.0.0.1:1/v2"}
    assert machine.call("verify", "kept/d/a.bam.receipt.json", "d/a.bam", env=offline).code == 0
    machine.file("d/a.bam", bytes(150) + b"!" + bytes(99))
    changed = machine.run("verify", "kept/d/a.bam.receipt.json", "d/a.bam", "--json", env=offline)
    assert (changed.code, changed.event("verified")["wrong_parts"]) == (5, [2])
    assert "1 of 3 parts" in changed.err
    assert machine.call("verify", "kept/d/a.bam.receipt.json", "none").code == 2
    assert machine.call("upload", "d", "-r", *TO, "--receipt", "one.json").code == 2


def test_doctor_finds_all_well_and_leaves_nothing_behind(machine: Machine) -> None:
    """Doctor tests storage with one byte, and leaves no file and no upload."""
    ended = machine.run("doctor", *TO, "--json")
    assert ended.code == 0
    grades = {event["check"]: event["grade"] for event in ended.events}
    assert grades.pop("MD5") in ("ok", "note")  # a note where there was no C compiler
    checks = ["program", "state", "token", "proxy", "TLS", "API", "clock", "project", "storage"]
    assert grades == dict.fromkeys(checks, "ok")
    assert machine.mock.calls["putPart"] == 1
    assert machine.mock.files() == []
    assert machine.mock.uploads() == []


@pytest.mark.parametrize("words", [("doctor",), ("upload", "a.bam", "--dry-run", *TO), ("uploads", "list")])
def test_a_damaged_journal_is_reported_by_each_command(machine: Machine, words: tuple[str, ...]) -> None:
    """A command that only reads also reports a damaged journal when it sets the journal aside."""
    machine.file("a.bam")
    machine.file("state/journal.sqlite", b"no database, but a text of some length" * 20)
    ended = machine.call(*words)
    assert ended.code == 0
    assert "was renamed to" in ended.out + ended.err


def test_doctor_notices_a_journal_that_cannot_be_written(machine: Machine) -> None:
    """Doctor finds a journal that can be read but not written."""
    assert machine.call("doctor").code == 0
    with sqlite3.connect(machine.home / "state/journal.sqlite") as database:
        database.execute("CREATE TRIGGER no BEFORE INSERT ON starts BEGIN SELECT RAISE(FAIL, 'no room'); END")
    database.close()
    ended = machine.call("doctor")
    assert ended.code == 3
    assert "cannot be used: no room" in ended.out


@pytest.mark.parametrize(
    ("ahead", "grade", "says"),
    [(30.0, "ok", "agrees"), (-30.0, "ok", "agrees"), (3600.0, "wrong", "behind"), (-3600.0, "wrong", "ahead of")],
)
def test_doctor_notices_a_clock_that_is_wrong(tmp_path: Path, ahead: float, grade: str, says: str) -> None:
    """Doctor reports a clock that is wrong by an hour, with a hint, but not one that is wrong by half a minute."""
    with MockServer(clock=lambda: time.time() + ahead) as mock:
        ended = Machine(mock, tmp_path).call("doctor", "--json")
    (found,) = [event for event in ended.events if event["check"] == "clock"]
    assert (found["grade"], says in found["text"]) == (grade, True)
    assert (found["hint"] is None) == (grade == "ok") == (ended.code == 0)


@pytest.mark.parametrize(
    ("fault", "check", "code"),
    [
        (Fault("getRateLimit", "status", status=401, code=90001, times=None), "API", 3),
        (Fault("getProject", "status", status=404, code=3002, times=None), "project", 3),
        (Fault("putPart", "status", status=403, times=None), "storage", 4),
    ],
)
def test_doctor_says_what_is_wrong(machine: Machine, fault: Fault, check: str, code: int) -> None:
    """Doctor exits with the code of the first problem, and has a hint for each."""
    machine.mock.faults.add(fault)
    ended = machine.call("doctor", *TO)
    assert ended.code == code
    assert f"WRONG  {check}" in ended.out
    assert machine.mock.uploads() == []


@pytest.mark.parametrize(
    ("variable", "value", "check", "sentence"),
    [
        ("SSL_CERT_FILE", "/nowhere", "TLS", "SSL_CERT_FILE, /nowhere, cannot be used: no such file or directory."),
        ("SSL_CERT_FILE", "/dev/null", "TLS", "SSL_CERT_FILE, /dev/null, cannot be used: there is no certificate in"),
        ("HTTPS_PROXY", "ftp://here", "proxy", "The kind of proxy for https in the environment is not supported."),
        ("HTTPS_PROXY", "http://", "proxy", "The proxy for https in the environment is not a URL."),
        ("HTTPS_PROXY", "http://[::1", "proxy", "The proxy for https in the environment is not a URL."),
    ],
)
def test_doctor_checks_variables_before_calls(
    machine: Machine, variable: str, value: str, check: str, sentence: str
) -> None:
    """Doctor checks the variables for certificates and proxies before it makes a call."""
    elsewhere = {"SB_API_ENDPOINT": "https://platform.invalid/v2"} if variable == "HTTPS_PROXY" else {}
    ended = machine.run("doctor", *TO, env={variable: value, **elsewhere})
    assert ended.code == 3
    assert f"WRONG  {check}" in ended.out
    assert sentence in ended.out
    assert not machine.mock.calls


def test_upload_says_that_certificates_cannot_be_read(machine: Machine) -> None:
    """A missing SSL_CERT_FILE is reported in a sentence, and is not an internal error."""
    machine.file("a.bam")
    place = {"SSL_CERT_FILE": "/nowhere", "SB_API_ENDPOINT": "https://127.0.0.1:9/v2"}
    ended = machine.run("upload", "a.bam", *TO, env=place)
    assert ended.code == 3
    assert ended.err.startswith("Error: SSL_CERT_FILE, /nowhere, cannot be used: no such file or directory.\n")


def test_completion_and_version(machine: Machine) -> None:
    """The script completes this command, and the version has the version and the hash of the document."""
    assert "_CAVATICA_COMPLETE" in machine.run("completion", "bash").out
    document = (Path(__file__).parents[2] / "openapi.yaml").read_bytes()
    version = machine.call("--version").out
    assert f"contract {yaml.safe_load(document)['info']['version']}" in version
    assert f"sha256:{hashlib.sha256(document).hexdigest()}" in version


def test_a_damaged_receipt_is_a_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A damaged receipt is reported without a traceback."""
    from cavatica_upload.cli import run

    (tmp_path / "r.json").write_text("{}")
    assert run(["verify", str(tmp_path / "r.json"), str(tmp_path / "r.json")]) == 2
    assert "not a receipt" in capfd.readouterr().err
