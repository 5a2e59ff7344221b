"""The help pages, and what happens if the program itself fails."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cavatica_upload.cli import run
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
    """Each option has help text that ends as a sentence, and the page shows all of them."""
    assert run([*path, "--help"]) == 0
    page = capfd.readouterr().out
    for param in ALL[path].params:
        if isinstance(param, click.Option) and not param.hidden:
            assert (param.help or "").endswith("."), param.name
            assert param.opts[0] in page


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
