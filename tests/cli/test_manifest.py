"""Manifests."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavatica_upload.batch.files import Item, collect
from cavatica_upload.batch.manifest import read_manifest
from cavatica_upload.errors import UsageError

PLATFORM = """File name,sample_id,case_id,paired_end
run/a_1.fastq.gz,S-1,,1
run/a_2.fastq.gz,S-1,,2
b.bam,"S, 2",C7,
"""


def write(folder: Path, text: str | bytes, name: str = "m.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(UsageError) as caught:
        read_manifest(path)
    return list(caught.value.problems)


def test_the_platforms_own_format_is_read(tmp_path: Path) -> None:
    """The first column is the path, the others are metadata; an empty cell is no value."""
    assert read_manifest(write(tmp_path, PLATFORM)) == [
        Item(str(tmp_path / "run/a_1.fastq.gz"), "", "run", line=2, metadata={"sample_id": "S-1", "paired_end": "1"}),
        Item(str(tmp_path / "run/a_2.fastq.gz"), "", "run", line=3, metadata={"sample_id": "S-1", "paired_end": "2"}),
        Item(str(tmp_path / "b.bam"), "", "", line=4, metadata={"sample_id": "S, 2", "case_id": "C7"}),
    ]


@pytest.mark.parametrize(
    "raw",
    [
        PLATFORM.encode(),
        b"\xef\xbb\xbf" + PLATFORM.encode(),
        PLATFORM.replace("\n", "\r\n").encode(),
        PLATFORM.encode("utf-16"),
        PLATFORM.rstrip("\n").encode(),
        PLATFORM.replace("b.bam", "\n\n,,,\nb.bam").encode(),
    ],
    ids=["plain", "mark", "crlf", "utf-16", "no last newline", "empty lines"],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, raw: bytes) -> None:
    """A byte order mark, CRLF, UTF-16 and empty lines change only the line numbers."""
    rows = read_manifest(write(tmp_path, raw))
    assert [(row.source, row.metadata) for row in rows] == [
        (row.source, row.metadata) for row in read_manifest(write(tmp_path, PLATFORM, "plain.csv"))
    ]


def test_tsv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    """The same files and metadata in three formats give the same rows."""
    rows = read_manifest(write(tmp_path, PLATFORM))
    table = list(csv.reader(io.StringIO(PLATFORM)))
    tsv = "\n".join("\t".join(cells) for cells in table)
    lines = [
        json.dumps({"path": cells[0], "metadata": {k: v or None for k, v in zip(table[0][1:], cells[1:], strict=True)}})
        for cells in table[1:]
    ]
    assert read_manifest(write(tmp_path, tsv, "m.tsv")) == rows
    from_json = read_manifest(write(tmp_path, "\n".join(["", *lines]), "m.jsonl"))
    assert from_json == rows


CELL = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)
NAME = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)


@given(st.dictionaries(NAME, st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=6), st.sampled_from(",\t"))
def test_any_text_survives_a_table(files: dict[str, list[str]], delimiter: str) -> None:
    """Quotes, separators and newlines inside cells are read as they were written."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["file", "one", "two", "three"])
    writer.writerows([name, *cells] for name, cells in files.items())
    path = Path("/tmp") / "unused"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", lambda *_: io.BytesIO(out.getvalue().encode()))
        rows = read_manifest(path.with_suffix(".tsv" if delimiter == "\t" else ".csv"))
    expected = {
        str(path.parent / name): {key: cell for key, cell in zip(["one", "two", "three"], cells, strict=True) if cell}
        for name, cells in files.items()
    }
    assert {row.source: row.metadata for row in rows} == expected


def test_all_problems_are_reported_with_their_lines(tmp_path: Path) -> None:
    """All problems of a manifest are reported together, with their lines."""
    text = "file,a.b,ok,ok\nx,1,2\n,1,2,3\ny,1,2,3\ny,1,2,3\nz,1,2,3,4\n" + f"long,,{'v' * 301},\n"
    found = problems(write(tmp_path, text))
    starts = [
        "Line 1, column 2",
        "Line 1: two columns",
        "Line 2: 3 cells",
        "Line 3",
        "Line 6: 5 cells",
        "Line 5",
        "Line",
    ]
    assert [start for start, problem in zip(starts, found, strict=False) if not problem.startswith(start)] == []
    assert any(problem.startswith("Line 7") and "301 bytes" in problem for problem in found)


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("m.csv", "", "no file"),
        ("m.csv", "file,a\n", "no file"),
        ("m.csv", "x.bam,S1\ny.bam,S2\n", "'x.bam'"),
        ("m.csv", "run/x.bam,S1\n", "is a path"),
        ("m.tsv", "s3://b/x.bam\tS1\n", "is a path"),
        ("m.csv", "x.bam\ny.bam\n", "'x.bam'"),
        ("m.csv", "sample,file\nS1,x\n", "“path”"),
        ("m.csv", "file;a\nx;1\n", "semicolon"),
        ("m.csv", "file\ta\nx\t1\n", "tab"),
        ("m.csv", 'file,a\nx,"1\ny,2\n', "Line 2"),
        ("m.csv", 'file,a\nx,"1"2\n', "Line 2"),
        ("m.csv", "file,,b\nx,1,2\n", "cell 2 has a value, but its column has no name"),
        ("m.csv", b"file,a\nx,\xff\n", "Line 2"),
        ("m.jsonl", "{", "not JSON"),
        ("m.jsonl", "[1]", "not an object"),
        ("m.jsonl", '{"file": "x"}', "path"),
        ("m.jsonl", '{"path": "x", "sample": "1"}', "'sample'"),
        ("m.jsonl", '{"path": "x", "tags": "t"}', "list"),
        ("m.jsonl", '{"path": "x", "tags": [" "]}', "tag"),
        ("m.jsonl", '{"path": "x", "metadata": {"a": ["b"]}}', "not text"),
        ("m.jsonl", '{"path": "x", "metadata": {"$a": "b"}}', "$"),
        ("m.jsonl", '{"path": "x", "name": ""}', "name"),
        ("m.jsonl", "[" * 100_000, "nested"),
        ("m.jsonl", '{"path": "x", "metadata": {"a": NaN}}', "NaN is no number"),
        ("m.jsonl", '{"path": "x", "path": "y"}', "'path' is there twice"),
        ("m.jsonl", '{"path": "x", "metadata": {"a": "1", "a": "2"}}', "'a' is there twice"),
        ("m.jsonl", '{"path": 5}', "no text"),
        ("m.jsonl", '{"path": "x", "name": 5}', "name"),
        ("m.jsonl", '{"path": "x", "tags": [5]}', "list"),
        ("m.json", '{\n "path": "x"\n}', "an object of its own"),
        ("m.csv", "path,path\nx,y\n", "two columns are called 'path'"),
        ("m.csv", "path\n" + "x" * 200_000, "quote"),
        ("m.csv", "path\nx\0y\n", "Line 2: this is not UTF-8 text"),
        ("m.csv", "path\nx\n".encode("utf-16-le"), "Line 1: this is not UTF-8 text"),
        ("m.csv", "path\nx\n".encode("utf-32"), "Line 1: this is not UTF-8 text"),
        ("m.csv", "path\nx\n".encode("utf-16") + b"x", "this is not UTF-8 text"),
        ("m.csv", b"\xef\xbb\xbfpath\n\xff\n", "Line 2: this is not UTF-8 text"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str | bytes, word: str) -> None:
    """Each kind of problem has its own sentence."""
    assert word in " ".join(problems(write(tmp_path, text, name)))


def test_a_table_without_a_header_is_refused(tmp_path: Path) -> None:
    """A table without a header row is refused, and every usual name of the path column is accepted."""
    (tmp_path / "S1").write_bytes(b"")
    (found,) = problems(write(tmp_path, "S1,a\nS2,b\n"))
    assert "'S1' is a path" in found
    for name in ("path", "File name", "file_name", "FILE", "Filename", "file-path"):
        assert len(read_manifest(write(tmp_path, f"{name},a\nS2,b\n"))) == 1


def test_a_manifest_that_is_not_there(tmp_path: Path) -> None:
    """A missing manifest is reported without a traceback."""
    with pytest.raises(UsageError, match=r"The manifest .*none\.csv cannot be read"):
        read_manifest(tmp_path / "none.csv")


def test_numbers_keep_their_text(tmp_path: Path) -> None:
    """A number keeps its text: 1.10 does not become 1.1."""
    written = ["1.10", "1e3", "-0", "12345678901234567890123", "9" * 250, "1e999"]
    fields = ", ".join(f'"f{number}": {text}' for number, text in enumerate(written))
    (row,) = read_manifest(write(tmp_path, f'{{"path": "a", "metadata": {{{fields}}}}}', "m.jsonl"))
    assert list(row.metadata.values()) == written
    (found,) = problems(write(tmp_path, f'{{"path": "a", "metadata": {{"n": {"9" * 5000}}}}}', "m.jsonl"))
    assert "'n' has 5000 bytes" in found


@pytest.mark.parametrize("name", ["list", "list.txt"])
@pytest.mark.parametrize("mark", [",", "\t"])
def test_first_line_decides_if_the_suffix_is_unknown(tmp_path: Path, name: str, mark: str) -> None:
    """In a .txt file, the first line decides between commas and tabs."""
    (row,) = read_manifest(write(tmp_path, f"path{mark}a\nx{mark}1\n", name))
    assert row.metadata == {"a": "1"}


def test_numbers_and_urls_in_json_lines(tmp_path: Path) -> None:
    """In JSON lines a number keeps its text, and a URL is not joined to the folder."""
    text = '{"path": "s3://b/k.bam", "name": "k2.bam", "metadata": {"age": 7, "alive": true}, "tags": ["t"]}'
    (row,) = read_manifest(write(tmp_path, text, "m.jsonl"))
    assert row == Item("s3://b/k.bam", "k2.bam", line=1, metadata={"age": "7", "alive": "true"}, tags=("t",))


def test_a_url_without_a_name_in_a_manifest(tmp_path: Path) -> None:
    """A URL that ends without a file name is reported with its line, unless the row names the file."""
    text = '{"path": "s3://b/", "name": "k.bam"}\n{"path": "https://example.invalid/?x"}\n'
    batch = collect([], read_manifest(write(tmp_path, text, "m.jsonl")))
    said = "Line 2 of the manifest: https://example.invalid/ has no file name; give it one in a manifest of JSON lines"
    assert [problem.startswith(said) for problem in batch.problems if "no file name" in problem] == [True]
