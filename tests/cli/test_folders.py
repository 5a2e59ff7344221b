"""Folders on the platform are found or made with few calls, against the mock."""

from collections.abc import Iterator

import pytest
from cli_machine import PROJECT

from cavatica_mock import Fault, MockServer
from cavatica_upload import connect
from cavatica_upload.api import Api
from cavatica_upload.batch import placement
from cavatica_upload.batch.placement import FolderTree, NotAFolder
from cavatica_upload.destination import Destination
from cavatica_upload.errors import ConnectionFailed

ROOT = Destination(project=PROJECT)


@pytest.fixture
def api(mock: MockServer) -> Iterator[Api]:
    """The API of the mock."""
    with connect(mock.token, mock.base_url, attempts=1) as client:
        yield client


def paths(mock: MockServer) -> set[str]:
    entries = {entry["id"]: entry for entry in mock.files()}
    found = set()
    for entry in entries.values():
        names = [entry["name"]]
        while entry.get("parent") in entries:
            entry = entries[entry["parent"]]
            names.append(entry["name"])
        found.add("/".join(reversed(names)))
    return found


def test_a_new_tree_costs_a_call_a_folder_and_one_look(mock: MockServer, api: Api) -> None:
    """A new tree costs one call for each folder and one lookup, since a new folder is known to be empty."""
    tree = FolderTree(api, ROOT)
    for _ in range(2):
        for path in ("a/b/c", "a/d", "a"):
            tree.get(path)
    assert paths(mock) == {"a", "a/b", "a/b/c", "a/d"}
    assert mock.calls == {"listFiles": 1, "createFolder": 4}


def test_many_names_are_looked_up_in_one_list(mock: MockServer, api: Api) -> None:
    """Fifty folders that exist are found with one call."""
    names = [f"f{number}" for number in range(50)]
    first = FolderTree(api, ROOT)
    made = {name: first.get(name).destination for name in names}
    mock.calls.clear()
    again = FolderTree(api, ROOT)
    assert {name: again.get(name).destination for name in names} == made
    assert mock.calls == {"listFiles": 1}


def test_a_folder_made_by_another_process_is_used(mock: MockServer, api: Api) -> None:
    """If another process makes the folder first (409/5030), both use the same one."""
    ours, theirs = FolderTree(api, ROOT), FolderTree(api, ROOT)
    ours.get("a")  # the folder is listed here
    made = theirs.get("b").destination
    assert ours.get("b").destination == made
    assert paths(mock) == {"a", "b"}


def test_a_folder_whose_answer_was_lost_is_found(mock: MockServer, api: Api) -> None:
    """If the answer to a new folder is lost, the retry finds the folder."""
    mock.faults.add(Fault("createFolder", "lost_answer"))
    tree = FolderTree(api, ROOT)
    with pytest.raises(ConnectionFailed):
        tree.get("a")
    assert tree.get("a").destination.parent
    assert paths(mock) == {"a"}


def test_a_file_in_place_of_a_folder_is_reported(mock: MockServer, api: Api) -> None:
    """A file in the place of a folder is reported."""
    from cavatica_upload import Uploader

    with Uploader(token=mock.token, endpoint=mock.base_url) as uploader:
        uploader.upload(__file__, ROOT, name="a")
    with pytest.raises(NotAFolder, match="a is a file"):
        FolderTree(api, ROOT).get("a/b")


def test_looking_makes_nothing(mock: MockServer, api: Api) -> None:
    """To find a folder or what is in it, as a dry run does, makes no folder."""
    tree = FolderTree(api, ROOT)
    assert tree.find("a/b") is None
    assert tree.get("").find("c") is None
    assert paths(mock) == set()


def test_a_long_folder_is_not_read_to_its_end(mock: MockServer, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder with more entries than are listed, names are requested one by one."""
    monkeypatch.setattr(placement, "PAGE", 3)
    monkeypatch.setattr(placement, "MOST_LISTED", 4)
    tree = FolderTree(api, ROOT)
    for number in range(6):
        tree.get(f"f{number}")
    mock.calls.clear()
    fresh = FolderTree(api, ROOT)
    assert all(fresh.find(f"f{number}") is not None for number in range(6))
    assert fresh.find("f6") is None
    assert mock.calls["listFiles"] == 2 + 2


@pytest.mark.parametrize("most", [1, 2, 100])
@pytest.mark.parametrize(
    "names", [("r\u00e9sum\u00e9", "re\u0301sume\u0301"), ("re\u0301sume\u0301", "r\u00e9sum\u00e9")]
)
def test_the_exact_name_is_preferred(
    mock: MockServer, api: Api, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str], most: int
) -> None:
    """Of two folders whose names differ only in their Unicode form, each is found by its own name."""
    monkeypatch.setattr(placement, "PAGE", most)
    made = {name: api.create_folder(ROOT, name).id for name in names}
    tree = FolderTree(api, ROOT)
    for name in names:
        found = tree.find(name)
        assert found is not None
        assert found.destination.parent == made[name]


def test_files_are_checked_by_id_or_by_list(mock: MockServer, api: Api) -> None:
    """A few files are checked with a call each, many with one list."""
    made = [FolderTree(api, ROOT).get(f"f{number}").destination.parent or "" for number in range(10)]
    mock.calls.clear()
    folder = FolderTree(api, ROOT).get("")
    assert all(folder.holds(file_id) for file_id in made)
    assert not folder.holds("0" * 24)
    assert mock.calls["getFile"] == 3
    assert mock.calls["listFiles"] == 1


def test_a_large_folder_costs_a_few_questions_and_then_a_list(mock: MockServer, api: Api) -> None:
    """In a folder of several pages, three names are requested one by one, and then it is listed once."""
    made = FolderTree(api, ROOT)
    for number in range(150):
        made.get(f"f{number:03}")
    mock.calls.clear()
    tree = FolderTree(api, ROOT)
    assert all(tree.find(f"f{number:03}") for number in range(100, 150))
    assert mock.calls["listFiles"] == 1 + 3 + 2
