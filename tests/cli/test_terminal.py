"""On a terminal: bars, colours, Ctrl-C as it is typed, and questions."""

import codecs
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSCTTY, TIOCSWINSZ

import pytest
from cli_machine import PROJECT, Machine
from drifting_proxy import Drift, DriftingProxy, Gate

from cavatica_mock import Fault
from cavatica_upload.cli.signals import Signals, ask

TO = ("--project", PROJECT)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """A command on a terminal."""

    def __init__(
        self,
        machine: Machine,
        *words: str,
        env: dict[str, str] | None = None,
        columns: int = 100,
        hang_up: signal.Handlers = signal.SIG_DFL,
    ) -> None:
        def prepare() -> None:
            ioctl(0, TIOCSCTTY, 0)  # Ctrl-C is for this process
            signal.signal(signal.SIGHUP, hang_up)

        self._end, inner = pty.openpty()
        ioctl(inner, TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cavatica_upload", *words],
            cwd=machine.home,
            env=machine.environment | {"TERM": "xterm-256color"} | (env or {}),
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
            preexec_fn=prepare,
        )
        os.close(inner)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.seen = ""

    def until(self, text: str | None) -> None:
        """Read until a text appears or the output ends."""
        while text is None or text not in COLOUR.sub("", self.seen):
            try:
                block = os.read(self._end, 65536)
            except OSError:  # on Linux, the other end is closed
                block = b""
            if not block:
                assert text is None, f"{text!r} was not seen in {self.seen!r}"
                return
            self.seen += self._decoder.decode(block)  # a block may end within a character

    def type(self, keys: str) -> None:
        """Send keys."""
        os.write(self._end, keys.encode())

    def close(self) -> int:
        """Read to the end, and return the exit code."""
        self.until(None)
        self.hang_up()
        return self.wait()

    def hang_up(self) -> None:
        """Close the terminal."""
        os.close(self._end)

    def wait(self) -> int:
        """Return the exit code."""
        return self._process.wait()


def test_bars_are_drawn_and_ctrl_c_stops(machine: Machine) -> None:
    """There is a bar for each file and one for the run, names are no markup, and Ctrl-C shows how to resume."""
    machine.file("[red]a.bam", bytes(1_000_000))
    machine.file("b.bam", bytes(900_000))
    machine.mock.faults.add(Fault("putPart", "stall", times=None))
    terminal = Terminal(machine, "upload", "[red]a.bam", "b.bam", *TO)
    terminal.until("0 of 2 files")
    terminal.until("[red]a.bam")
    terminal.until("MiB")
    assert "\x1b[" in terminal.seen
    assert "━" in terminal.seen
    terminal.type("\x03")
    terminal.until("Ctrl-C again stops now")
    terminal.type("\x03")
    assert terminal.close() == 130
    assert "To resume: cavatica upload '[red]a.bam' b.bam" in COLOUR.sub("", terminal.seen)


@pytest.mark.parametrize(("hang_up", "code"), [(signal.SIG_DFL, 130), (signal.SIG_IGN, 1)])
def test_a_terminal_that_is_closed(machine: Machine, hang_up: signal.Handlers, code: int) -> None:
    """If the terminal is closed, the upload stops. It goes on if SIGHUP is ignored; then only its result is lost."""
    machine.file("a.bam", bytes(1_000_000))
    gate, words = Gate(), ("upload", "a.bam", *TO, "--stop-within", "0")
    with DriftingProxy(machine.mock.base_url) as proxy:
        proxy.drift = Drift("GET", "/upload/multipart/{upload_id}/part/{part_number}", gate)
        terminal = Terminal(machine, *words, env={"SB_API_ENDPOINT": proxy.base_url}, hang_up=hang_up)
        terminal.until("0 B / 977 KiB")
        terminal.hang_up()
        if hang_up is signal.SIG_IGN:
            gate.open()
        assert terminal.wait() == code
        gate.open()
    assert machine.remote() == ({} if code == 130 else {"a.bam": bytes(1_000_000)})
    assert not (machine.home / "state" / "traces").exists()


def test_no_color_is_obeyed(machine: Machine) -> None:
    """With NO_COLOR there are bars without colours (no-color.org)."""
    machine.file("a.bam", bytes(300_000))
    machine.mock.faults.add(Fault("putPart", "slow", bytes_per_second=600_000))
    terminal = Terminal(machine, "upload", "a.bam", *TO, env={"NO_COLOR": "1"})
    assert terminal.close() == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", terminal.seen)
    assert machine.remote() == {"a.bam": bytes(300_000)}


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 5)])
def test_the_user_is_asked_about_a_changed_file(machine: Machine, answer: str, code: int) -> None:
    """On a terminal, the old upload of a changed file is aborted only if the user agrees."""
    place: Path = machine.file("a.bam", bytes(300))
    machine.mock.faults.add(Fault("putPart", "no_etag", part=3, times=4))
    assert machine.run("upload", "a.bam", *TO, "--part-size", "100").code == 4
    place.write_bytes(b"new" * 100)
    terminal = Terminal(machine, "upload", "a.bam", *TO, "--part-size", "100")
    terminal.until("[y/N]")
    terminal.type(f"{answer}\n")
    assert terminal.close() == code
    assert machine.remote() == ({"a.bam": b"new" * 100} if answer == "y" else {})
    assert len(machine.mock.uploads()) == (0 if answer == "y" else 1)


def test_a_no_aborts_nothing_and_ctrl_c_at_the_question_is_an_interruption(machine: Machine) -> None:
    """After “no” or Ctrl-C at the question nothing is aborted, and neither is an internal error."""
    machine.file("a.bam", bytes(300))
    machine.mock.faults.add(Fault("putPart", "no_etag", part=3, times=None))
    machine.run("upload", "a.bam", *TO, "--part-size", "100")
    for keys, code, says in (("n\n", 0, "Nothing was aborted."), ("\x03", 130, "Interrupted.")):
        terminal = Terminal(machine, "uploads", "abort", "--mine")
        terminal.until("[y/N]")
        terminal.type(keys)
        assert terminal.close() == code
        assert says in COLOUR.sub("", terminal.seen)
        assert "Traceback" not in terminal.seen
    assert len(machine.mock.uploads()) == 1


@pytest.mark.parametrize("columns", [1, 2, 7, 10])
def test_bars_on_a_very_narrow_terminal(machine: Machine, columns: int) -> None:
    """Files with long and similar names are uploaded on a terminal of any width."""
    names = [f"{'long' * 9}_{lane}_middle_{read}_{'end' * 9}.bam" for lane, read in ("11", "12", "21")]
    for name in names:
        machine.file(name, name.encode())
    terminal = Terminal(machine, "upload", *names, *TO, columns=columns)
    assert terminal.close() == 0
    assert "Error" not in terminal.seen
    assert set(machine.remote()) == set(names)


def test_ctrl_c_at_the_question_about_a_changed_file(machine: Machine) -> None:
    """Ctrl-C at the question ends the run as interrupted, and shows how to resume."""
    place: Path = machine.file("a.bam", bytes(300))
    machine.mock.faults.add(Fault("putPart", "no_etag", part=3, times=4))
    machine.run("upload", "a.bam", *TO, "--part-size", "100")
    place.write_bytes(b"new" * 100)
    terminal = Terminal(machine, "upload", "a.bam", *TO, "--part-size", "100")
    terminal.until("[y/N]")
    terminal.type("\x03")
    assert terminal.close() == 130
    assert "To resume: cavatica upload a.bam" in COLOUR.sub("", terminal.seen)


def test_ctrl_c_while_a_question_is_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ctrl-C in the moment in which a question appears during an upload interrupts it."""
    (tmp_path / "answer").write_text("y\n")
    signals = Signals()
    cancelled: list[bool] = []

    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            signal.raise_signal(signal.SIGINT)
            return len(text)

    with (tmp_path / "answer").open() as keyboard, signals.handled():
        monkeypatch.setattr("cavatica_upload.cli.signals.SIGNALS", signals)
        monkeypatch.setattr(sys, "stdin", keyboard)
        monkeypatch.setattr(sys, "stderr", Screen())
        with (
            signals.stopping(cancelled.append, 10.0, lambda _text: None),
            pytest.raises(KeyboardInterrupt),
        ):
            ask("Go on?")
    assert cancelled == []


def test_ctrl_c_at_a_typed_standard_input(machine: Machine) -> None:
    """Ctrl-C while standard input is the keyboard does not complete the file or crash Python."""
    terminal = Terminal(machine, "upload", "-", "--name", "typed", *TO)
    terminal.until("typed")
    terminal.type("some text\n")
    terminal.type("\x03")
    terminal.until("Ctrl-C again")
    terminal.type("\x03")
    assert terminal.close() == 130
    assert "Fatal Python error" not in terminal.seen
    assert "Traceback" not in terminal.seen
    assert machine.remote() == {}


def test_lists_are_tables_with_headers_on_a_terminal(machine: Machine) -> None:
    """On a terminal lists have aligned columns with headers; in a pipe, fields are separated by tabs."""
    machine.file("a.bam")
    machine.file("longer-name.bam", b"b")
    machine.run("upload", "a.bam", "longer-name.bam", *TO)
    terminal = Terminal(machine, "receipts", columns=400)
    assert terminal.close() == 0
    header, *rows = terminal.seen.replace("\r", "").splitlines()
    assert [header.index(title) for title in ("FINISHED", "FILE ID", "SIZE")] == [
        0,
        rows[0].index(rows[0].split()[1]),
        header.index("SIZE"),
    ]
    assert len({row.index("verified") for row in rows}) == 1
    assert "\t" not in terminal.seen
