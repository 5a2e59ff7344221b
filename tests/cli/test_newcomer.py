"""What a new user sees on a terminal of 80 columns after common mistakes."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_machine import PROJECT, Machine
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from test_terminal import COLOUR, Terminal

from cavatica_mock import Fault
from cavatica_upload.cli.messages import hint_of, message_of
from cavatica_upload.cli.output import table
from cavatica_upload.errors import FileChanged, NotFound, SourceError

TO = ("--project", PROJECT)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
def test_doctor_names_the_token_file_and_says_who_can_read_it(machine: Machine, mode: int) -> None:
    """Doctor notes once that other users can read a token file, with the command that corrects it."""
    place = machine.file("token.txt", machine.mock.token.encode())
    place.chmod(mode)
    ended = machine.call("doctor", "--json", "--token-file", "token.txt", env={"SB_AUTH_TOKEN": ""})
    found = [event for event in ended.events if event["check"] == "token"]
    assert (ended.code, found[0]["text"]) == (0, "found in token.txt")
    assert ["chmod 600 token.txt" in event["text"] for event in found[1:]] == ([True] if mode & 0o077 else [])
    assert "chmod" not in ended.err


def test_upload_warns_of_a_token_file_that_others_can_read(machine: Machine) -> None:
    """Upload warns once of a token file that other users can read, and uploads the file."""
    machine.file("a.bam")
    machine.file("token.txt", machine.mock.token.encode()).chmod(0o644)
    for command in (("upload", "a.bam", *TO), ("uploads", "list")):
        ended = machine.call(*command, "--token-file", "token.txt", env={"SB_AUTH_TOKEN": ""})
        assert ended.code == 0
        assert ended.err.count("Note: Other users of this machine can read or change token.txt (mode 0644).") == 1


def test_doctor_says_once_that_others_can_read_the_credentials(machine: Machine) -> None:
    """Doctor reports readable credentials once, although it also connects."""
    text = f"[default]\nauth_token = {machine.mock.token}\napi_endpoint = {machine.mock.base_url}\n"
    machine.file(".sevenbridges/credentials", text.encode()).chmod(0o666)
    ended = machine.call("doctor", env={"SB_AUTH_TOKEN": "", "SB_API_ENDPOINT": ""})
    assert ended.code == 0
    assert (ended.out + ended.err).count("chmod 600") == 1


def test_doctor_notes_that_the_state_is_not_in_its_usual_folder(machine: Machine) -> None:
    """Without a writable home, doctor says where the receipts are."""
    nowhere = {"HOME": "/dev/null", "CAVATICA_STATE_DIR": "", "XDG_STATE_HOME": "/dev/null/state"}
    ended = machine.run("doctor", "--json", env={**nowhere, "TMPDIR": str(machine.home)})
    (found,) = [event for event in ended.events if event["check"] == "state"]
    assert found["grade"] == "note"
    assert f"journal and receipts are in {machine.home}" in found["text"]


def test_an_unknown_folder_is_reported_in_plain_words(machine: Machine) -> None:
    """An unknown folder is reported without operationIds and regular expressions, and with a hint."""
    machine.file("a.bam")
    for command in (("doctor", "--parent", "nix"), ("upload", "a.bam", "--parent", "nix")):
        ended = machine.call(*command)
        said = ended.out + ended.err
        assert ended.code == 2
        assert "'nix' is not the ID of a folder." in said
        assert "the address of its page" in said
        assert not re.search(r"getFile|startUpload|\^\[", said)


def test_a_file_in_the_place_of_a_folder(machine: Machine) -> None:
    """Every command reports the ID of a file given as a folder, with the exit code of a missing folder."""
    machine.file("a.bam")
    assert machine.call("upload", "a.bam", *TO).code == 0
    (there,) = machine.mock.files()
    for command in (("doctor",), ("upload", "a.bam"), ("upload", "a.bam", "--if-exists", "rename")):
        ended = machine.call(*command, "--parent", there["id"])
        assert ended.code == 3
        assert "Check --parent: it takes the ID of a folder" in ended.out + ended.err
        assert "can be seen" not in ended.out


def test_hints_of_the_command_line_hold_no_python() -> None:
    """Hints of the command line leave out what only a Python program can do."""
    error = FileChanged("a.bam changed.", 'Run it with --yes (changed="restart" in Python): it is uploaded anew.')
    assert hint_of(error) == "Run it with --yes: it is uploaded anew."
    other = SourceError(". is a folder.", "Upload it with --recursive (requests_for() in Python).")
    assert hint_of(other) == "Upload it with --recursive."


def test_regular_expressions_of_the_server_are_not_shown() -> None:
    """A regular expression in an answer of the server is not shown."""
    error = NotFound('Looking up a file failed: the server answered 404. file_id: "x" does not match "^[0-9a-f]{24}$".')
    assert message_of(error) == 'Looking up a file failed: the server answered 404. file_id: "x" has the wrong form.'


def test_plain_http_is_refused_with_advice_that_can_be_followed(machine: Machine) -> None:
    """Plain HTTP is refused without naming an option, since the command has none for it."""
    machine.file("a.bam")
    for words, env in ((("--endpoint", "http://example.com/v2"), {}), ((), {"SB_API_ENDPOINT": "http://example.com"})):
        ended = machine.call("upload", "a.bam", *TO, *words, env=env)
        assert ended.code in (2, 3)
        assert "Use https; http is for a server on this machine." in ended.err


def test_wide_characters_take_two_columns_of_a_table() -> None:
    """Table columns are aligned behind wide characters, such as Japanese ones."""
    rows = (("\u691c\u4f53", "1"), ("abcde", "2"), ("e\u0301", "3"))
    assert [cell_len(line[: line.index(mark)]) for line, mark in zip(table("AB", rows, 80), "B123", strict=True)] == [
        7
    ] * 4


@given(
    rows=st.lists(st.lists(st.text(st.characters(categories=["L", "N"]), max_size=70), min_size=4, max_size=4)),
    width=st.integers(1, 200),
)
def test_tables_fit_the_terminal(rows: list[list[str]], width: int) -> None:
    """No table line is too long, unless it is one cell, and every cell is shown in full below its header."""
    lines = table(("A", "B", "C", "D"), rows, width)
    assert len(lines) % (len(rows) + 1) == 0
    for line in lines:
        assert len(line) <= width or len(line.split()) <= 1
    assert [word for line in lines for word in line.split()] == [
        word for row in [["A", "B", "C", "D"], *rows] for cell in row for word in cell.split()
    ]


@pytest.mark.parametrize("command", [("uploads", "list"), ("receipts",), ("receipts", "--map"), ("doctor", *TO)])
def test_lists_are_readable_at_80_columns(machine: Machine, command: tuple[str, ...]) -> None:
    """An ID of 64 characters is on one line, and only a long path is broken by the terminal."""
    machine.file("sample-1.bam", bytes(300))
    machine.run("upload", "sample-1.bam", *TO)
    machine.file("sample-2.bam", bytes(300))
    machine.mock.faults.add(Fault("putPart", "no_etag", part=3, times=None))
    machine.run("upload", "sample-2.bam", *TO, "--part-size", "100", "--retry-for", "1s")
    (upload,) = machine.mock.uploads()
    machine.mock.faults.clear()
    terminal = Terminal(machine, *command, columns=80)
    assert terminal.close() == 0
    lines = COLOUR.sub("", terminal.seen).replace("\r", "").splitlines()
    assert all(len(line) <= 80 or machine.home.name in line for line in lines), lines  # a path may be of any length
    assert command != ("uploads", "list") or any(line.strip() == upload["upload_id"] for line in lines)


def test_one_part_is_no_plural(machine: Machine) -> None:
    """One part is never called “parts”."""
    machine.file("a.bam", bytes(300))
    upload = machine.leave_open("upload", "a.bam", *TO, "--part-size", "200", part=2)
    plan = machine.run("upload", "a.bam", *TO, "--part-size", "200", "--dry-run")
    assert "(resumes: 1 part already uploaded)" in plan.out
    assert "in 2 parts, 1 of them already uploaded." in plan.out
    assert "the rate limit will not slow this down." in plan.out
    shown = machine.run("uploads", "show", upload).out
    assert re.search(r"^on the server +1 of 2 parts$", shown, re.MULTILINE)
    assert re.search(r"^sent from here +1 of 2 parts$", shown, re.MULTILINE)
    assert "resuming, 1 of 2 parts" in machine.run("upload", "a.bam", *TO, "--part-size", "200").err


@pytest.mark.parametrize("command", ["", "upload", "uploads", "uploads resume", "receipts", "verify", "doctor"])
def test_help_fits_80_columns(machine: Machine, command: str) -> None:
    """No line of a help page is broken by the terminal."""
    terminal = Terminal(machine, *command.split(), "--help", columns=80)
    assert terminal.close() == 0
    assert max(map(len, terminal.seen.replace("\r", "").splitlines())) <= 80


def test_uploads_to_abort_as_json(machine: Machine) -> None:
    """With --json, a dry run of abort prints each upload and aborts none."""
    machine.file("a.bam", bytes(300))
    machine.mock.faults.add(Fault("putPart", "no_etag", part=2, times=None))
    machine.run("upload", "a.bam", *TO, "--part-size", "200", "--retry-for", "1s")
    (upload,) = machine.mock.uploads()
    ended = machine.call("uploads", "abort", "--mine", "--dry-run", "--json")
    assert (ended.code, ended.event("upload")["upload_id"]) == (0, upload["upload_id"])
    assert len(machine.mock.uploads()) == 1


def test_an_unexpected_size_is_said_with_what_to_do(machine: Machine) -> None:
    """An unexpected size is reported with a hint, before anything is sent."""
    machine.file("a.bam", bytes(3))
    ended = machine.call("upload", "a.bam", *TO, "--expect-size", "5")
    assert ended.code == 5
    assert "a.bam has 3 bytes, but 5 were expected." in ended.err
    assert "Nothing was uploaded. Check the file and the expected size." in ended.err
    planned = machine.call("upload", "a.bam", *TO, "--expect-size", "5", "--dry-run")
    assert (planned.code, "a.bam has 3 bytes, but 5 were expected." in planned.err) == (2, True)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--jobs", "'x' is not a whole number from 1 to 64."),
        ("--stop-within", "'x' is not a span of time; write it like 10s or 2min."),
        ("--retry-for", "'x' is not a span of time; write it like 7d, 12h or 30min."),
        ("--part-size", "'x' is not a size of at least one byte; write it like 64MiB."),
    ],
)
def test_a_wrong_number_is_reported_in_plain_words(machine: Machine, option: str, said: str) -> None:
    """A wrong number is reported in plain words, without the name of a Python type."""
    ended = machine.call("upload", "a.bam", *TO, option, "x", "--json")
    assert ended.code == 2
    assert said in ended.event("error")["message"]
    assert said in ended.err


@pytest.mark.parametrize(
    "option",
    ["--stop-within", "--retry-for", "--part-size", "--bwlimit", "--expected-rate", "--jobs", "--expect-size"],
)
@pytest.mark.parametrize("value", ["inf", "nan", "-1", "-0.0", "1e400", "0x10", "9" * 400, ""])
def test_a_number_is_finite(machine: Machine, option: str, value: str) -> None:
    """No number, size or time may be infinite, negative, or not a number."""
    machine.file("a.bam", b"bytes")
    ended = machine.call("upload", "a.bam", *TO, "--dry-run", f"{option}={value}")
    assert (ended.code, ended.out) == (2, "")


@pytest.mark.parametrize("command", [("upload", "a.bam", *TO), ("doctor",)])
def test_an_unknown_way_to_compute_md5s(machine: Machine, command: tuple[str, ...]) -> None:
    """A wrong CAVATICA_MD5 is wrong usage, and nothing is started."""
    machine.file("a.bam")
    ended = machine.run(*command, env={"CAVATICA_MD5": "zz"})
    assert (ended.code, "CAVATICA_MD5 is 'zz'." in ended.err + ended.out) == (2, True)
    assert not machine.mock.calls["startUpload"]


def test_several_changed_files(machine: Machine) -> None:
    """If several files changed, each has one line with its name once, and what to do is said once."""
    names = ["a.bam", "b.bam"]
    machine.mock.faults.add(Fault("putPart", "no_etag", times=None))
    for size in (300, 301):
        for name in names:
            machine.file(name, bytes(size))
        ended = machine.call("upload", *names, *TO, "--retry-for", "0s")
        machine.mock.faults.clear()
    assert ended.code == 5
    lines = [line for line in ended.err.splitlines() if "changed since" in line]
    assert sorted(line.split()[0] for line in lines) == names
    assert [line.count(".bam") for line in lines] == [1, 1]
    assert ended.err.count("--yes") == 1


@pytest.mark.parametrize("columns", ["0", "1", "-1", "x", ""])
def test_the_variable_columns(machine: Machine, columns: str) -> None:
    """Messages are printed whatever COLUMNS says."""
    ended = machine.call("upload", "none.bam", *TO, env={"COLUMNS": columns})
    assert (ended.code, ended.err.splitlines()[0]) == (2, "Error: 1 problem found; nothing was uploaded.")


@pytest.mark.parametrize(("value", "said"), [("0", "0.0 s"), ("30", "30 s"), ("2.5s", "2.5 s"), ("2min", "2 min")])
def test_the_time_for_the_parts_in_flight(machine: Machine, value: str, said: str) -> None:
    """--stop-within takes seconds or a time with its unit, and the line after Ctrl-C names it."""
    machine.file("a.bam", b"bytes")
    machine.mock.faults.add(Fault("startUpload", "stall"))
    process = machine.start("upload", "a.bam", *TO, "--stop-within", value)
    while not machine.mock.calls["startUpload"]:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    assert process.stderr.readline().startswith(f"Stopping: waiting up to {said} for the parts in flight.".encode())
    if value != "0":  # then it may have ended
        process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("raised", "kind", "code"), [(KeyboardInterrupt, "Interrupted", 130), (ZeroDivisionError, "ZeroDivisionError", 70)]
)
def test_interruptions_and_internal_errors_as_json(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, raised: type[BaseException], kind: str, code: int
) -> None:
    """With --json an interruption and an internal error are one object on one line."""

    def fail(*_words: object) -> None:
        raise raised

    monkeypatch.setattr("cavatica_upload.receipt.receipts", fail)
    ended = machine.call("receipts", "--json")
    assert (ended.code, ended.event("error")["kind"], ended.event("error")["exit_code"]) == (code, kind, code)
    assert "Error: " in ended.err


@pytest.mark.parametrize("words", [("a.bam", "--include", "nix"), ("nix",), ("a.bam", "--tag", "x" * 9999)])
def test_wrong_usage_of_any_kind_as_json(machine: Machine, words: tuple[str, ...]) -> None:
    """With --json wrong usage ends with an object that has the exit code."""
    machine.file("a.bam")
    ended = machine.call("upload", *words, *TO, "--json")
    assert (ended.code, ended.event("error")["exit_code"]) == (2, 2)
    assert machine.mock.calls["startUpload"] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("upload", "a.bam", *TO, "--part-size", "9" * 400),
        ("upload", "a.bam", *TO, "--retry-for", "9" * 400 + "h"),
        ("upload", "a.bam", "--project", "\udcff/b"),
        ("doctor", "--project", "\udcff/b"),
        ("uploads", "show", "\udcff"),
        ("uploads", "abort", "\udcff"),
        ("uploads", "resume", "\udcff", "a.bam"),
        ("uploads", "abort", "--older-than", "9" * 400 + "d"),
    ],
)
def test_values_that_nothing_can_take(machine: Machine, words: tuple[str, ...]) -> None:
    """A number beyond all bounds, or an ID or a project that is not UTF-8, is reported as wrong usage."""
    machine.file("a.bam")
    ended = machine.run(*words)
    assert ended.code == 2
    assert "journal" not in ended.err
    assert machine.remote() == {}


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1:1/x.bam", "simplecache::ftp://127.0.0.1:1/x.bam", "zip://x::/nix.zip"]
)
def test_a_store_that_cannot_be_opened(machine: Machine, url: str) -> None:
    """A remote store that cannot be reached is reported in a sentence."""
    ended = machine.run("upload", url, *TO)
    assert (ended.code, "cannot be reached: " in ended.err) == (1, True)
    assert "Internal" not in ended.err


def test_an_unexpected_error_of_a_file(machine: Machine) -> None:
    """The trace of an unexpected error of one file is written to a file, which is named; it is not printed."""
    machine.file("a.bam")
    code = "import sys; from unittest.mock import patch\nfrom cavatica_upload.cli import run\n"
    code += "with patch('cavatica_upload.engine.open.open_source', side_effect=ZeroDivisionError('oops')):\n"
    code += f"    sys.exit(run(['upload', 'a.bam', *{TO!r}]))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=machine.home, env=machine.environment, capture_output=True, text=True
    )
    assert ended.returncode == 70
    assert "Traceback" not in ended.stderr
    path = ended.stderr.partition("trace in ")[2].splitlines()[0].rstrip(".")
    assert "ZeroDivisionError: oops" in Path(path).read_text()
