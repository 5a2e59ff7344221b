"""The rules without a socket: part sizes, part numbers, rate windows, signatures, and a model of an upload."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from mock_client import md5, report

from cavatica_mock.blobs import Blobs
from cavatica_mock.contract import Invalid, load
from cavatica_mock.errors import CODES, MORE_INFO, Problem
from cavatica_mock.files import Locations
from cavatica_mock.settings import (
    DEFAULT_PART_SIZE,
    MAX_FILE_SIZE,
    MAX_PART_SIZE,
    MAX_PARTS,
    MIN_PART_SIZE,
    Settings,
)
from cavatica_mock.state import RateLimit
from cavatica_mock.storage import Grant, Refused, Signer
from cavatica_mock.store import Ids, Piece, Store
from cavatica_mock.uploads import Uploads, bare, part_count, part_size_for

SIZES = st.integers(0, MAX_FILE_SIZE) | st.sampled_from([0, 1, MAX_FILE_SIZE, MAX_PARTS * DEFAULT_PART_SIZE + 1])


@given(size=st.none() | SIZES, asked=st.none() | st.integers(1, 2 * MAX_PART_SIZE))
def test_every_file_fits_in_ten_thousand_parts(size: int | None, asked: int | None) -> None:
    """For any request, storage supports the part size and the file fits into 10,000 parts."""
    part_size = part_size_for(size, asked, MIN_PART_SIZE)
    assert MIN_PART_SIZE <= part_size <= MAX_PART_SIZE
    assert 1 <= part_count(size, part_size) <= MAX_PARTS
    assert size is None or part_count(size, part_size) * part_size >= size


@given(size=st.integers(0, 2**40), asked=st.integers(MIN_PART_SIZE, MAX_PART_SIZE))
def test_a_part_size_that_works_is_kept(size: int, asked: int) -> None:
    """The server changes it only if the file would need too many parts."""
    chosen = part_size_for(size, asked, MIN_PART_SIZE)
    assert chosen == asked if -(-size // asked) <= MAX_PARTS else chosen > asked


@pytest.mark.parametrize("asked", [None, 1, MIN_PART_SIZE - 1, MAX_PART_SIZE + 1])
def test_an_unfit_part_size_gives_the_default(asked: int | None) -> None:
    """The documented answer to a size that storage does not support."""
    assert part_size_for(10**9, asked, MIN_PART_SIZE) == DEFAULT_PART_SIZE


@given(st.text(max_size=20))
def test_quotes_are_taken_off_once(text: str) -> None:
    """Only a pair of quotes around the whole text is removed."""
    assert bare(f'"{text}"') == text
    assert bare(text) == text or (text[0] == text[-1] == '"' and len(text) > 1)


@given(
    limit=st.integers(1, 5),
    seconds=st.integers(1, 100),
    gaps=st.lists(st.integers(0, 60), max_size=40),
    start=st.floats(1e9, 2e9),
)
def test_no_window_holds_more_calls_than_the_limit(limit: int, seconds: int, gaps: list[int], start: float) -> None:
    """Between two resets at most `limit` calls pass, the count goes down by one, and the reset is never in the past."""
    now = [start]
    rates = RateLimit((limit, seconds), lambda: now[0])
    passed: dict[int, int] = {}
    for gap in gaps:
        now[0] += gap
        before = rates.look("user")
        after = rates.spend("user")
        assert after.reset == before.reset > now[0]
        assert after.refused == (before.remaining == 0)
        assert after.remaining == max(0, before.remaining - 1)
        passed[after.reset] = passed.get(after.reset, 0) + (not after.refused)
    assert all(count <= limit for count in passed.values())


def test_tokens_do_not_share_a_window() -> None:
    """The calls of one token do not count for another."""
    rates = RateLimit((1, 10), lambda: 1e9)
    assert not rates.spend("first").refused
    assert rates.spend("first").refused
    assert not rates.spend("second").refused


@given(
    grant=st.builds(Grant, st.sampled_from(["PUT", "GET"]), st.text(min_size=1), st.text(), st.integers(0, MAX_PARTS)),
    expires=st.integers(0, 2**37),
    now=st.integers(0, 2**37),
)
def test_a_signature_holds_for_what_was_signed_until_it_expires(grant: Grant, expires: int, now: int) -> None:
    """And for nothing else."""
    signer = Signer(b"secret")
    query = {"uploadId" if grant.part else "fileId": grant.subject, "partNumber": str(grant.part)}
    query |= {"Expires": str(expires), "Signature": signer._signature(grant, expires)}
    if now < expires:
        assert signer.check(grant.method, grant.key, query, now) == grant
    else:
        with pytest.raises(Refused, match="Request has expired"):
            signer.check(grant.method, grant.key, query, now)
    with pytest.raises(Refused, match="does not match the signature"):
        signer.check(grant.method, grant.key + "x", query, now)
    with pytest.raises(Refused, match="does not match the signature"):
        Signer(b"other").check(grant.method, grant.key, query, now)


def test_the_same_seed_gives_the_same_ids() -> None:
    """And no seed gives others each time."""
    one, same, other, free = Ids(1), Ids(1), Ids(2), Ids(None)
    assert [one.upload(), one.file()] == [same.upload(), same.file()]
    assert len({one.upload(), other.upload(), free.upload(), free.upload()}) == 4
    assert len(free.upload()) == 64
    load().compile({"$ref": "#/components/schemas/FileId"}).validate(free.file())


@pytest.mark.parametrize("number", sorted(CODES))
def test_every_code_makes_a_body_that_fits_the_document(number: int) -> None:
    """Four keys, the status repeated, a link that ends in the code."""
    body = Problem(number, "Because.").body()
    load().compile({"$ref": "#/components/schemas/ApiError"}).validate(body)
    assert (body["status"], body["code"], body["more_info"]) == (CODES[number][0], number, f"{MORE_INFO}{number}")


def test_a_refusal_of_a_long_value_stays_short() -> None:
    """A validator quotes the value that it refuses; the message shortens it."""
    validator = load().operations["startUpload"].body
    assert validator is not None
    with pytest.raises(Invalid) as caught:
        validator.check({"project": "a/b", "name": "x" * 2**20})
    assert len(caught.value.why) < 300


def etag_in(kept: Any) -> str:
    return str(kept["response"]["headers"]["ETag"])


class UploadModel(RuleBasedStateMachine):
    """Puts, single and bulk reports, completions and aborts, compared with a model."""

    size = 7
    part_size = 3
    outcomes: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store(None)
        self.blobs = Blobs(Path(self.folder.name))
        places, ids = Locations(self.store, None), Ids(0)
        rules = Settings(tokens=("t",), clock=lambda: 1e9, min_part_size=1)
        self.uploads = Uploads(self.store, self.blobs, places, ids, rules)
        self.stored: dict[int, bytes] = {}
        self.reported: dict[int, str] = {}
        self.number = 0

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        wanted = {"project": "a/b", "name": f"file-{self.number}", "size": self.size, "part_size": self.part_size}
        self.upload = self.uploads.start("user", wanted, overwrite=False)
        self.number += 1
        self.stored, self.reported = {}, {}

    @rule(number=st.integers(1, 3), letter=st.sampled_from([b"a", b"b"]), whole=st.booleans())
    def put(self, number: int, letter: bytes, whole: bool) -> None:
        data = letter * (1 if number == 3 else 3) if whole else letter
        incoming = self.blobs.incoming()
        incoming.write(data)
        assert self.uploads.keep(self.upload.id, number, incoming, incoming.md5().hex())
        self.stored[number] = data

    @rule(numbers=st.lists(st.integers(0, 4), max_size=4), right=st.booleans(), in_bulk=st.booleans())
    def report(self, numbers: list[int], right: bool, in_bulk: bool) -> None:
        etags = {number: md5(self.stored.get(number, b"?")) if right else "0" * 32 for number in numbers}
        reports: list[dict[str, Any]] = [report(number, etags[number]) for number in numbers]
        for batch in [reports] if in_bulk else [[one] for one in reports]:
            wanted = [one["part_number"] for one in batch]
            if all(1 <= number <= 3 for number in wanted):
                self.uploads.report(self.upload, batch)
                self.reported |= {number: etags[number] for number in wanted}
            else:
                with pytest.raises(Problem) as caught:
                    self.uploads.report(self.upload, batch)
                assert caught.value.code == 8012

    @rule(extra=st.lists(st.integers(1, 3), unique=True))
    def complete(self, extra: list[int]) -> None:
        etags = self.reported | {number: md5(self.stored.get(number, b"?")) for number in extra}
        reports = [report(number, etags[number]) for number in extra]
        good = all(number in self.stored and etags[number] == md5(self.stored[number]) for number in etags)
        data = b"".join(self.stored.get(number, b"") for number in sorted(etags))
        if (
            good
            and set(self.stored) <= set(etags)
            and sorted(etags) == list(range(1, len(etags) + 1))
            and etags
            and len(data) == self.size
        ):
            file = self.uploads.complete(self.upload, reports)
            assert b"".join(self.blobs.read(self.store.pieces(file.id))) == data
            self.outcomes["completed"] += 1
            self.begin()
        else:
            with pytest.raises(Problem) as caught:
                self.uploads.complete(self.upload, reports)
            assert caught.value.code == 8007
            self.outcomes["refused"] += 1

    @rule(and_complete=st.booleans())
    def put_and_report_all(self, and_complete: bool) -> None:
        for number in (1, 2, 3):
            self.put(number, b"c", whole=True)
        self.report([1, 2, 3], right=True, in_bulk=True)
        if and_complete:
            self.complete([])

    @rule()
    def abort(self) -> None:
        self.uploads.abort(self.upload)
        with pytest.raises(Problem):
            self.uploads.find("user", self.upload.id)
        self.outcomes["aborted"] += 1
        self.begin()

    @invariant()
    def the_store_knows_what_the_model_knows(self) -> None:
        if not hasattr(self, "upload"):
            return
        parts = self.store.parts(self.upload.id)
        shown = {part.number: etag_in(part.report) for part in parts if part.report is not None}
        assert shown == self.reported
        assert {part.number: part.etag for part in parts if part.blob} == {
            number: md5(data) for number, data in self.stored.items()
        }

    @invariant()
    def every_blob_on_disk_is_wanted(self) -> None:
        there = {path.name for path in (Path(self.folder.name) / "blobs").iterdir()}
        assert there == self.store.blobs()
        assert list((Path(self.folder.name) / "partial").iterdir()) == []


def test_an_upload_does_what_the_model_does() -> None:
    """In any order of calls. The run must complete, refuse and abort uploads."""
    UploadModel.outcomes.clear()
    run_state_machine_as_test(UploadModel, settings=settings(max_examples=60, stateful_step_count=25))
    assert set(UploadModel.outcomes) == {"completed", "refused", "aborted"}


def test_a_transaction_that_fails_leaves_nothing() -> None:
    """All of it or none of it."""
    store = Store(None)

    def fail() -> None:
        with store.transaction():
            store.add_root("0" * 24, "a/b")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.project_of_root("0" * 24) is None
    with store.transaction():
        store.add_root("0" * 24, "a/b")
    assert store.project_of_root("0" * 24) == "a/b"
    store.close()


@settings(max_examples=50)
@given(
    pieces=st.lists(st.binary(max_size=9), max_size=6), start=st.integers(0, 60), length=st.none() | st.integers(0, 60)
)
def test_reading_over_pieces_is_reading_the_whole(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], start: int, length: int | None
) -> None:
    """A range of the sequence is the range of the bytes put together."""
    blobs = Blobs(tmp_path_factory.mktemp("blobs"))
    kept = []
    for data in pieces:
        incoming = blobs.incoming()
        incoming.write(data)
        incoming.keep()
        kept.append(Piece(incoming.blob, len(data)))
    whole = b"".join(pieces)
    end = len(whole) if length is None else start + length
    assert b"".join(blobs.read(kept, start, length)) == whole[start:end]
