"""Other features of `cavatica upload`: receipts, lists of files, plans, names, and hints."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from cli_machine import PROJECT, Machine
from hypothesis import given, settings
from hypothesis import strategies as st

from cavatica_mock import Fault, MockServer
from cavatica_upload import Uploader, disk, requests_for
from cavatica_upload.cli.app import app
from cavatica_upload.cli.output import command_line
from cavatica_upload.destination import Target
from cavatica_upload.errors import UsageError

TO = ("--project", PROJECT)
SOURCES = Path(disk.__file__).parent


def test_a_receipt_is_written_for_a_file_that_was_there_already(machine: Machine) -> None:
    """A file that an earlier run uploaded gets its receipt again at --receipt."""
    machine.file("a.bam")
    command = ("upload", "a.bam", *TO, "--receipt", "out/a.json")
    assert machine.call(*command).code == 0
    first = (machine.home / "out/a.json").read_text()
    (machine.home / "out/a.json").unlink()
    assert "1 already there" in machine.call(*command).err
    assert (machine.home / "out/a.json").read_text() == first


def test_a_receipt_in_a_folder_is_named_after_the_file(machine: Machine) -> None:
    """Receipts in a folder follow the folders of the upload, not those of the destination."""
    machine.file("a.bam")
    machine.file("d/b.bam", b"b")
    command = ("upload", "a.bam", "d", "-r", "--project", f"{PROJECT}/r", "--receipt", ".")
    assert machine.call(*command).code == 0
    assert (machine.home / "a.bam.receipt.json").exists()
    assert (machine.home / "d/b.bam.receipt.json").exists()
    assert not (machine.home / "r").exists()


@pytest.mark.parametrize("option", ["--receipt", "--log-file"])
def test_a_file_to_upload_is_never_written_to(machine: Machine, option: str) -> None:
    """No option writes to a file of the upload, even through a link."""
    place = machine.file("a.bam")
    (machine.home / "link").symlink_to("a.bam")
    ended = machine.call("upload", "a.bam", *TO, option, "link")
    assert (ended.code, place.read_bytes()) == (2, b"ACGT\n")
    assert "one of the files to upload" in ended.err


def test_a_log_into_a_pipe_without_a_reader_is_refused(machine: Machine) -> None:
    """A log file that is a pipe without a reader is refused, since opening it would block."""
    machine.file("a.bam")
    os.mkfifo(machine.home / "pipe")
    assert machine.run("upload", "a.bam", *TO, "--log-file", "pipe").code == 2


def test_the_address_of_a_projects_page_is_a_project() -> None:
    """The address of a project's page can be given as the project."""
    page = "https://cavatica.sbgenomics.com/u/owner/study"
    for address in (page, f"{page}/", f"{page}/files", f"{page}/files?x=1#y", page.removeprefix("https://")):
        assert str(Target.parse(address, None)) == "owner/study"
    with pytest.raises(UsageError) as caught:
        Target.parse(f"{page}/files/5bd7c53ee4b04b8fb1a9f63d", None)
    assert "--parent 5bd7c53ee4b04b8fb1a9f63d" in (caught.value.hint or "")


def test_bad_files_can_be_passed_over(machine: Machine) -> None:
    """With --skip-bad-files the others are uploaded, the bad ones are listed, and the exit code is not 0."""
    machine.file("d/good.bam")
    machine.file("d/caf\udce9.bam")
    machine.file("d/__x/a.bam")
    (machine.home / "d/broken").symlink_to("nowhere")
    refused = machine.run("upload", "d", "-r", *TO)
    assert (refused.code, machine.remote()) == (2, {})
    assert "3 problems found; nothing was uploaded." in refused.err
    assert "--skip-bad-files" in refused.err
    ended = machine.run("upload", "d", "-r", *TO, "--skip-bad-files", "--json")
    assert (ended.code, list(machine.remote())) == (1, ["d/good.bam"])
    assert len(ended.event("run_finished")["failures"]) == 3
    assert machine.run("upload", "d", "-r", *TO, "--skip-bad-files").code == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_with_a_byte_order_mark(machine: Machine, encoding: str) -> None:
    """A list may be in UTF-16, as PowerShell writes it, and have a byte order mark."""
    machine.file("ü.bam")
    machine.file("list", "ü.bam\r\n".encode(encoding))
    assert machine.call("upload", "--files-from", "list", *TO).code == 0
    assert list(machine.remote()) == ["ü.bam"]


def test_a_file_in_the_manifest_and_on_the_command_line(machine: Machine) -> None:
    """A file that is named twice is called that, and not a clash of two files."""
    machine.file("a.bam")
    machine.file("m.csv", b"path\na.bam\n")
    ended = machine.call("upload", "a.bam", "--manifest", "m.csv", *TO)
    assert (ended.code, machine.remote()) == (2, {})
    assert "a.bam is named twice, also in line 2 of the manifest: leave one out." in ended.err


@pytest.mark.parametrize("end", ["\n", "\0", "\r\n"])
def test_paths_come_from_a_list(machine: Machine, end: str) -> None:
    """Paths are read from a file or standard input, also NUL-separated; a dash in the list is a file."""
    for name in ("a.bam", "-", "b c.bam"):
        machine.file(name, name.encode())
    text = "".join(f"{name}{end}" for name in ("a.bam", "-", "b c.bam")).encode()
    machine.file("list", text)
    assert machine.call("upload", "--files-from", "list", *TO).code == 0
    assert machine.remote() == {"a.bam": b"a.bam", "-": b"-", "b c.bam": b"b c.bam"}
    again = machine.run("upload", "--files-from", "-", *TO, data=text)
    assert (again.code, "3 already there" in again.err) == (0, True)
    assert machine.call("upload", "--files-from", "none", *TO).code == 2


def test_a_dry_run_of_standard_input(machine: Machine) -> None:
    """A dry run does not read standard input, and says that its size is not known."""
    planned = machine.run("upload", "-", "--name", "b.bam", *TO, "--dry-run", data=b"bytes")
    assert (planned.code, "1 of 1 file to send: 0 B in 0 parts; 1 file of unknown size." in planned.out) == (0, True)


def test_a_dry_run_shows_metadata_and_tags(machine: Machine) -> None:
    """The plan shows the metadata and tags to set, as text and as JSON."""
    machine.file("a.bam")
    command = ("upload", "a.bam", *TO, "--dry-run", "--metadata", "sample=S1", "--tag", "t")
    assert "sample=S1; tags: t" in machine.call(*command).out
    planned = machine.call(*command, "--json").event("planned")
    assert (planned["metadata"], planned["tags"]) == ({"sample": "S1"}, ["t"])


def test_new_metadata_of_a_file_that_is_there_is_said(machine: Machine) -> None:
    """If only metadata changed, the file is not sent again, and the summary reports the metadata."""
    machine.file("a.bam")
    machine.call("upload", "a.bam", *TO)
    again = machine.call("upload", "a.bam", *TO, "--metadata", "sample=S2")
    assert "1 already there; metadata set on 1 file." in again.err


def test_after_a_rename_the_name_there_is_printed(machine: Machine) -> None:
    """After a rename, standard output has the ID, the local path and the name on the platform."""
    machine.file("a.bam", b"old")
    machine.call("upload", "a.bam", *TO)
    machine.file("a.bam", b"new!")
    ended = machine.call("upload", "a.bam", *TO, "--if-exists", "rename")
    assert ended.out.rstrip("\n").split("\t")[1:] == ["a.bam", "_1_a.bam"]


def test_a_part_size_that_is_refused_is_wrong_usage(machine: Machine) -> None:
    """If the platform refuses --part-size, the exit code is 2; the same answer without the option is a failure."""
    machine.file("a.bam")
    machine.mock.faults.add(Fault("startUpload", "status", status=400, code=8013, times=2))
    ended = machine.call("upload", "a.bam", *TO, "--part-size", "1M")
    assert (ended.code, machine.mock.calls["putPart"]) == (2, 0)
    assert "--part-size was refused" in ended.err
    assert machine.call("upload", "a.bam", *TO).code == 1


def test_a_bad_name_of_one_file_can_be_changed(machine: Machine) -> None:
    """The hint for a bad name is --name, and it works."""
    machine.file("caf\udce9.bam", b"x")
    refused = machine.run("upload", "caf\udce9.bam", *TO)
    assert (refused.code, "--name" in refused.err) == (2, True)
    assert machine.run("upload", "caf\udce9.bam", *TO, "--name", "cafe.bam").code == 0
    assert machine.remote() == {"cafe.bam": b"x"}


def test_what_cannot_be_healed_is_no_network_error(machine: Machine) -> None:
    """An answer that will stay the same does not exit with 4, which promises that the same command helps."""
    machine.file("a.bam")
    machine.mock.faults.add(Fault("putPart", "status", status=405, times=None))
    ended = machine.call("upload", "a.bam", *TO)
    assert ended.code == 1
    assert "To resume" not in ended.err


def test_one_file_of_two_lost_to_the_network_is_exit_code_4(machine: Machine) -> None:
    """If one of two files fails in the network, the exit code is 4, and the same command sends it."""
    machine.file("a.bam", b"a")
    machine.file("b.bam", b"bb")
    machine.mock.faults.add(Fault("putPart", "no_etag", times=None, after=1))
    ended = machine.call("upload", "a.bam", "b.bam", *TO)
    assert (ended.code, len(machine.remote())) == (4, 1)
    assert "To resume: cavatica upload" in ended.err


def test_names_of_a_hostile_server_forge_no_line(machine: Machine) -> None:
    """A file name with a newline or a tab cannot forge a line or a field of standard output."""
    machine.file("a\n\tforged\x1b[2J.bam")
    ended = machine.run("upload", "a\n\tforged\x1b[2J.bam", *TO)
    assert ended.code == 0
    assert len(ended.out.splitlines()) == 1
    assert ended.out.count("\t") == 1
    assert "\x1b" not in ended.out + ended.err


@settings(max_examples=40)
@given(st.lists(st.binary(min_size=1, max_size=12).filter(lambda word: b"\0" not in word), min_size=1, max_size=3))
def test_a_command_that_is_shown_works_when_it_is_pasted(words: list[bytes]) -> None:
    """A resume command works in a shell with any quotes, control characters, newlines and invalid UTF-8."""
    shown = command_line([os.fsdecode(word) for word in words])
    assert shown.isprintable()
    done = subprocess.run(
        ["bash", "-c", f"cavatica() {{ printf '%s\\0' \"$@\"; }}; {shown}"],
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    )
    assert done.stdout.split(b"\0")[:-1] == words


def test_hints_name_options_that_exist() -> None:
    """Every `--option` in a message of the package exists."""
    options: set[str] = set()

    def visit(command: click.Command) -> None:
        options.update(name for param in command.params for name in param.opts)
        for inner in command.commands.values() if isinstance(command, click.Group) else ():
            visit(inner)

    visit(app)
    named = set()
    for path in SOURCES.rglob("*.py"):
        if "cli" not in path.parts:
            for line in path.read_text().splitlines():
                named |= set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)) if '"' in line else set()
    assert named - options <= {"--array", "--help", "--port"}, named - options


def test_without_a_home_the_state_is_in_the_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without HOME and a user entry, the state is in a private folder of the temporary directory."""

    def fail(_name: str) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("CAVATICA_STATE_DIR", raising=False)
    monkeypatch.setattr("platformdirs.user_state_path", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    disk._temporary_folder.cache_clear()
    try:
        folder = disk.state_dir()
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o777 == 0o700
        assert str(folder) in (disk.state_notice() or "")
    finally:
        disk._temporary_folder.cache_clear()


def test_json_stays_json(machine: Machine) -> None:
    """With --json every line of standard output is a JSON object, whatever fails."""
    machine.file("a.bam")
    for command in (("upload", "none.bam", *TO), ("upload", "a.bam"), ("upload", "a.bam", *TO, "--jobs", "x")):
        for line in machine.call(*command, "--json").out.splitlines():
            assert json.loads(line)["event"] in ("problem", "error")


def test_receipts_and_uploads_are_found_by_the_folder(machine: Machine) -> None:
    """`receipts` and `uploads list` can be filtered by project and folder path."""
    machine.file("a.bam", bytes(300))
    machine.call("upload", "a.bam", "--project", f"{PROJECT}/k9/x")
    found = machine.call("receipts", f"{PROJECT}/k9", "--json").event("receipt")
    assert (found["place"], found["source"]) == (f"{PROJECT}/k9/x", str(machine.home / "a.bam"))
    assert "No receipt matches 'k8'" in machine.call("receipts", "k8").err
    machine.file("b.bam", bytes(300))
    machine.mock.faults.add(Fault("putPart", "no_etag", part=3, times=None))
    machine.call("upload", "b.bam", "--project", f"{PROJECT}/k9/x", "--part-size", "100")
    assert machine.call("uploads", "list").out.split("\t")[2] == f"{PROJECT}/k9/x"


def test_a_skipped_file_that_is_another_one_is_counted_apart(machine: Machine) -> None:
    """Skipped files that differ from the file on the platform are counted separately."""
    machine.file("a.bam", b"old")
    machine.call("upload", "a.bam", *TO)
    machine.file("a.bam", b"other content")
    ended = machine.call("upload", "a.bam", *TO, "--if-exists", "skip")
    assert "1 skipped although different" in ended.err
    finished = machine.call("upload", "a.bam", *TO, "--if-exists", "skip", "--json").event("run_finished")
    assert (finished["skipped"], finished["skipped_different"]) == (1, 1)


@pytest.mark.parametrize(
    ("data", "options", "code"),
    [
        (b"", (), 1),
        (b"", ("--allow-empty",), 0),
        (b"12345", ("--expect-size", "6"), 5),
        (b"12345", ("--expect-size", "5"), 0),
        (b"12345", ("--expect-md5", "0" * 32), 5),
        (b"12345", ("--expect-md5", "827ccb0eea8a706c4c34a16891f84e7b"), 0),
        (b"12345", ("--expect-md5", "nonsense"), 2),
    ],
)
def test_a_stream_is_completed_only_if_it_is_what_was_expected(
    machine: Machine, data: bytes, options: tuple[str, ...], code: int
) -> None:
    """A stream of another size or MD5 than expected is not completed."""
    ended = machine.run("upload", "-", "--name", "s.bin", *TO, *options, data=data)
    assert (ended.code, machine.remote()) == (code, {} if code else {"s.bin": data}), ended.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stream_that_ends_after_a_signal_is_not_completed(machine: Machine, number: signal.Signals) -> None:
    """A stream that ends after Ctrl-C is not completed, since the signal stopped its producer too."""
    with machine.start("upload", "-", "--name", "s.bin", *TO, "--json", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"half of the data")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["event"] == "run_started"
        process.send_signal(number)
        assert b"Stopping" in process.stderr.readline()
        process.stdin.close()
        out, err = process.stdout.read(), process.stderr.read()  # communicate() misses what readline() read ahead
    assert (process.returncode, machine.remote()) == (130, {}), err
    assert "sent again from its beginning" in err.decode()
    assert json.loads(out.splitlines()[-1])["resume"] is None


def test_colours_that_are_forced_draw_no_bars(machine: Machine) -> None:
    """FORCE_COLOR gives colours but no bars in a log file."""
    machine.file("a.bam", bytes(300_000))
    machine.mock.faults.add(Fault("putPart", "slow", bytes_per_second=600_000))
    ended = machine.run("upload", "a.bam", *TO, env={"FORCE_COLOR": "1", "TERM": "xterm-256color"})
    assert ended.code == 0
    assert "━" not in ended.err
    assert not re.search(r"\x1b\[[0-9;?]*[A-LN-Za-ln-z]", ended.err)


def test_an_outage_is_one_line(machine: Machine) -> None:
    """An outage is one line in a log, however many parts fail, and all of them are retried."""
    machine.file("a.bam", bytes(1000))
    machine.mock.faults.add(Fault("putPart", "status", status=503, times=12))
    ended = machine.run("upload", "a.bam", *TO, "--part-size", "100", "--retry-for", "1min")
    assert ended.code == 0
    trouble = [line for line in ended.err.splitlines() if re.search("503|failed|No part|No connection", line)]
    assert len(trouble) <= 1


def test_a_full_disk_behind_standard_output_is_an_error_and_no_trace(machine: Machine) -> None:
    """If standard output cannot be written, the file is uploaded, the loss is reported, and the exit code is 1."""
    machine.file("a.bam")
    with Path("/dev/full").open("wb") as full:
        process = machine.start("upload", "a.bam", *TO, stdout=full)
        _, err = process.communicate()
    assert process.returncode == 1
    assert b"Standard output cannot be written: No space left on device." in err
    assert machine.remote() == {"a.bam": b"ACGT\n"}


@pytest.mark.parametrize("option", [("--metadata", "a\udcff=b"), ("--metadata", "a=\udcff"), ("--tag", "\udcff")])
def test_metadata_that_cannot_be_sent_is_refused_before(machine: Machine, option: tuple[str, str]) -> None:
    """Metadata that is not valid UTF-8 is refused before the file is sent."""
    machine.file("a.bam")
    ended = machine.run("upload", "a.bam", *TO, *option)
    assert (ended.code, "not valid UTF-8" in ended.err, machine.remote()) == (2, True, {})


def test_a_file_of_another_size_than_expected_is_not_uploaded(machine: Machine) -> None:
    """A file of another size than --expect-size is refused, even if an earlier run uploaded it."""
    machine.file("a.bam")
    assert machine.call("upload", "a.bam", *TO, "--expect-size", "5").code == 0
    assert machine.call("upload", "a.bam", *TO, "--expect-size", "6").code == 5


def test_the_share_in_the_resume_command_is_in_figures(machine: Machine) -> None:
    """The resume command has the numbers of the shard instead of `slurm`, and leaves a file named slurm as it is."""
    machine.file("slurm", bytes(10))
    machine.mock.faults.add(Fault("putPart", "no_etag", times=None))
    task = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "1", "SLURM_ARRAY_TASK_MIN": "1"}
    for option in (("--shard", "slurm"), ("--shard=SLURM",)):
        finished = machine.call("upload", "slurm", *TO, *option, "--json", env=task).event("run_finished")
        assert finished["resume"].replace("=", " ") == f"cavatica upload slurm --project {PROJECT} --shard 1/1 --json"


def test_another_part_size_of_the_platform_is_reported(machine: Machine) -> None:
    """If the platform uses another part size than the requested one, one line names both."""
    machine.file("a.bam", bytes(300))
    with MockServer(part_size=200) as mock:
        other = Machine(mock, machine.home)
        told = other.call("upload", "a.bam", *TO, "--part-size", "100")
        assert "The platform chose parts of 200 B; 100 B were requested." in told.err
        assert "chose" not in other.call("upload", "a.bam", *TO, "--name", "b.bam").err


def test_a_start_that_was_refused_is_not_remembered_as_lost(machine: Machine) -> None:
    """A start that the server refused is deleted from the journal; one without an answer is kept."""
    machine.file("a.bam")
    machine.mock.faults.add(Fault("startUpload", "status", status=401))
    assert machine.call("upload", "a.bam", *TO).code == 3
    lists = machine.mock.calls["listUploads"]
    again = machine.call("upload", "a.bam", *TO)
    assert (again.code, machine.mock.calls["listUploads"]) == (0, lists)
    assert "never answered" not in again.err


def test_an_error_of_the_command_line_is_one_line(machine: Machine) -> None:
    """An error about a missing argument is one line with its choices."""
    ended = machine.call("completion")
    assert (ended.code, "Choose from: bash, zsh, fish" in ended.err, "\\n" in ended.err) == (2, True, False)


def test_a_file_of_one_part_has_no_counts(machine: Machine) -> None:
    """For a file of one part, verify says that its bytes differ, without a count of parts."""
    machine.file("a.bam")
    machine.file("b.bam", b"TTTTT")
    assert machine.call("upload", "a.bam", *TO, "--receipt", "r.json").code == 0
    assert "Its bytes differ from what was uploaded." in machine.call("verify", "r.json", "b.bam").err


def test_a_field_of_metadata_has_one_value(machine: Machine) -> None:
    """Two values for one metadata field are refused; the same value twice is accepted."""
    machine.file("a.bam")
    refused = machine.call("upload", "a.bam", *TO, "--metadata", "sample=1", "--metadata", "sample=2")
    assert (refused.code, machine.remote()) == (2, {})
    assert "--metadata sample is given as '1' and as '2'." in refused.err
    assert machine.call("upload", "a.bam", *TO, "--metadata", "sample=1", "--metadata", "sample=1").code == 0


def test_a_pipe_in_the_place_of_a_file_is_refused(machine: Machine) -> None:
    """A path that was a regular file is not waited for if a pipe, to which nobody may ever write, is there now."""
    paths = [machine.file(name, bytes(300)) for name in ("a.bam", "b.bam")]
    requests = requests_for(*paths, destination=PROJECT)
    machine.mock.faults.add(Fault("putPart", "no_etag", part=3, times=4))
    assert machine.call("upload", "a.bam", *TO, "--part-size", "100").code == 4
    begun = machine.mock.uploads()[0]["upload_id"]
    for path in paths:
        path.unlink()
        os.mkfifo(path)
    with Uploader(
        token=machine.mock.token, endpoint=machine.mock.base_url, state_dir=machine.home / "state"
    ) as uploader:
        ended = list(uploader.upload_many(requests))
    assert all("is not a regular file" in str(outcome.error) for outcome in ended)
    assert len(ended) == 2
    for words in ((), (begun,), (begun, "b.bam")):
        resumed = machine.run("uploads", "resume", *words)
        assert resumed.code != 0
        assert "is not a regular file" in resumed.err
    assert machine.remote() == {}


def test_an_upload_that_was_given_up_is_not_resumed(machine: Machine) -> None:
    """It is open only because it could not be aborted: to resume it says so, and starts nothing."""
    machine.file("a.bam", bytes(300))
    machine.mock.faults.add(Fault("putPart", "no_etag", part=3, times=4))
    assert machine.call("upload", "a.bam", *TO, "--part-size", "100").code == 4
    (begun,) = (upload["upload_id"] for upload in machine.mock.uploads())
    machine.file("a.bam", b"x" * 300)
    machine.mock.faults.add(Fault("abortUpload", "status", status=403, code=8001))
    assert machine.call("upload", "a.bam", *TO, "--part-size", "100", "--yes").code == 0
    for words in ((begun,), (begun, "a.bam")):
        ended = machine.call("uploads", "resume", *words)
        assert ended.code == 2
        assert f"cavatica uploads abort {begun}" in ended.err
    assert [upload["upload_id"] for upload in machine.mock.uploads()] == [begun]
    assert machine.call("uploads", "abort", begun).code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere to open a pipe waits for its writer")
def test_a_pipe_whose_writer_does_not_come_can_be_left(machine: Machine) -> None:
    """Ctrl-C ends the wait for the writer of a named pipe, and the upload is aborted."""
    os.mkfifo(machine.home / "pipe")
    process = machine.start("upload", "pipe", "--name", "a.bam", *TO, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert process.stderr.readline() == b"pipe: started\n"
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert machine.mock.uploads() == []


def test_doctor_says_that_receipts_cannot_be_kept(machine: Machine) -> None:
    """Doctor reports if receipts cannot be written, even if the journal can."""
    machine.file("state/receipts", b"")
    ended = machine.call("doctor")
    assert ended.code == 3
    assert "WRONG  state" in ended.out
    assert "state/receipts" in ended.out.replace("\n", "").replace(" ", "")
