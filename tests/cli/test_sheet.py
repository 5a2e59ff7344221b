"""A sample sheet with platform paths or IDs."""

import csv
import re
from pathlib import Path

import pytest
from cli_machine import PROJECT, Machine

from cavatica_upload import Destination, connect
from cavatica_upload.api import Api
from cavatica_upload.batch.sheet import Sheet

SHEET = (
    'sample,fastq_1,fastq_2,note\r\ns1,reads/s1_R1.fq,reads/s1_R2.fq,"a, b"\r\ns2,reads/s2_R1.fq;reads/s2_R2.fq,,NA\r\n'
)
NAMES = ("s1_R1.fq", "s1_R2.fq", "s2_R1.fq", "s2_R2.fq")


@pytest.fixture
def reads(machine: Machine) -> Path:
    """Four files, and the sheet that names them."""
    for name in NAMES:
        machine.file(f"reads/{name}", name.encode())
    sheet = machine.home / "samples.csv"
    sheet.write_text(SHEET, newline="")
    return sheet


def rows(machine: Machine) -> list[list[str]]:
    """The cells of the sheet that was written."""
    return list(csv.reader((machine.home / "platform.csv").read_text().splitlines()))


def upload(machine: Machine, *more: str) -> list[str]:
    """The arguments of a run with a sheet."""
    return ["upload", "-r", "reads", "--sheet", "samples.csv", "--sheet-out", "platform.csv", *more]


def root_of(machine: Machine) -> str:
    """The platform path of the project, as the answer to a completion shows it."""
    with connect(machine.mock.token, machine.mock.base_url) as api:
        root = api.get_project(PROJECT).root_folder
        return f"vs:///Projects/{api.get_file(root).name}"


@pytest.mark.usefixtures("reads")
def test_cells_become_platform_paths(machine: Machine) -> None:
    """Each cell that names an uploaded file gets its platform path; all others stay the same."""
    ended = machine.call(*upload(machine, "--project", f"{PROJECT}/run"))
    assert ended.code == 0, ended.err
    root = root_of(machine)
    assert re.fullmatch(r"vs:///Projects/[0-9a-f-]{36}", root)
    first, second = f"{root}/run/reads/s2_R1.fq", f"{root}/run/reads/s2_R2.fq"
    assert rows(machine) == [
        ["sample", "fastq_1", "fastq_2", "note"],
        ["s1", f"{root}/run/reads/s1_R1.fq", f"{root}/run/reads/s1_R2.fq", "a, b"],
        ["s2", f"{first};{second}", "", "NA"],
    ]
    assert b"\r\n" in (machine.home / "platform.csv").read_bytes()


@pytest.mark.usefixtures("reads")
def test_a_folder_by_its_id_has_the_same_paths(machine: Machine) -> None:
    """The path of a folder that is named by its ID is found on the platform."""
    with connect(machine.mock.token, machine.mock.base_url) as api:
        above = api.create_folder(Destination(project=PROJECT), "above")
        folder = api.create_folder(Destination(parent=above.id), "below")
    assert machine.call(*upload(machine, "--flatten", "--parent", folder.id)).code == 0
    assert rows(machine)[1][1] == f"{root_of(machine)}/above/below/s1_R1.fq"
    assert machine.call(*upload(machine, "--parent", folder.id)).code == 0
    assert rows(machine)[1][1] == f"{root_of(machine)}/above/below/reads/s1_R1.fq"


@pytest.mark.usefixtures("reads")
def test_ids_and_files_that_were_there(machine: Machine) -> None:
    """With --sheet-style id the cells are file IDs, including those of an earlier run."""
    assert machine.call("upload", "-r", "reads", "--project", PROJECT).code == 0
    ended = machine.call(*upload(machine, "--project", PROJECT, "--sheet-style", "id"))
    assert "4 already there" in ended.err
    ids = {file["name"]: file["id"] for file in machine.mock.files()}
    assert rows(machine)[1][1:3] == [ids["s1_R1.fq"], ids["s1_R2.fq"]]


@pytest.mark.usefixtures("reads")
def test_half_a_sheet_is_not_written(machine: Machine) -> None:
    """If a file failed, the sheet is not written, and a message says so."""
    machine.file("elsewhere/s1_R1.fq", b"another")
    machine.call("upload", "elsewhere/s1_R1.fq", "--project", f"{PROJECT}/reads")
    ended = machine.call(*upload(machine, "--project", PROJECT))
    assert ended.code == 1
    assert "platform.csv was not written: the sheet names 1 file that this run did not upload" in ended.err
    assert not (machine.home / "platform.csv").exists()


@pytest.mark.parametrize("link", [False, True], ids=["file", "link"])
def test_a_file_that_is_moved_after_its_upload(
    machine: Machine, reads: Path, link: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is gone when the sheet is written has its platform path there, however the sheet names it."""
    names = [machine.home / "reads" / name for name in NAMES]
    if link:  # the sheet names the files that the links lead to
        (machine.home / "kept").mkdir()
        for name in names:
            name.symlink_to(name.rename(machine.home / "kept" / name.name))
        reads.write_text(SHEET.replace("reads/", "kept/"))
    write = Sheet.write

    def move_and_write(sheet: Sheet, api: Api) -> int:
        for name in names:
            name.unlink()
        return write(sheet, api)

    monkeypatch.setattr(Sheet, "write", move_and_write)
    words = [str(machine.home / word) if word == "reads" else word for word in upload(machine, "--project", PROJECT)]
    ended = machine.call(*words)
    assert (ended.code, "platform.csv (4 files)" in ended.err) == (0, True), ended.err
    root = f"{root_of(machine)}/reads"
    assert rows(machine)[1:] == [
        ["s1", f"{root}/s1_R1.fq", f"{root}/s1_R2.fq", "a, b"],
        ["s2", f"{root}/s2_R1.fq;{root}/s2_R2.fq", "", "NA"],
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sheet", "samples.csv"], "--sheet and --sheet-out go together"),
        (["--sheet", "other.csv", "--sheet-out", "platform.csv"], "No cell of other.csv names a file of this run"),
        (["--sheet", "none.csv", "--sheet-out", "samples.csv"], "The sheet none.csv cannot be read"),
        (["--sheet", "samples.csv", "--sheet-out", "samples.csv"], "--sheet-out samples.csv is the sheet itself"),
        (["--sheet", "samples.csv", "--sheet-out", "no/such/out.csv"], "its folder does not exist"),
        (["--sheet", "mixed.csv", "--sheet-out", "named.fq"], "--sheet-out named.fq is a file that the sheet names"),
        (["--sheet", "samples.csv", "--sheet-out", "new.csv", "--shard", "1/2"], "A share of the files cannot fill"),
        (["--sheet", "reads/zero.csv", "--sheet-out", "platform.csv"], "Line 2: this is not UTF-8 text"),
        (["--sheet", "reads/bad.tsv", "--sheet-out", "platform.csv"], "Line 1: this is not UTF-8 text"),
    ],
)
def test_a_sheet_that_cannot_be_used(machine: Machine, reads: Path, words: list[str], said: str) -> None:
    """A problem of the sheet is reported before anything is uploaded, and the sheet is never overwritten."""
    machine.file("other.csv", b"sample,fastq\ns1,nowhere.fq\n")
    machine.file("named.fq")
    machine.file("mixed.csv", b"reads/s1_R1.fq,named.fq\n")
    machine.file("reads/bad.tsv", b"\xff\xfe\xfd")
    machine.file("reads/zero.csv", b"sample,fastq\ns1,a\0b\n")
    ended = machine.call("upload", "-r", "reads", "--project", PROJECT, *words)
    assert (ended.code, machine.mock.files()) == (2, [])
    assert said in ended.err
    assert reads.read_bytes() == SHEET.encode()


def test_tables_of_all_kinds(machine: Machine) -> None:
    """A sheet is read like a manifest: in UTF-16, and by its first line if its suffix is unknown."""
    machine.file("a.bam")
    words = ["upload", "a.bam", "--project", PROJECT, "--sheet-style", "id", "--sheet-out", "platform.csv", "--sheet"]
    for name, text in {"u.csv": "s,f\ns1,a.bam\n".encode("utf-16"), "t.txt": b"s\tf\ns1\ta.bam\n"}.items():
        machine.file(name, text)
        ended = machine.call(*words, name)
        assert ended.code == 0, ended.err
        (entry,) = machine.mock.files()
        assert re.split(r"[,\t]", rows(machine)[1][-1])[-1] == entry["id"]


def test_a_map_of_what_was_uploaded(machine: Machine) -> None:
    """`receipts --map` prints the path on disk, the file ID and the path on the platform."""
    first, second = machine.file("a.bam"), machine.file("d/b.bam", b"b")
    assert machine.call("upload", "a.bam", "d", "-r", "--project", PROJECT).code == 0
    ids = {file["name"]: file["id"] for file in machine.mock.files()}
    lines = sorted(machine.call("receipts", "--map").out.splitlines())
    assert lines == sorted(
        [f"{first}\t{ids['a.bam']}\t{PROJECT}/a.bam", f"{second}\t{ids['b.bam']}\t{PROJECT}/d/b.bam"]
    )
