"""The parts of the command line alone: numbers, names, exit codes, progress."""

import io
import math
import unicodedata

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from cavatica_upload import errors
from cavatica_upload.cli.bars import Bars, Layout, shorten, shorten_all
from cavatica_upload.cli.messages import Exit, exit_of, exit_of_run, time_text
from cavatica_upload.cli.options import Size, Span
from cavatica_upload.cli.output import Output, visible
from cavatica_upload.cli.progress import WINDOW, Lines, Meter, Speed
from cavatica_upload.destination import Target, metadata_problems
from cavatica_upload.errors import UsageError
from cavatica_upload.events import (
    BytesSent,
    Event,
    Outage,
    PartRetried,
    PartSent,
    RateLimitWait,
    UploadFailed,
    UploadSkipped,
    UploadStarted,
)
from cavatica_upload.plan import least_seconds, size_text
from tests.clock import Clock


@given(st.text(min_size=1))
def test_shown_text_moves_no_cursor(text: str) -> None:
    """Any file name is shown as one line of printable text."""
    shown = visible(text)
    assert all(unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in shown)
    assert shown.encode()


def test_bytes_of_a_name_that_are_not_utf8_are_shown() -> None:
    """Bytes of a name that are not UTF-8 are shown escaped."""
    assert visible("a\udcff") == "a\\xff"
    assert visible("größe ✓ 試.bam") == "größe ✓ 試.bam"


@given(st.integers(0, 2**60))
def test_sizes_are_short_and_near(count: int) -> None:
    """A size is shown with at most four digits, within a percent of the truth."""
    number, unit = size_text(count).split()
    factor = 1024 ** ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].index(unit)
    assert len(number) <= 4
    assert math.isclose(float(number) * factor, count, rel_tol=0.01)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (4.21, "4.2 s"), (58, "58 s"), (725, "12 min 5 s"), (12000, "3 h 20 min"), (187200, "2 d 4 h")],
)
def test_times_are_read_at_a_glance(seconds: float, text: str) -> None:
    """A duration is shown in at most two units."""
    assert time_text(seconds) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("64MiB", 64 * 1024**2), ("64M", 64 * 1024**2), ("64 mb", 64 * 1024**2), ("1.5g", 3 * 512 * 1024**2)],
)
def test_sizes_are_binary_however_they_are_written(text: str, size: int) -> None:
    """All spellings of a size have the same binary meaning."""
    assert Size().convert(text, None, None) == size
    assert Size(a_second=True).convert(text + "/s", None, None) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "64X", "1e9", "64MiB/s", "0.1"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """A wrong size is refused with an example of a right one."""
    with pytest.raises(click.BadParameter, match="64MiB"):
        Size().convert(text, None, None)


def test_ages() -> None:
    """7d is a week."""
    assert Span().convert("7d", None, None) == Span().convert("1w", None, None) == 7 * 86400
    for wrong in ("7", "d", "7y"):
        with pytest.raises(click.BadParameter):
            Span().convert(wrong, None, None)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("mlin/rna", "mlin/rna"),
        ("mlin/rna/", "mlin/rna"),
        ("mlin/rna/a/b/", "mlin/rna/a/b"),
        ("mlin/rna/my data", "mlin/rna/my data"),
    ],
)
def test_a_project_may_have_folders_behind_it(text: str, target: str) -> None:
    """A project may be followed by folders: `owner/name/folder`."""
    assert str(Target.parse(text, None)) == target


@pytest.mark.parametrize("text", ["", "mlin", "mlin/", "/rna", "mlin/rna//a", "mlin/rna/__x", "mlin/rna/../x", "a b/c"])
def test_what_is_no_project_is_refused(text: str) -> None:
    """A wrong project is refused before anything is sent."""
    with pytest.raises(UsageError):
        Target.parse(text, None)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.ConfigError("x"), 3),
        (errors.Unauthorized("x", status=401), 3),
        (errors.Forbidden("x", status=403), 3),
        (errors.NotFound("x", status=404), 3),
        (errors.UploadGone("x", status=404), 1),
        (errors.BadRequest("x", status=400), 1),
        (errors.NameTaken("x", status=409), 1),
        (errors.PartNotReserved("x", status=409, code=8008), 4),
        (errors.CompleteRefused("x", status=409), 4),
        (errors.RateLimited("x", status=429), 4),
        (errors.ServerError("x", status=520), 4),
        (errors.ConnectionFailed("x"), 4),
        (errors.StorageError("x"), 4),
        (errors.EtagMismatch("x"), 5),
        (errors.FileChanged("x"), 5),
        (errors.SourceError("x"), 1),
        (errors.UploadBusy("x"), 1),
        (errors.Interrupted("x"), 130),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError(), 70),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    """Each error has the exit code of the table in the help page."""
    assert exit_of(error) == code


@given(st.integers(0, 3), st.lists(st.sampled_from(list(Exit)[1:]), max_size=4))
def test_the_code_of_a_run(done: int, failures: list[Exit]) -> None:
    """A run exits with 0 if nothing failed, 130 if stopped, 4 if only the network failed, the code if all are equal,
    else 1.
    """
    code = exit_of_run(done, failures)
    assert (code == Exit.DONE) == (not failures)
    if Exit.INTERRUPTED in failures:
        assert code == Exit.INTERRUPTED
    elif set(failures) == {Exit.NETWORK}:
        assert code == Exit.NETWORK
    elif failures:
        assert code == (failures[0] if len(set(failures)) == 1 and not done else Exit.FAILED)


@pytest.mark.parametrize(("calls", "seconds"), [(0, 0), (1000, 0), (1001, 300), (2000, 300), (10_315, 3000)])
def test_the_least_time_under_the_call_limit(calls: int, seconds: float) -> None:
    """1,000 calls are free, and each further 1,000 take five minutes."""
    assert least_seconds(calls) == seconds


def test_a_share_has_a_share_of_the_calls() -> None:
    """Ten machines with a tenth of the calls each take as long together as one."""
    assert least_seconds(1001, 0.1) == 10 * 300


@given(st.dictionaries(st.text(max_size=120), st.text(max_size=320), max_size=5))
def test_valid_metadata_keeps_the_limits(metadata: dict[str, str]) -> None:
    """Valid metadata has keys of at most 100 bytes without “.” and “$”, and values of at most 300 bytes."""
    if not list(metadata_problems(metadata)):
        assert all(1 <= len(key.encode()) <= 100 and not set(key) & set(".$") for key in metadata)
        assert all(len(value.encode()) <= 300 for value in metadata.values())


def test_speed_is_of_the_last_seconds_and_forgets() -> None:
    """The speed is that of the last seconds, and bytes of a failed part are subtracted."""
    speed = Speed(0.0)
    speed.add(1000, 1.0)
    speed.add(-500, 2.0)
    assert speed.value(5.0) == 100
    assert speed.value(5.0 + WINDOW) == 0


def drawn(meter: Meter, now: float) -> str:
    """The bars of a meter, on a terminal of 100 columns."""
    output = Output()
    output.console = Console(file=io.StringIO(), width=100, height=30, force_terminal=True, color_system=None)
    output.console.print(Bars(output, meter, Clock(now)))
    return str(output.console.file.getvalue())  # type: ignore[attr-defined]


STARTED = UploadStarted("a", "id", 1000, 100, 10, resumed_parts=5, resumed_bytes=500)


def test_resumed_bytes_are_done_and_no_speed() -> None:
    """Bytes of an earlier run count as done, but not as speed."""
    meter = Meter(1, 1000, 0.0)
    meter.take(STARTED, 0.0)
    assert (meter.done, meter.speed.value(1.0)) == (500, 0.0)
    meter.take(BytesSent("a", 250), 5.0)
    assert (meter.done, meter.speed.value(10.0)) == (750, 25.0)
    assert "9 s left" in drawn(meter, 9.0)
    meter.take(UploadStarted("a", "id2", 1000, 100, 10), 10.0)
    assert meter.done == 0
    meter.take(UploadFailed("a", ValueError(), True), 11.0)
    assert (meter.finished, meter.failed, meter.active) == (0, 1, {})


def test_a_wait_counts_down() -> None:
    """The countdown of a wait ends by itself."""
    meter = Meter(1, 10, 0.0)
    meter.take(RateLimitWait(30.0), 100.0)
    assert [meter.wait_left(now) for now in (100.0, 110.0, 140.0)] == [30.0, 20.0, 0.0]


def told(events: list[tuple[float, Event]], capsys: pytest.CaptureFixture[str]) -> list[str]:
    clock = Clock(0.0)
    lines = Lines(Output(), Meter(2, 10**9, 0.0), clock)
    for clock.now, event in events:
        lines(event)
    return capsys.readouterr().err.splitlines()


def test_plain_lines_come_at_every_tenth_or_after_five_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    """A fast upload logs about ten lines, a slow one a line every five minutes."""
    size = 10**9
    start = UploadStarted("a", "id", size, size // 10, 10)
    fast = [(0.0, start), *[(number / 10, BytesSent("a", size // 100)) for number in range(1, 100)]]
    lines = told(fast, capsys)
    assert [line.split()[1] for line in lines[1:]] == [str(percent) for percent in range(10, 100, 10)]
    slow = [(0.0, start), *[(number * 100.0, BytesSent("a", size // 1000)) for number in range(1, 10)]]
    assert len(told(slow, capsys)) == 1 + 3


def test_threads_that_wait_together_say_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Eight workers that wait for the rate limit print one line."""
    waits = [(number / 10, RateLimitWait(30.0 - number / 10)) for number in range(8)]
    assert len(told([*waits, (40.0, RateLimitWait(30.0))], capsys)) == 2


def test_a_skipped_file_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """A skipped file is reported with the reason."""
    assert told([(0.0, UploadSkipped("a\x1b", "It is there."))], capsys) == ["a\\x1b: skipped. It is there."]


@given(st.text(min_size=1, max_size=80), st.integers(5, 40))
def test_names_are_cut_in_the_middle(name: str, width: int) -> None:
    """A long name is cut in the middle, since its end identifies it."""
    short = shorten(visible(name), width)
    assert Console().measure(short).maximum <= width or "\n" in short


@given(st.lists(st.text("ab", min_size=20, max_size=60), min_size=1, max_size=8, unique=True))
def test_names_that_differ_are_shown_differently(names: list[str]) -> None:
    """Eight similar names are shown differently on 80 columns, if half of each differing end fits."""
    width = Layout(80, max(map(len, names))).name
    short = shorten_all(names, width)
    assert all(len(name) <= width for name in short)
    assert len(set(short)) == len(names) or len({name[-40:] for name in names}) < len(names)


def test_similar_names_are_shown_differently() -> None:
    """Two names are shown differently, whether they differ at the start, in the middle or at the end."""
    for form in ("S1_R{}.fastq.gz" + "x" * 60, "x" * 60 + "_R{}.fastq.gz", "x" * 40 + "_R{}_" + "y" * 40):
        names = [form.format(number) for number in (1, 2)]
        for width in (12, 30, 50):
            first, second = shorten_all(names, width)
            assert first != second
            assert max(len(first), len(second)) <= width


@given(st.lists(st.text("ab", max_size=12), min_size=1, max_size=8, unique=True), st.integers(1, 12))
@example(["x" * 9 + "1" + "y" * 9 + "1", "x" * 9 + "1" + "y" * 9 + "2" + "z", "x" * 9 + "2" + "y" * 9 + "1"], 9)
def test_names_on_any_width(names: list[str], width: int) -> None:
    """Names are shortened to any width, even if it is too narrow to show them differently."""
    assert all(len(name) <= width for name in shorten_all(names, width))


def test_a_file_without_a_byte_is_stalled() -> None:
    """A file is shown as stalled if no byte is sent, but not during a wait for the rate limit."""
    meter = Meter(1, 1000, 0.0)
    meter.take(UploadStarted("a", "id", 1000, 100, 10), 0.0)
    meter.take(BytesSent("a", 100), 1.0)
    progress = meter.active["a"]
    assert [meter.stalled(progress, now) for now in (2.0, 7.0)] == [0.0, 6.0]
    assert "stalled for 6 s" in drawn(meter, 7.0)
    assert "stalled 12 min\n" in drawn(meter, 721.0)
    meter.take(RateLimitWait(30.0), 7.0)
    assert meter.stalled(progress, 8.0) == 0.0


def test_an_outage_counts_up_and_ends() -> None:
    """The shown duration of an outage grows between events, and ends with the outage."""
    meter = Meter(1, 1000, 0.0)
    meter.take(PartRetried("a", 1, 2, "connection refused", 1.0), 40.0)
    meter.take(Outage(60.0, 1, "connection refused"), 100.0)
    assert meter.trouble(130.0) == "No part sent for 1 min 30 s; 1 part waiting (connection refused)"
    meter.take(Outage(90.0, 0, "", over=True), 131.0)
    assert meter.trouble(132.0) is None
    meter.take(PartRetried("a", 2, 2, "timed out", 1.0), 140.0)
    assert meter.trouble(160.0) == "No part sent for 20 s; 1 part waiting (timed out)"


def test_after_an_outage_the_speed_is_that_of_now() -> None:
    """Time without a connection does not lower the speed of a file or of the run."""
    meter = Meter(1, 1000, 0.0)
    meter.take(UploadStarted("a", "id", 1000, 100, 10, 0, 0), 0.0)
    meter.take(BytesSent("a", 100), 1.0)
    meter.take(Outage(60.0, 1, "no connection"), 61.0)
    meter.take(Outage(70.0, 0, "", over=True), 71.0)
    meter.take(BytesSent("a", 200), 73.0)
    assert (meter.speed.value(73.0), meter.active["a"].speed.value(73.0)) == (100.0, 100.0)


def test_a_file_counts_when_it_is_there() -> None:
    """Only completed files count as finished, and parts that the server keeps of others are counted."""
    meter = Meter(3, 3000, 0.0)
    meter.take(STARTED, 0.0)
    meter.take(PartSent("a", 6, 100, 1.0), 1.0)
    meter.take(UploadFailed("a", errors.Interrupted("x"), True), 2.0)
    assert (meter.finished, meter.failed, meter.kept_bytes, meter.kept_parts) == (0, 0, 600, 6)
    meter.take(UploadSkipped("b", "x"), 3.0)
    assert meter.finished == 1


@given(st.integers(20, 300))
def test_bars_fit_any_terminal(width: int) -> None:
    """No line of the bars is broken on a terminal of any width."""
    out = io.StringIO()
    layout = Layout(width)
    layout.add("sample-07.R1.fastq.gz", 5 * 1024**3, 10 * 1024**4, 123456789.0, now=0.0)
    Console(file=out, width=width, force_terminal=True, color_system=None).print(layout.table)
    (line,) = out.getvalue().splitlines()
    assert len(line) <= width
    assert "0 %" in line


def test_bars_draw_what_is_under_way() -> None:
    """There is a row for each open file, one for the run, and the countdown."""
    meter = Meter(2, 2000, 0.0)
    bars = Bars(Output(), meter, Clock(0.0))
    bars(STARTED)
    bars(RateLimitWait(90.0))
    text = drawn(meter, 0.0)
    assert "50 %" in text
    assert "0 of 2 files" in text
    assert "API rate limit reached; resuming in 1 min 30 s" in text


def test_the_sizes_of_streams_and_urls_are_added_as_they_appear() -> None:
    """A run with streams and URLs is never shown as more than 100 %."""
    meter = Meter(2, 0, 0.0, ["s", "u"])
    meter.take(UploadStarted("s", "1", None, 100, None), 0.0)
    meter.take(BytesSent("s", 70), 1.0)
    meter.take(UploadStarted("u", "2", 30, 100, 1), 1.0)
    assert (meter.done, meter.size) == (70, 100)
