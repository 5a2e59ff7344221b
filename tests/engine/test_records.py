"""The files on disk: journal, receipts, and the sources of bytes."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavatica_upload import receipt as receipts_of
from cavatica_upload import verify
from cavatica_upload.destination import Destination
from cavatica_upload.disk import Identity, state_dir
from cavatica_upload.engine.proof import keep
from cavatica_upload.errors import FileChanged, SourceError, UsageError
from cavatica_upload.journal import journal as journal_module
from cavatica_upload.journal.journal import Journal
from cavatica_upload.journal.records import Entry
from cavatica_upload.md5 import new_digest
from cavatica_upload.plan import Plan
from cavatica_upload.receipt import FileDigest, Receipt, ReceiptPart, composite
from cavatica_upload.request import sidecar_md5
from cavatica_upload.sources import local as sources
from cavatica_upload.sources.local import LocalFile
from cavatica_upload.storage import SentPart
from cavatica_upload.verification import ReceiptIndex

PROJECT = Destination(project="me/study")


def entry(number: int = 1, **changes: object) -> Entry:
    made = Entry(
        upload_id=f"upload-{number}",
        endpoint="https://api/v2",
        destination=PROJECT,
        requested_name="a",
        name="a",
        identity=Identity("/data/a", 100, device=2**63 + 5, inode=2**64 - 1, mtime_ns=3),
        part_size=10,
        started="2026-01-01T00:00:00Z",
    )
    return attrs.evolve(made, **changes)


def sent(number: int, **changes: object) -> SentPart:
    return attrs.evolve(SentPart(number, 10, "0" * 32, {"ETag": "0" * 32}), **changes)


# The journal


def test_journal_remembers(tmp_path: Path) -> None:
    """Another journal on the same folder reads what was written, until it is deleted."""
    journal = Journal(tmp_path)
    added = journal.add(entry())
    journal.put(added, sent(2), sent(1))
    journal.put(added, sent(1, reported=True))
    journal.update(added, completing="2026-01-01T00:00:00Z")
    again = Journal(tmp_path)
    (found,) = again.find("https://api/v2", PROJECT, "a")
    assert found == attrs.evolve(added, completing="2026-01-01T00:00:00Z")
    assert again.parts(found) == {1: sent(1, reported=True), 2: sent(2)}
    again.put(found, sent(3), stale=[2])
    assert set(journal.parts(found)) == {1, 3}
    journal.forget(found)
    assert again.entries() == []
    assert again.parts(found) == {}
    journal.close()
    again.close()


def test_journal_keeps_uploads_apart(tmp_path: Path) -> None:
    """Another endpoint, destination or name is another upload."""
    journal = Journal(tmp_path)
    others = [
        entry(2, endpoint="https://other/v2"),
        entry(3, destination=Destination(parent="5bd7c53ee4b04b8fb1a9f63d")),
        entry(4, requested_name="b"),
    ]
    for other in others:
        journal.add(other)
    assert journal.find("https://api/v2", PROJECT, "a") == []
    assert {found.upload_id for found in journal.entries()} == {"upload-2", "upload-3", "upload-4"}
    assert journal.entries()[1].destination == others[1].destination
    journal.close()


WRITER = """
import sys
from pathlib import Path
from cavatica_upload.journal.journal import Journal
from cavatica_upload.storage import SentPart
journal = Journal(Path(sys.argv[1]))
(found,) = journal.entries()
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 50):
    journal.put(found, SentPart(number, 10, None, {}))
journal.close()
"""


def test_journal_is_shared_by_processes(tmp_path: Path) -> None:
    """Three processes write to the journal at the same time, and nothing is lost."""
    journal = Journal(tmp_path)
    added = journal.add(entry())
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(first)]) for first in (1, 51, 101)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert set(journal.parts(added)) == set(range(1, 151))
    journal.close()


def test_journal_is_created_by_many_threads(tmp_path: Path) -> None:
    """Several threads may create the journal at the same moment."""
    journals: list[Journal] = []
    threads = [threading.Thread(target=lambda: journals.append(Journal(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journals) == 8
    journals[0].add(entry())
    assert len(journals[7].entries()) == 1
    for journal in journals:
        journal.close()


BEGINNER = """
import sys
from pathlib import Path
from cavatica_upload.journal.journal import Journal
told = []
journal = Journal(Path(sys.argv[1]), told.append)
sys.stdin.read()
told = [text for text in told if "waiting" not in text]  # on a busy machine
journal.starting("e", __import__("cavatica_upload").Destination(project="me/study"), sys.argv[2], "n", 1.0)
print(told, journal.unanswered("e", __import__("cavatica_upload").Destination(project="me/study"), sys.argv[2]))
"""


def test_journal_is_created_by_many_processes(tmp_path: Path) -> None:
    """Sixteen processes that start together share a journal that needs no shared memory."""
    command = [sys.executable, "-c", BEGINNER, str(tmp_path / "new")]
    many = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(16)
    ]
    assert {process.communicate()[0] for process in many} == {"[] ('n', 1.0, 'fail')\n"}
    with sqlite3.connect(tmp_path / "new" / "journal.sqlite") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    database.close()


@pytest.mark.parametrize("where", [0, 30, 4096])
def test_damage_anywhere_sets_the_journal_aside(tmp_path: Path, where: int) -> None:
    """A journal that is damaged or no database is renamed, and a new one is made."""
    journal = Journal(tmp_path)
    journal.add(entry())
    journal.close()
    content = bytearray(journal.path.read_bytes())
    content[where : where + 200] = b"\xff" * 200
    journal.path.write_bytes(content)
    told: list[str] = []
    again = Journal(tmp_path, told.append)
    (aside,) = tmp_path.glob("journal.sqlite.damaged-*")
    assert aside.read_bytes() == content
    assert len(told) == 1
    assert str(aside) in told[0]
    assert again.entries() == []
    again.close()


@pytest.mark.parametrize(
    "change",
    [
        "PRAGMA user_version = 4",
        "CREATE TABLE uploads (x)",
        "DROP TABLE parts",
        "DROP TABLE starts",
        "ALTER TABLE uploads DROP COLUMN abandoned",
        "ALTER TABLE parts RENAME COLUMN md5 TO sha1",
    ],
)
def test_other_tables_set_the_journal_aside(tmp_path: Path, change: str) -> None:
    """A database with other tables or columns than a journal's is renamed, and a new one is made."""
    if change.startswith(("DROP", "ALTER")):
        Journal(tmp_path).close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as database:
        database.execute(change)
    database.close()
    told: list[str] = []
    again = Journal(tmp_path, told.append)
    again.put(again.add(entry()), sent(1))
    assert again.trouble is None
    assert len(again.entries()) == len(told) == len(list(tmp_path.glob("journal.sqlite.damaged-*"))) == 1
    again.close()


def test_journal_that_cannot_be_written(tmp_path: Path) -> None:
    """After its first error the journal switches itself off, with one message, and returns nothing."""
    told: list[str] = []
    journal = Journal(tmp_path, told.append)
    added = journal.add(entry())
    with sqlite3.connect(journal.path) as database:
        database.execute("DROP TABLE parts")
    database.close()
    journal.put(added, sent(1))
    journal.update(added, abandoned=True)
    assert (journal.entries(), journal.parts(added)) == ([], {})
    assert len(told) == 1
    assert "cannot be used" in told[0]
    assert journal.trouble
    journal.close()


@pytest.mark.parametrize("number", [2**63, 2**70])
def test_large_numbers_do_not_crash_the_journal(tmp_path: Path, number: int) -> None:
    """Times and sizes of any file are kept; a number too large for SQLite does not crash."""
    told: list[str] = []
    journal = Journal(tmp_path, told.append)
    far = entry(identity=Identity("/data/\udcff", 2**62, mtime_ns=number, ctime_ns=-number))
    assert journal.find("https://api/v2", PROJECT, "a") == []
    assert [journal.add(far)] == journal.entries()
    assert told == []
    journal.add(entry(2, part_size=number))
    assert journal.entries() == []
    assert len(told) == 1
    journal.close()


SPOILT = [
    "UPDATE uploads SET identity = '{'",
    "UPDATE uploads SET identity = '[]'",
    "UPDATE uploads SET identity = '{\"path\": 1}'",
    "UPDATE uploads SET started = 'yesterday'",
    "UPDATE uploads SET completing = ''",
    "UPDATE uploads SET destination = 'nowhere'",
    "UPDATE uploads SET destination = 'parent:../..'",
    "UPDATE uploads SET part_size = 0",
    'UPDATE uploads SET identity = \'{"path": "", "size": Infinity}\'',
    "UPDATE uploads SET name = CAST(x'ff' AS TEXT)",
    "UPDATE uploads SET if_exists = CAST(x'ff' AS TEXT)",
    "UPDATE parts SET headers = CAST(x'ff' AS TEXT)",
    "UPDATE parts SET headers = '7'",
    "UPDATE parts SET headers = 'x'",
]


@pytest.mark.parametrize("spoil", SPOILT)
def test_damaged_rows_are_skipped(tmp_path: Path, spoil: str) -> None:
    """A row that cannot be read is reported once and skipped."""
    told: list[str] = []
    journal = Journal(tmp_path, told.append)
    added = journal.add(entry())
    journal.put(added, sent(1))
    with sqlite3.connect(journal.path) as database:
        database.execute(spoil)
    database.close()
    other = journal.add(entry(2))
    journal.put(other, sent(2))
    for _ in range(2):
        assert other in journal.entries()
        assert journal.parts(added) == {} or added not in journal.entries()
    assert journal.parts(other) == {2: sent(2)}
    assert len(told) == 1
    journal.close()


@pytest.mark.parametrize("value", ["NULL", "x'ff00'", "1.5", "'x'", "-1"])
@pytest.mark.parametrize(
    ("table", "column"),
    [
        *(("uploads", column) for column in ("upload_id", "name", "identity", "if_exists", "part_size", "started")),
        *(("parts", column) for column in ("number", "size", "md5", "headers", "reported")),
        *(("starts", column) for column in ("name", "began")),
    ],
)
def test_wrong_types_are_skipped(tmp_path: Path, table: str, column: str, value: str) -> None:
    """Values of wrong types in any column are skipped."""
    journal = Journal(tmp_path)
    journal.put(journal.add(entry()), sent(1))
    journal.starting("https://api/v2", PROJECT, "b", "b", 1.0)
    journal.close()
    with sqlite3.connect(journal.path) as database:
        for name in ("uploads", "parts", "starts"):
            database.execute(f"CREATE TABLE loose AS SELECT * FROM {name}")
            database.execute(f"DROP TABLE {name}")
            database.execute(f"ALTER TABLE loose RENAME TO {name}")
        database.execute(f"UPDATE {table} SET {column} = {value}")
    database.close()
    again = Journal(tmp_path)
    for found in again.entries():
        assert all(isinstance(text, str) for text in (found.upload_id, found.name, found.if_exists, found.started))
        assert all(isinstance(part.number, int) for part in again.parts(found).values())
    started = again.unanswered("https://api/v2", PROJECT, "b")
    assert started is None or isinstance(started[1], float)
    assert again.trouble is None
    again.close()


@pytest.mark.parametrize(("version", "age"), [(99, "a later version"), (2, "an earlier version")])
def test_journal_of_another_version_is_set_aside(tmp_path: Path, version: int, age: str) -> None:
    """A journal of another version is renamed, and a message says where it is."""
    kept = []
    for _ in range(2):
        journal = Journal(tmp_path)
        journal.add(entry())
        journal.close()
        with sqlite3.connect(journal.path) as database:
            database.execute(f"PRAGMA user_version = {version}")
        database.close()
        kept.append(journal.path.read_bytes())
        told: list[str] = []
        again = Journal(tmp_path, told.append)
        assert again.entries() == []
        again.close()
        assert len(told) == 1
        assert age in told[0]
    aside = list(tmp_path.glob("journal.sqlite.damaged-*"))
    assert [path.read_bytes() for path in sorted(aside)] == kept


def test_journal_that_another_process_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked journal is waited for with a message; if it stays locked, the upload continues without it."""
    monkeypatch.setattr(journal_module, "BUSY_SECONDS", 0.01)
    Journal(tmp_path).close()
    holder = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None, check_same_thread=False)
    for ends in (True, False):
        holder.execute("BEGIN EXCLUSIVE")
        told: list[str] = []

        def tell(text: str, ends: bool = ends, told: list[str] = told) -> None:
            if ends and not told:
                holder.execute("ROLLBACK")
            told.append(text)

        journal = Journal(tmp_path, tell)
        assert "waiting" in told[0]
        assert (journal.trouble is None) == ends
        journal.close()
    holder.close()


def test_state_is_for_this_user_only(tmp_path: Path) -> None:
    """Folders are 0700 and files 0600 with any umask; a folder that others use keeps its mode."""
    (tmp_path / "file").write_bytes(CONTENT)
    for mask in (0, 0o077, 0o777):
        empty = tmp_path / f"empty{mask}"
        empty.mkdir()
        empty.chmod(0o777)
        old = os.umask(mask)
        try:
            for folder in (tmp_path / f"{mask}/b/state", empty):
                Journal(folder).close()
                receipts_of.write(receipt(tmp_path / "file"), folder / "receipts")
        finally:
            os.umask(old)
        for folder in (empty, tmp_path / f"{mask}"):
            for path in (folder, *folder.rglob("*")):
                assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o755)
    (tmp_path / "shared" / "file").touch()
    Journal(tmp_path / "shared").close()
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o755


def test_folder_of_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The given state folder takes precedence over the environment's, and that over the user's."""
    assert state_dir(tmp_path / "given") == tmp_path / "given"
    assert state_dir() == tmp_path / "state"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CAVATICA_STATE_DIR", "~/mine")  # as a file of variables has it, which no shell reads
    assert state_dir() == tmp_path / "mine"
    monkeypatch.delenv("CAVATICA_STATE_DIR")
    assert state_dir().name == "cavatica-upload"


# Parts that are kept


CONTENT = bytes(range(100))


def digest(number: int) -> str:
    part = Plan(100, 10).part(number)
    taken = new_digest()
    taken.update(CONTENT[part.offset : part.offset + part.size])
    return taken.hexdigest()


@given(
    ours=st.dictionaries(st.integers(1, 10), st.sampled_from(["right", "wrong", "opaque", "size"])),
    theirs=st.dictionaries(st.integers(1, 10), st.sampled_from(["right", "wrong", "opaque", "quoted"])),
)
def test_kept_parts_are_proved(
    tmp_path_factory: pytest.TempPathFactory, ours: dict[int, str], theirs: dict[int, str]
) -> None:
    """Only parts that are proved are kept, and no proved part is sent again."""
    path = tmp_path_factory.getbasetemp() / "content"
    path.write_bytes(CONTENT)
    source = LocalFile(path)

    def etag(number: int, kind: str) -> str:
        return {"right": digest(number), "quoted": f'"{digest(number).upper()}"', "wrong": "f" * 32}.get(
            kind, "opaque-1"
        )

    journalled = {
        number: SentPart(
            number, 7 if kind == "size" else 10, digest(number), {"ETag": etag(number, kind)}, reported=True
        )
        for number, kind in ours.items()
    }
    reported = {number: {"etag": etag(number, kind)} for number, kind in theirs.items()}
    kept = keep(Plan(100, 10), source, journalled, reported).parts
    source.close()
    for number in range(1, 11):
        mine, server = ours.get(number), theirs.get(number)
        if server in ("right", "quoted"):
            assert number in kept
        elif server == "wrong":
            assert (number in kept) == (mine == "wrong")  # the same ETag in both: storage has what we sent
        elif server == "opaque":
            assert (number in kept) == (mine == "opaque")
        else:
            assert (number in kept) == (mine not in (None, "size"))
        if number in kept:
            assert kept[number].reported == (server is not None)


# Receipts


def receipt(path: Path, part_size: int = 10, hashed: bool = True) -> Receipt:
    """The receipt of an upload of the file at `path`."""
    content = path.read_bytes()
    parts = []
    for part in Plan(len(content), part_size):
        taken = new_digest()
        taken.update(content[part.offset : part.offset + part.size])
        value = taken.hexdigest() if hashed else None
        parts.append(ReceiptPart(part.number, part.size, value, value, verified=hashed))
    return Receipt(
        file_id="f1",
        name="ü b/a",
        project="me/study",
        parent=None,
        source=str(path),
        upload_id="u1",
        size=len(content),
        part_size=part_size,
        parts=tuple(parts),
        composite=composite([part.md5 for part in parts if part.md5]) if hashed else None,
        verified=hashed,
        not_verified=() if hashed else ("nothing",),
        digest=FileDigest("sha256", "0" * 64, "computed"),
        started="2026-01-01T00:00:00Z",
        finished="2026-01-01T00:00:01Z",
        endpoint="https://api/v2",
        contract_version="2.0",
        tool_version="0.1",
    )


def test_receipt_is_written_whole_and_read_again(tmp_path: Path) -> None:
    """A receipt is read as it was written; a failed write leaves nothing."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    made = receipts_of.write(receipt(path), tmp_path / "receipts")
    assert made.path is not None
    assert receipts_of.read(made.path) == made
    assert json.loads(made.path.read_text())["version"] == 1
    assert [file.name for file in (tmp_path / "receipts").iterdir()] == [made.path.name]
    (tmp_path / "receipts" / "other.json").write_text("{}")
    assert list(receipts_of.receipts(tmp_path / "receipts")) == [made]
    assert list(receipts_of.receipts(tmp_path / "nowhere")) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a receipt"),
        ("[]", "not a receipt"),
        ('{"schema": "cavatica-upload receipt", "version": 2}', "version 2: a later version"),
        ('{"schema": "cavatica-upload receipt", "version": 1}', "incomplete"),
        ('{"schema": "cavatica-upload receipt", "version": 1, "parts": [{}]}', "incomplete"),
        ('{"schema": "cavatica-upload receipt", "version": 1, "parts": 7}', "incomplete"),
        ('{"schema": "cavatica-upload receipt", "version": true}', "damaged: there is no version true"),
        ('{"schema": "cavatica-upload receipt", "version": 0}', "damaged: there is no version 0"),
        ('{"schema": "cavatica-upload receipt"}', "damaged: there is no version null"),
        ('{"size": ' + "9" * 5000 + "}", "not a receipt"),
        (" " * (16 * 1024 * 1024 + 1), "too large"),
    ],
)
def test_text_that_is_not_a_receipt(tmp_path: Path, text: str, message: str) -> None:
    """Text that is not a receipt is refused with a sentence that names the file."""
    path = tmp_path / "receipt.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=message) as caught:
        receipts_of.read(path)
    assert str(path) in caught.value.message


@given(
    name=st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=120)
    | st.text("._- aü1", min_size=1, max_size=200),
    file_id=st.text("0123456789abcdef-_.", min_size=1, max_size=60),
)
def test_a_receipt_is_found_again_by_its_name(
    tmp_path_factory: pytest.TempPathFactory, name: str, file_id: str
) -> None:
    """The receipt of a file with any name is found by the receipt's name."""
    folder = tmp_path_factory.mktemp("receipts")
    path = folder / "file"
    path.write_bytes(CONTENT)
    made = receipts_of.write(attrs.evolve(receipt(path), name=name, file_id=file_id), folder)
    assert ReceiptIndex(folder, "https://api/v2").of_file(file_id, name) == made


@pytest.mark.parametrize(
    "spoilt",
    [
        *({"size": size} for size in (-1, 10**400, 1.0, None, "1")),
        *({"part_size": size} for size in (0, -3, True)),
        *({"identity": identity} for identity in ([], 0, {}, True, "x")),
        *({"digest": digest} for digest in ([], 0, {}, {"algorithm": 1})),
        *({"source": source} for source in ("/tmp/\0x", "/tmp/\ud800", 7)),
        *({"name": name} for name in (None, [], "\ud800")),
        *({"parts": [part]} for part in ({}, None, {"number": 0, "size": 1, "md5": None, "etag": None})),
    ],
)
def test_receipt_with_impossible_values_is_refused(tmp_path: Path, spoilt: dict[str, object]) -> None:
    """A receipt with an impossible value is refused."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    document = json.loads(receipt(path).to_json())
    Receipt.from_json(json.dumps(document))
    with pytest.raises(SourceError, match="incomplete or damaged"):
        Receipt.from_json(json.dumps(document | spoilt))


@given(st.data())
@settings(max_examples=50)
def test_verify_finds_the_part_that_differs(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """verify() finds the part with one changed byte, offline, and confirms an unchanged file."""
    path = tmp_path_factory.getbasetemp() / "verified"
    size = data.draw(st.integers(0, 200))
    path.write_bytes(os.urandom(size))
    made = receipt(path)
    assert verify(made, path).ok
    if size:
        at = data.draw(st.integers(0, size - 1))
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)
        found = verify(made, path)
        assert not found.ok
        assert found.wrong_parts == (at // 10 + 1,)


def test_a_receipt_is_shown_without_its_parts(tmp_path: Path) -> None:
    """The `repr()` of a receipt, as a notebook shows it, has the number of parts, of which there may be 10,000."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    made = receipt(path)
    assert f"parts=<{len(made.parts)} parts>" in repr(made)
    assert "ReceiptPart" not in repr(made)


def test_verify_fails_if_it_cannot_compare(tmp_path: Path) -> None:
    """Another size, a receipt without MD5s and one whose parts do not fit are no success."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    made = receipt(path)
    shorter = tmp_path / "shorter"
    shorter.write_bytes(CONTENT[:-1])
    assert verify(made, shorter).reason == "The file has 99 bytes, and 100 were uploaded."
    assert "no MD5" in (verify(receipt(path, hashed=False), path).reason or "")
    assert "do not make up" in (verify(attrs.evolve(made, parts=made.parts[1:]), path).reason or "")
    with pytest.raises(SourceError, match="does not exist"):
        verify(made, tmp_path / "missing")
    with pytest.raises(UsageError, match="receipt is str, and a Receipt is needed"):
        verify("receipt.json", path)  # type: ignore[arg-type]


def test_reasons_agree_with_their_counts(tmp_path: Path) -> None:
    """The sentences about one part and about several are grammatical."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    made = receipt(path)

    def reason(wrong: int = 0, without_md5: int = 0) -> str | None:
        path.write_bytes(bytes(10 * wrong) + CONTENT[10 * wrong :])
        parts = [attrs.evolve(part, md5=None) if part.number > 10 - without_md5 else part for part in made.parts]
        return verify(attrs.evolve(made, parts=tuple(parts)), path).reason

    assert reason(wrong=1) == "1 of 10 parts differs from what was uploaded: 1."
    assert reason(wrong=2) == "2 of 10 parts differ from what was uploaded: 1, 2."
    assert reason(without_md5=1) == "1 of 10 parts has no MD5 in the receipt (uploaded with --no-verify)."
    assert reason(without_md5=4) == "4 of 10 parts have no MD5 in the receipt (uploaded with --no-verify)."
    (tmp_path / "byte").write_bytes(b"x")
    assert verify(made, tmp_path / "byte").reason == "The file has 1 byte, and 100 were uploaded."


# Sources


@given(offset=st.integers(0, 99), size=st.integers(0, 100))
def test_range_of_a_file(tmp_path_factory: pytest.TempPathFactory, offset: int, size: int) -> None:
    """A range is read as it is on disk; a range beyond the end is an error."""
    path = tmp_path_factory.getbasetemp() / "ranged"
    path.write_bytes(CONTENT)
    source = LocalFile(path)
    if offset + size <= 100:
        assert b"".join(source.blocks(offset, size)) == CONTENT[offset : offset + size]
    else:
        with pytest.raises(FileChanged, match="cut short"):
            list(source.blocks(offset, size))
    source.close()


def test_file_is_read_without_pread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pread, threads share the file descriptor under a lock."""
    monkeypatch.delattr(os, "pread")
    monkeypatch.setattr(sources, "BLOCK", 7)
    path = tmp_path / "file"
    path.write_bytes(CONTENT * 50)
    source = LocalFile(path)
    read: dict[int, bytes] = {}

    def work(offset: int) -> None:
        read[offset] = b"".join(source.blocks(offset, 500))

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(0, 5000, 500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    source.close()
    assert b"".join(read[offset] for offset in sorted(read)) == CONTENT * 50


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("d41d8cd98f00b204e9800998ecf8427e  a.bam\n", "d41d8cd98f00b204e9800998ecf8427e"),
        ("D41D8CD98F00B204E9800998ECF8427E *a.bam", "d41d8cd98f00b204e9800998ecf8427e"),
        ("d41d8cd98f00b204e9800998ecf8427e", "d41d8cd98f00b204e9800998ecf8427e"),
        ("0" * 32 + "  other\nd41d8cd98f00b204e9800998ecf8427e  dir/a.bam\n", "d41d8cd98f00b204e9800998ecf8427e"),
        ("d41d8cd98f00b204e9800998ecf8427e  other.bam\n", None),
        ("no checksum here", None),
        ("", None),
    ],
)
def test_sidecar(text: str, value: str | None) -> None:
    """A sidecar in the format of md5sum is read, and its lines about other files are ignored."""
    assert sidecar_md5(Path("/data/a.bam"), text) == value
