"""Pipes, devices and impossible names do not block or crash the command."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_machine import PROJECT, Machine

from cavatica_upload import Event, PartSent, Uploader

TO = ("--project", PROJECT)
LONG = "n" * 300


def test_pipes_among_digests_and_receipts_are_not_opened(machine: Machine) -> None:
    """A named pipe called FILE.md5 or among the receipts is not opened."""
    machine.file("a.bam")
    os.mkfifo(machine.home / "a.bam.md5")
    (machine.home / "state/receipts").mkdir(parents=True)
    os.mkfifo(machine.home / "state/receipts/20260101T000000Z-a_bam-5bd7c53ee4b04b8fb1a9f63d.json")
    assert machine.run("upload", "a.bam", *TO).code == 0
    assert machine.run("receipts").out.count("\n") == 1


def test_a_file_that_becomes_a_pipe_during_its_upload(machine: Machine) -> None:
    """If a pipe replaces the file during its upload, the open file is still used."""
    path = machine.file("a.bam", b"ACGT" * 100)

    def replace(event: Event) -> None:
        if isinstance(event, PartSent):
            path.unlink()
            os.mkfifo(path)

    with Uploader(
        token=machine.mock.token, endpoint=machine.mock.base_url, state_dir=machine.home / "state", listeners=[replace]
    ) as uploader:
        receipt = uploader.upload(path, PROJECT)
    assert machine.mock.file_bytes(receipt.file_id) == b"ACGT" * 100


@pytest.mark.parametrize("option", ["--receipt", "--log-file"])
def test_a_name_that_no_file_system_takes(machine: Machine, option: str) -> None:
    """A path that no file system allows is wrong usage, and nothing is uploaded."""
    machine.file("a.bam")
    ended = machine.call("upload", "a.bam", *TO, option, LONG)
    assert (ended.code, machine.mock.files()) == (2, [])
    assert "cannot be written" in ended.err


def test_an_impossible_state_folder(machine: Machine) -> None:
    """With an impossible state folder, the upload runs without a journal."""
    machine.file("a.bam")
    ended = machine.run("upload", "a.bam", *TO, env={"CAVATICA_STATE_DIR": str(machine.home / LONG)})
    assert ended.code == 0, ended.err
    assert machine.run("receipts", env={"CAVATICA_STATE_DIR": str(machine.home / LONG)}).code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_log_on_a_full_disk(machine: Machine) -> None:
    """If the log cannot be written, the upload succeeds and says once that the log is incomplete."""
    machine.file("a.bam")
    ended = machine.run("upload", "a.bam", *TO, "--log-file", "/dev/full")
    assert ended.code == 0, ended.err
    assert ended.err.count("The log file is incomplete: No space left on device.") == 1
    assert "Traceback" not in ended.err


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="there is no /dev/stdout here")
def test_a_receipt_into_a_pipe_that_is_open(machine: Machine) -> None:
    """`--receipt /dev/stdout` writes the receipt into the pipe of a pipeline."""
    machine.file("a.bam")
    process = machine.start("upload", "a.bam", *TO, "--receipt", "/dev/stdout", "-q", stdout=subprocess.PIPE)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert b'"schema": "cavatica-upload receipt"' in out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize(
    "words", [["upload", "a.bam", *TO], ["uploads", "list"], ["doctor"], ["--help"], ["nothing"], []]
)
def test_standard_error_on_a_full_disk(machine: Machine, words: list[str]) -> None:
    """If standard error cannot be written, the exit code is the same."""
    machine.file("a.bam")
    with Path("/dev/full").open("wb") as full:
        process = machine.start(*words, stderr=full)
        process.communicate()
    assert process.returncode == machine.run(*words).code


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize(
    "words", [["receipts"], ["--help"], ["upload", "--help"], ["--version"], ["completion", "bash"]]
)
def test_standard_output_on_a_full_disk(machine: Machine, words: list[str]) -> None:
    """If standard output cannot be written, the command fails with one sentence."""
    machine.file("a.bam")
    assert machine.run("upload", "a.bam", *TO).code == 0
    with Path("/dev/full").open("wb") as full:
        process = machine.start(*words, stdout=full)
        _, err = process.communicate()
    assert (process.returncode, err) == (1, b"Error: Standard output cannot be written: No space left on device.\n")


def test_verify_does_not_wait_for_a_pipe(machine: Machine) -> None:
    """Verify refuses what is not a regular file, and a receipt without an end."""
    machine.file("a.bam")
    os.mkfifo(machine.home / "pipe")
    assert machine.run("upload", "a.bam", *TO).code == 0
    (receipt,) = (machine.home / "state/receipts").iterdir()
    for words in ((str(receipt), "pipe"), (str(receipt), "/dev/zero"), ("/dev/zero", "a.bam")):
        ended = machine.run("verify", *words)
        assert ended.code == 2, words
        assert "Upload" not in ended.err


@pytest.mark.parametrize("option", ["--files-from", "--manifest", "--sheet", "--token-file"])
def test_a_file_without_an_end(machine: Machine, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text without an end is not read into memory."""
    machine.file("a.bam")
    monkeypatch.setattr("cavatica_upload.config.MOST_BYTES", 1000)
    more = ("--sheet-out", "out.csv") if option == "--sheet" else ()
    ended = machine.call("upload", "a.bam", *TO, option, "/dev/zero", *more)
    assert (ended.code, not machine.mock.calls) == (3 if option == "--token-file" else 2, True)
    assert "/dev/zero cannot be read: it has more than 256 MiB." in ended.err


@pytest.mark.parametrize(
    "words",
    [
        *(("upload", "a.bam", *TO, option, "") for option in ("--name", "--receipt", "--sheet-out", "--log-file")),
        *(("upload", "a.bam", *TO, f"{option}=") for option in ("--name", "--token-file", "--tag", "--manifest")),
        ("upload", *TO, ""),
        ("upload", *TO, "-r", ""),
        ("upload", *TO, "--", ""),
        ("doctor", "--project", ""),
        ("uploads", "resume", "x", ""),
        ("uploads", "abort", "--mine", "--older-than", ""),
        ("verify", "r.json", ""),
    ],
)
def test_an_empty_value(machine: Machine, words: tuple[str, ...]) -> None:
    """An empty value, as from an unset variable of the shell, is wrong usage for every option and argument."""
    machine.file("a.bam")
    ended = machine.call(*words)
    assert (ended.code, not machine.mock.calls) == (2, True)
    place = words[-2] if words[-1] == "" else words[-1]
    what = (
        f"The value after {place}" if place[:1] == "-" and place not in ("--", "-r") else f"An argument (after {place})"
    )
    assert f"Error: {what} is empty; a shell variable may be unset.\nSee “cavatica {words[0]} " in ended.err


def test_a_file_whose_name_is_like_an_option_without_a_value(machine: Machine) -> None:
    """Behind “--” there are only arguments."""
    machine.file("--x=")
    assert machine.call("upload", *TO, "--", "--x=").code == 0
    assert list(machine.remote()) == ["--x="]


@pytest.mark.parametrize("name", ["-dash.bam", "-r.bam", "-j", "--weird"])
def test_a_name_that_begins_with_a_dash(machine: Machine, name: str) -> None:
    """A file that looks like an option gets a hint, as when the shell replaces a pattern by it."""
    machine.file(name)
    refused = machine.call("upload", *TO, name)
    hint = f"\nFor the file {name}, write ./{name}. See “cavatica upload --help”.\n"
    assert (refused.code, hint in refused.err) == (2, True)
    assert machine.call("upload", *TO, f"./{name}").code == 0


@pytest.mark.parametrize("more", [("--part-size", "many"), ("--if-exists", "never"), ("--nothing",)])
def test_a_file_that_is_not_what_is_wrong(machine: Machine, more: tuple[str, ...]) -> None:
    """A file whose name is that of an option in use changes no other hint."""
    machine.file("-q")
    machine.file("a.bam")
    refused = machine.call("upload", "a.bam", "-q", *TO, *more)
    assert (refused.code, refused.err.endswith("\nSee “cavatica upload --help”.\n")) == (2, True), refused.err


@pytest.mark.parametrize("last", ["0", "-1", "9" * 20, "x"])
def test_a_number_of_receipts_out_of_bounds(machine: Machine, last: str) -> None:
    """A number that is not possible is wrong usage."""
    ended = machine.call("receipts", "--last", last)
    assert (ended.code, "is not a whole number from 1 to 1,000,000,000." in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://example.invalid/?x", "https://example.invalid/ has no file name; give one with --name."),
        ("http://[::1/a.bam", "http://[::1/a.bam"),
    ],
)
def test_a_url_that_names_no_file(machine: Machine, url: str, says: str) -> None:
    """A URL without a file name, or that is none, is a sentence."""
    ended = machine.call("upload", url, *TO)
    assert (ended.code in (1, 2, 3), says in ended.err) == (True, True)


def test_what_is_no_receipt_is_said(machine: Machine) -> None:
    """`receipts` lists what it can read, reports what it skipped and why, and refuses a missing folder."""
    machine.file("a.bam")
    assert machine.run("upload", "a.bam", *TO).code == 0
    other = machine.file("state/receipts/b.json", b"{}")
    ended = machine.run("receipts")
    assert (ended.code, ended.out.count("\n")) == (0, 1)
    assert f"Note: 1 file was left out: {other}: This is JSON, but not a receipt." in ended.err
    assert machine.run("receipts", "--dir", "nowhere").code == 2


def test_a_stream_that_is_expected_to_be_empty(machine: Machine) -> None:
    """`--expect-size 0` says that the stream may be empty."""
    assert machine.run("upload", "-", "--name", "s", "--expect-size", "0", *TO, data=b"").code == 0
    assert machine.run("upload", "-", "--name", "t", "--expect-size", "0", *TO, data=b"x").code == 5
    assert machine.remote() == {"s": b""}


@pytest.mark.parametrize("times", [1, 1000])
def test_a_file_handle_that_a_network_file_system_lost(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """A lost handle of a network file system is opened once more; if that fails, the error is one sentence."""
    machine.file("a.bam", bytes(300))
    left = [times]
    read = os.pread

    def stale(descriptor: int, count: int, offset: int) -> bytes:
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ESTALE, "Stale file handle")
        return read(descriptor, count, offset)

    monkeypatch.setattr("os.pread", stale)
    ended = machine.call("upload", "a.bam", *TO)
    assert left[0] < times
    if times == 1:
        assert (ended.code, machine.remote()) == (0, {"a.bam": bytes(300)})
    else:
        assert (ended.code, machine.remote()) == (1, {})
        assert re.search(r"^Error: a\.bam.*Stale file handle", ended.err, re.MULTILINE)
        assert "Errno" not in ended.err


@pytest.mark.parametrize("words", [("-", "--name", "a.bam"), ("--files-from", "-")])
def test_standard_input_is_closed(machine: Machine, words: tuple[str, ...]) -> None:
    """If standard input is closed, a file or a list that should come from it is wrong usage."""
    command = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-m", "cavatica_upload", "upload", *words, *TO]
    done = subprocess.run(command, cwd=machine.home, env=machine.environment, check=False, capture_output=True)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, b"Error: Standard input is closed.")


@pytest.mark.parametrize(
    ("path", "more", "code", "says"),
    [
        ("../a.bam", (), 2, b"The current folder does not exist any more."),
        (".", (), 2, b"The current folder does not exist any more."),
        ("absolute", (), 0, b"done"),
        ("absolute", ("--receipt", "r.json"), 2, b"--receipt r.json cannot be written: No such file or directory."),
        ("absolute", ("--sheet", "HOME/s.csv", "--sheet-out", "HOME/o.csv"), 0, b"Sheet for the platform: "),
    ],
)
def test_the_current_folder_is_gone(machine: Machine, path: str, more: tuple[str, ...], code: int, says: bytes) -> None:
    """If the current folder was removed, relative paths are wrong usage; absolute ones are uploaded."""
    place = machine.file("a.bam")
    machine.file("s.csv", b"file,other\na.bam,b.bam\n")
    script = 'mkdir gone && cd gone && rmdir ../gone && exec "$@"'
    words = ["upload", str(place) if path == "absolute" else path, "-r", *TO]
    words += [word.replace("HOME", str(machine.home)) for word in more]
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "cavatica_upload", *words]
    done = subprocess.run(command, cwd=machine.home, env=machine.environment, check=False, capture_output=True)
    assert (done.returncode, says in done.stderr) == (code, True)
