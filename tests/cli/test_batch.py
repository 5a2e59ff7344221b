"""Which files paths, folders and patterns select."""

import os
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavatica_upload.batch.files import Item, Rules, collect
from cavatica_upload.batch.patterns import Selection, translate
from cavatica_upload.destination import name_problem
from cavatica_upload.errors import UsageError


def make(top: Path, *paths: str, size: int = 3) -> None:
    for path in paths:
        place = top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x" * size)


def targets(*paths: Path | str, **rules: object) -> list[str]:
    batch = collect([str(path) for path in paths], rules=Rules(recursive=True, **rules))  # type: ignore[arg-type]
    assert (batch.problems, batch.bad) == ([], [])
    return sorted(item.target for item in batch.items)


def test_a_folder_is_kept_and_with_a_slash_its_content(tmp_path: Path) -> None:
    """`data` becomes a folder on the platform; `data/`, `data/.` and --flatten upload what is in it."""
    make(tmp_path, "data/a", "data/x/b", "data/.hidden")
    data = tmp_path / "data"
    assert targets(data) == ["data/.hidden", "data/a", "data/x/b"]
    assert targets(f"{data}/") == targets(f"{data}/.") == [".hidden", "a", "x/b"]
    assert targets(data, flatten=True) == [".hidden", "a", "b"]


def test_a_folder_above_is_its_content(tmp_path: Path) -> None:
    """`x/..` has no name of its own, so its content goes to the destination."""
    make(tmp_path, "data/a", "data/x/b")
    assert targets(tmp_path / "data/x/..") == targets(f"{tmp_path}/data/x/../") == ["a", "x/b"]


def test_an_empty_path_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cavatica upload -r "$UNSET"` does not upload the current folder."""
    make(tmp_path, "a")
    monkeypatch.chdir(tmp_path)
    batch = collect(["", "a"], rules=Rules(recursive=True))
    assert [item.name for item in batch.items] == ["a"]
    assert "a shell variable may be unset" in batch.problems[0]


def test_a_file_with_a_slash_behind_it(tmp_path: Path) -> None:
    """`a.bam/` is not a folder, and the message says so."""
    make(tmp_path, "a.bam")
    batch = collect([f"{tmp_path}/a.bam/", f"{tmp_path}/a.bam/b"])
    assert ["is a file, and not a folder" in bad.reason for bad in batch.bad] == [True, True]


@pytest.mark.parametrize("empty", ["", "/", "./"])
def test_an_empty_pattern_is_refused(empty: str) -> None:
    """An empty pattern matches no file, so --exclude "$UNSET" is refused."""
    for patterns in (([empty], []), ([], [empty])):
        with pytest.raises(UsageError, match="pattern is empty"):
            Selection.of(*patterns)


def test_a_pattern_may_start_with_the_current_folder(tmp_path: Path) -> None:
    """The pattern `./x`, as find prints it, is `x`."""
    make(tmp_path, "d/a", "d/x/b", "d/x/y/c")
    assert targets(tmp_path / "d", selection=Selection.of([], ["./x/y"])) == ["d/a", "d/x/b"]


def test_the_biggest_come_first(tmp_path: Path) -> None:
    """The largest files come first, so that the last file to end is a small one."""
    make(tmp_path, "a", size=1)
    make(tmp_path, "b", "c", size=5)
    batch = collect([str(tmp_path / name) for name in "abc"])
    assert [item.name for item in batch.items] == ["b", "c", "a"]
    assert batch.size == 11


def test_links_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    """A link to a file is a file, a link to a folder is a folder; a link to a folder above gives a notice."""
    make(tmp_path, "real/a", "other/b")
    (tmp_path / "real/link").symlink_to("a")
    (tmp_path / "real/more").symlink_to(tmp_path / "other")
    (tmp_path / "other/back").symlink_to(tmp_path / "real")
    batch = collect([str(tmp_path / "real")], rules=Rules(recursive=True))
    assert sorted(item.target for item in batch.items) == ["real/a", "real/link", "real/more/b"]
    assert [notice for notice in batch.notices if "leads back" in notice]


def test_a_fan_of_links_is_entered_once(tmp_path: Path) -> None:
    """If twenty folders link to each other, every file is uploaded once, under its real path."""
    for number in range(20):
        make(tmp_path, f"d/{number}/a")
        for other in range(20):
            (tmp_path / f"d/{number}/to-{other}").symlink_to(tmp_path / f"d/{other}")
    batch = collect([str(tmp_path / "d")], rules=Rules(recursive=True))
    assert sorted(item.target for item in batch.items) == sorted(f"d/{number}/a" for number in range(20))
    assert any("such links" in notice for notice in batch.notices)


def test_a_link_to_a_folder_above_adds_no_files(tmp_path: Path) -> None:
    """`loop -> ..` does not add files next to the folder to the upload."""
    make(tmp_path, "top/d/a", "top/private/key")
    (tmp_path / "top/d/loop").symlink_to("..")
    assert targets(tmp_path / "top/d") == ["d/a"]


def test_links_are_left_out_on_request(tmp_path: Path) -> None:
    """With skip_links, links to files and folders are not uploaded, and a notice says so."""
    make(tmp_path, "d/a", "other/b")
    (tmp_path / "d/file").symlink_to("a")
    (tmp_path / "d/folder").symlink_to(tmp_path / "other")
    batch = collect([str(tmp_path / "d")], rules=Rules(recursive=True, skip_links=True))
    assert [item.target for item in batch.items] == ["d/a"]
    assert any("d/file is a link and was left out" in notice for notice in batch.notices)
    (tmp_path / "broken").symlink_to("nowhere")
    alone = collect([str(tmp_path / "broken"), str(tmp_path / "d/a")], rules=Rules(skip_links=True))
    assert ([item.name for item in alone.items], alone.bad, len(alone.notices)) == (["a"], [], 1)


def test_patterns_apply_before_files_are_opened(tmp_path: Path) -> None:
    """A broken link that no pattern selects is no problem, in a folder or named."""
    make(tmp_path, "d/a.bam")
    (tmp_path / "d/broken.txt").symlink_to("nowhere")
    chosen = Selection.of(["*.bam"])
    assert targets(tmp_path / "d", selection=chosen) == ["d/a.bam"]
    assert targets(tmp_path / "d/a.bam", tmp_path / "d/broken.txt", selection=chosen) == ["a.bam"]


@pytest.mark.parametrize(
    ("path", "says"),
    [("~/a.bam", "“~”"), ("a.bam ", "space"), ("a\u00a0b.bam", "no-break space"), ("a.bam", "no such")],
)
def test_invisible_characters_in_a_path_are_named(tmp_path: Path, path: str, says: str) -> None:
    """If a path does not exist because of an invisible character, the message names the character."""
    batch = collect([], [Item(str(tmp_path / path), "", line=2)])
    assert says in batch.bad[0].reason


def test_what_is_no_file_is_left_out_with_a_notice(tmp_path: Path) -> None:
    """A pipe inside a folder is skipped with a notice."""
    make(tmp_path, "d/a")
    os.mkfifo(tmp_path / "d/pipe")
    (tmp_path / "d/empty").mkdir()
    batch = collect([str(tmp_path / "d")], rules=Rules(recursive=True))
    assert [item.name for item in batch.items] == ["a"]
    assert len(batch.notices) == 2
    assert batch.problems == []


def test_a_pipe_that_was_named_is_a_stream(tmp_path: Path) -> None:
    """A named pipe, such as the shell's <(…), is a stream and needs a name."""
    os.mkfifo(tmp_path / "63")
    assert collect([str(tmp_path / "63")]).problems
    batch = collect([str(tmp_path / "63")], rules=Rules(name="a.txt"))
    assert batch.items == [Item(str(tmp_path / "63"), "a.txt")]


@pytest.mark.parametrize("broken", ["missing", "dangling", "folder", "long", "undecodable", "bad folder", "dunder"])
def test_what_cannot_be_uploaded_is_a_problem(tmp_path: Path, broken: str) -> None:
    """Each file that cannot be uploaded is named before the first byte is sent."""
    place = tmp_path / "d"
    place.mkdir()
    name = {"long": "x" * 255, "undecodable": "bad\udcff", "bad folder": "my\udcffdata/a", "dunder": "__x/a"}.get(
        broken
    )
    if broken == "dangling":
        (place / "l").symlink_to("nowhere")
    elif name:
        make(place, name)
    paths = {"missing": [str(tmp_path / "no")]}.get(broken, [str(place)])
    rules = Rules(recursive=broken != "folder", name="y" * 256 if broken == "long" else None)
    found = collect(paths, rules=rules)
    assert len(found.problems) + len(found.bad) == 1


def test_two_files_for_one_place_are_a_problem_and_one_named_twice_is_not(tmp_path: Path) -> None:
    """Two files for one path are a problem; one file named twice is not, since shell patterns may overlap."""
    make(tmp_path, "a/x", "b/x")
    clash = collect([str(tmp_path / "a/x"), str(tmp_path / "b/x")])
    assert len(clash.problems) == 1
    assert "both become x" in clash.problems[0]
    twice = collect([str(tmp_path / "a/x"), str(tmp_path / "a/../a/x")])
    assert (len(twice.items), twice.problems) == (1, [])


def test_a_file_and_a_folder_of_one_name_are_a_problem(tmp_path: Path) -> None:
    """A file and a folder cannot have the same path on the platform."""
    make(tmp_path, "one/x", "two/x/y")
    batch = collect([f"{tmp_path}/one/", f"{tmp_path}/two/"], rules=Rules(recursive=True))
    assert any("both a folder and the file" in problem for problem in batch.problems)


def test_a_name_is_for_one_file(tmp_path: Path) -> None:
    """--name with two files is refused."""
    make(tmp_path, "a", "b")
    assert collect([str(tmp_path / "a")], rules=Rules(name="c")).items[0].name == "c"
    with pytest.raises(UsageError):
        collect([str(tmp_path / "a"), str(tmp_path / "b")], rules=Rules(name="c"))


def test_manifest_rows_go_to_one_folder_unless_recursive(tmp_path: Path) -> None:
    """Rows of a manifest go to one folder without --recursive, and a problem names its line."""
    make(tmp_path, "r/a", "b")
    rows = [Item(str(tmp_path / "r/a"), "", "r", line=2), Item(str(tmp_path / "b"), "c", line=3)]
    assert sorted(item.target for item in collect([], rows).items) == ["a", "c"]
    assert sorted(item.target for item in collect([], rows, Rules(recursive=True)).items) == ["c", "r/a"]
    wrong = collect([], [Item(str(tmp_path / "r"), "", line=7), Item(str(tmp_path / "no"), "", line=8)])
    assert wrong.problems[0].startswith("Line 7 of the manifest: ")
    assert wrong.bad[0].reason.startswith("Line 8 of the manifest: ")


def test_urls_have_the_name_of_their_path() -> None:
    """The name of a URL source does not include the query."""
    batch = collect(["s3://bucket/run/a%20b.bam", "https://host/x/c.bam?sig=1"])
    assert sorted((item.name, item.size) for item in batch.items) == [("a b.bam", None), ("c.bam", None)]


def test_an_excluded_folder_is_not_even_read(tmp_path: Path) -> None:
    """A folder without read permission can be excluded."""
    make(tmp_path, "d/a.bam", "d/scratch/x.bam", "d/b.txt", "d/deep/c.bam")
    chosen = Selection.of(["*.bam"], ["scratch", "deep/*"])
    assert targets(tmp_path / "d", selection=chosen) == ["d/a.bam"]


NAME = st.text(string.ascii_letters + "._-[]!*?", min_size=1, max_size=6).filter(lambda text: text not in (".", ".."))


@given(st.lists(NAME, min_size=1, max_size=4))
def test_a_literal_pattern_matches_itself_only(parts: list[str]) -> None:
    """The escaped form of any path matches that path only."""
    path = "/".join(parts)
    pattern = re.sub(r"([\[*?])", r"[\1]", path)
    assert translate(pattern).fullmatch(path)
    assert not translate(pattern).fullmatch(path + "x")


@given(st.lists(NAME, min_size=1, max_size=4))
def test_stars_stay_in_their_folder(parts: list[str]) -> None:
    """`*` matches within one name, `**` any number of folders."""
    path = "/".join(parts)
    assert bool(translate("*").fullmatch(path)) == (len(parts) == 1)
    assert translate("**").fullmatch(path)
    assert translate("**/*").fullmatch(path)
    assert translate("/".join("?" * len(part) for part in parts)).fullmatch(path)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("[ab].bam", "a.bam", True),
        ("[!ab].bam", "a.bam", False),
        ("[!ab].bam", "c.bam", True),
        ("[", "[", True),
        ("[]].x", "].x", True),
        ("[z-a]", "[z-a]", True),
        ("a/**/b", "a/b", True),
        ("a**/b", "a/b", True),
        ("a**/b", "a1/b", True),
        ("a**/b", "ab", False),
        ("a/**/b", "a/x/y/b", True),
        ("[^/]", "/", False),
        ("[]*", "[]x", True),
        ("a[]b", "ab", False),
        ("[!]", "[!]", True),
    ],
)
def test_sets_and_their_odd_cases(pattern: str, path: str, matches: bool) -> None:
    """Sets of characters match as in a shell, in unusual cases too."""
    assert bool(translate(pattern).fullmatch(path)) == matches


@given(st.text(max_size=300))
def test_valid_names_can_be_sent(name: str) -> None:
    """A valid name has no slash, is not empty or only dots, and is at most 255 characters of valid UTF-8."""
    if name_problem(name) is None:
        assert 1 <= len(name) <= 255
        assert "/" not in name
        assert name.encode()


@given(st.text(max_size=20) | st.sampled_from(["__x", "__", "_x", "my new folder", "x" * 256]))
def test_folder_names_are_those_of_the_platform(name: str) -> None:
    """A folder may have any name of a file, unless it starts with “__”."""
    assert (name_problem(name, "folder") is None) == (name_problem(name) is None and not name.startswith("__"))


def test_a_pattern_without_a_slash_is_for_names() -> None:
    """It matches at any depth, and no star in it crosses a folder."""
    chosen = Selection.of(["a**"], ["*.tmp"])
    taken = {path: chosen.takes(path) for path in ("ab", "x/y/ab", "a/b", "xa", "x/a.tmp")}
    assert taken == {"ab": True, "x/y/ab": True, "a/b": False, "xa": False, "x/a.tmp": False}
