"""The help pages, and what happens if the program itself fails."""

import errno
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from cli_machine import Machine

from cavatica_mock import Fault
from cavatica_upload.cli import main, run
from cavatica_upload.cli.app import app
from cavatica_upload.cli.messages import MEANINGS, Exit


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))


ALL = dict(commands(app))


def test_these_are_the_commands() -> None:
    """The commands are exactly these."""
    assert {" ".join(path) for path in ALL} == {
        "", "upload", "uploads", "uploads list", "uploads show", "uploads resume", "uploads abort", "receipts",
        "verify", "doctor", "completion",
    }  # fmt: skip


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_says_what_it_does(path: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    """Each option has help text that ends as a sentence, and the page shows all of them, with ranges in words."""
    assert run([*path, "--help"]) == 0
    page = capfd.readouterr().out
    assert "<=x" not in page
    for param in ALL[path].params:
        if isinstance(param, click.Option) and not param.hidden:
            assert (param.help or "").endswith("."), param.name
            assert param.opts[0] in page


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode(machine: Machine, encoding: str) -> None:
    """Where the encoding lacks our quotes and dots, those of ASCII are written; names get escapes."""
    unicode, plain = (
        machine.run("upload", "--help", env={"PYTHONIOENCODING": name}).out for name in ("utf-8", encoding)
    )
    assert plain == unicode.replace("“", '"').replace("”", '"').replace("…", "...")
    machine.file("ж“.bam/a")
    refused = machine.run("upload", "ж“.bam", "--project", "a/b", env={"PYTHONIOENCODING": encoding})
    assert '\\u0436".bam is a folder' in refused.err


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_has_a_first_sentence(path: tuple[str, ...]) -> None:
    """The list of commands shows whole sentences."""
    assert not ALL[path].get_short_help_str(limit=64).endswith("...")


def test_the_exit_codes_are_on_the_first_page(capfd: pytest.CaptureFixture[str]) -> None:
    """`cavatica --help` has each code with its meaning."""
    run(["--help"])
    page = capfd.readouterr().out
    assert set(MEANINGS) == set(Exit)
    for code, meaning in MEANINGS.items():
        assert f"{int(code):>3}  {meaning}" in page


def test_no_option_takes_a_token() -> None:
    """A token in a command line can be read by every user of the machine."""
    options = {
        name for _, command in ALL.items() for param in command.params for name in param.opts if param.expose_value
    }
    assert "--token" not in options


def test_an_unexpected_exception_is_a_sentence_and_a_trace_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An internal error prints a sentence, and its traceback is in a file that the sentence names."""
    monkeypatch.setenv("CAVATICA_STATE_DIR", str(tmp_path))

    def fail(*_words: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("cavatica_upload.receipt.receipts", fail)
    assert run(["receipts"]) == Exit.INTERNAL
    err = capfd.readouterr().err
    assert "Traceback" not in err
    path = err.partition("trace in ")[2].strip().rstrip(".")
    assert "ZeroDivisionError: oops" in Path(path).read_text()


def test_ctrl_c_outside_an_upload_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C outside an upload exits with 130 and without a traceback."""

    def stop(*_words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cavatica_upload.receipt.receipts", stop)
    assert run(["receipts"]) == Exit.INTERRUPTED
    assert "Interrupted." in capfd.readouterr().err


@pytest.mark.parametrize("place", ["_unexpected", "_fail", "_report", "close_log", "flush_output"])
@pytest.mark.parametrize("first", [ZeroDivisionError, KeyboardInterrupt])
def test_ctrl_c_while_a_command_ends(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], place: str, first: type[BaseException]
) -> None:
    """Ctrl-C while an error is printed, or at the end of a command, exits with 130 and shows how to run it again."""

    def fail(*_words: object) -> None:
        raise first

    def stop(*_words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cavatica_upload.receipt.receipts", fail)
    monkeypatch.setattr(f"cavatica_upload.cli.app.{place}", stop)
    monkeypatch.setattr("sys.argv", ["cavatica", "receipts"])
    monkeypatch.setattr("os._exit", sys.exit)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == Exit.INTERRUPTED
    assert "Error: Interrupted.\nTo run it again: cavatica receipts\n" in capfd.readouterr().err


def test_ctrl_c_if_the_reader_of_standard_error_has_ended(machine: Machine) -> None:
    """Ctrl-C exits with 130 if the reader of standard error has ended."""
    machine.mock.faults.add(Fault("listUploads", "stall"))
    process = machine.start("uploads", "list")
    assert process.stderr is not None
    process.stderr.close()
    process.stderr = None
    while not machine.mock.calls["listUploads"]:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == Exit.INTERRUPTED


@pytest.mark.parametrize("closed", ["pipe", "descriptor"])
def test_ctrl_c_without_standard_error(monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    """Ctrl-C outside `run()` exits with 130, even if standard error cannot be written."""

    class Broken:
        def write(self, _text: str) -> None:
            raise BrokenPipeError

    def stop(*_words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cavatica_upload.cli.run", stop)
    monkeypatch.setattr("os._exit", sys.exit)
    monkeypatch.setattr("sys.stderr", Broken() if closed == "pipe" else None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == Exit.INTERRUPTED


@pytest.mark.parametrize(
    "first",
    [
        BrokenPipeError(errno.EPIPE, "x"),
        EOFError(),
        SystemExit(3),
        MemoryError(),
        GeneratorExit(),
        OSError(errno.EIO, "x"),
    ],
)
def test_any_exception_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], first: BaseException
) -> None:
    """Whatever a command raises, it is reported as an internal error, and never as success."""

    def fail(*_words: object) -> None:
        raise first

    monkeypatch.setattr("cavatica_upload.receipt.receipts", fail)
    assert run(["receipts"]) == Exit.INTERNAL
    assert f"Internal error ({type(first).__name__})" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words",
    [(), ("--version",), ("--help",), ("upload", "--help"), ("uploads", "-h"), ("uploads", "list", "--help"),
     ("completion", "bash"), ("receipts",), ("verify", "-h"), ("nix",)],
)  # fmt: skip
@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_a_reader_that_has_ended_changes_nothing(machine: Machine, words: tuple[str, ...], closed: str) -> None:
    """`cavatica --help | head -0` exits with the code that it has without `head`."""
    process = machine.start(*words)
    for name in ("stdout", "stderr"):
        if closed in (name, "both"):
            getattr(process, name).close()
            setattr(process, name, None)
    _, err = process.communicate()
    assert process.returncode == (2 if words in ((), ("nix",)) else 0), err
    assert b"Traceback" not in (err or b"")


def test_a_thread_that_fails_is_a_sentence_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No traceback of another thread is printed."""
    monkeypatch.setenv("CAVATICA_STATE_DIR", str(tmp_path))

    def start(*_words: object) -> list[object]:
        thread = threading.Thread(target=lambda: 1 // 0)
        thread.start()
        thread.join()
        return []

    monkeypatch.setattr("cavatica_upload.receipt.receipts", start)
    assert run(["receipts"]) == Exit.DONE
    err = capfd.readouterr().err
    assert "Traceback" not in err
    assert "Internal error (ZeroDivisionError)" in err


def test_wrong_usage_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    """With --json wrong usage is an object on standard output too."""
    assert run(["receipts", "--json", "--last", "none"]) == Exit.USAGE
    out, err = capfd.readouterr()
    assert json.loads(out)["exit_code"] == Exit.USAGE
    assert "--last" in err
