"""Files, folders, metadata and projects over a real socket."""

from collections.abc import Iterator

import pytest
from mock_client import Client, code

from cavatica_mock import MockServer


@pytest.fixture
def declared() -> Iterator[Client]:
    """A mock with two projects, one of them read-only."""
    with MockServer(projects=["mlin/pilot", "mlin/archive:ro"]) as server:
        client = Client(server)
        yield client
        client.close()


def folder(client: Client, name: str, **where: str) -> str:
    response = client.post("files", json={"name": name, "type": "folder", **(where or {"project": "mlin/pilot"})})
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


def names(client: Client, path: str, **query: str) -> list[str]:
    response = client.get(path, params=query)
    assert response.status_code == 200, response.text
    page = response.json()
    assert response.headers["X-Total-Matching-Query"] == str(len(page["items"]))
    return [item["name"] for item in page["items"]]


def test_folders_in_folders_hold_what_was_put_there(client: Client) -> None:
    """Files and folders are listed in their place, and found by name."""
    outer = folder(client, "outer")
    inner = folder(client, "inner", parent=outer)
    client.upload("top.txt", b"1")
    client.upload("deep.txt", b"2", parent=inner)
    assert names(client, "files", project="mlin/pilot") == ["outer", "top.txt"]
    assert names(client, "files", parent=outer) == ["inner"]
    assert names(client, f"files/{inner}/list") == ["deep.txt"]
    assert names(client, "files", parent=inner, name="deep.txt") == ["deep.txt"]
    assert names(client, "files", parent=inner, name="top.txt") == []
    shown = client.get(f"files/{inner}").json()
    assert (shown["type"], shown["parent"], shown["project"]) == ("folder", outer, "mlin/pilot")
    assert "size" not in shown


def test_the_root_of_a_project_is_a_folder(client: Client) -> None:
    """The parent of a file at the top is a folder that lists it and accepts uploads."""
    root = client.upload("top.txt", b"1")["parent"]
    client.upload("other.txt", b"2", parent=root)
    assert names(client, f"files/{root}/list") == ["top.txt", "other.txt"]
    assert names(client, "files", project="mlin/pilot") == ["top.txt", "other.txt"]
    assert client.get(f"files/{root}").json()["type"] == "folder"
    assert code(client.delete(f"files/{root}")) == (404, 5002)


def test_a_folder_that_nobody_made_is_taken_on_trust(client: Client) -> None:
    """Without declared projects any folder id is accepted, and the folder exists when something is in it."""
    unknown = "5bd7c53ee4b04b8fb1a9f63d"
    assert names(client, f"files/{unknown}/list") == []
    assert names(client, "files", parent=unknown) == []
    assert client.get(f"files/{unknown}").status_code == 404
    client.upload("a.txt", b"1", parent=unknown)
    assert names(client, f"files/{unknown}/list") == ["a.txt"]
    assert client.get(f"files/{unknown}").json()["type"] == "folder"


def test_a_deleted_folder_is_not_taken_on_trust(client: Client) -> None:
    """It can neither be listed nor uploaded to."""
    made = folder(client, "gone")
    assert client.delete(f"files/{made}").status_code == 204
    assert code(client.get(f"files/{made}/list")) == (404, 5002)
    assert code(client.get("files", params={"parent": made})) == (404, 5026)
    assert code(client.post("upload/multipart", json={"name": "x", "parent": made, "size": 1})) == (404, 5026)


def test_names_that_are_taken_and_names_that_cannot_be(client: Client) -> None:
    """A folder's name is checked by the document and must be unique in its place."""
    folder(client, "batch")
    for body, expected in [
        ({"name": "batch", "type": "folder", "project": "mlin/pilot"}, (409, 5030)),
        ({"name": "__x", "type": "folder", "project": "mlin/pilot"}, (400, 5024)),
        ({"name": "a/b", "type": "folder", "project": "mlin/pilot"}, (400, 5024)),
        ({"name": "", "type": "folder", "project": "mlin/pilot"}, (400, 5024)),
        ({"name": "x" * 256, "type": "folder", "project": "mlin/pilot"}, (400, 5024)),
        ({"name": "x", "type": "file", "project": "mlin/pilot"}, (400, 5033)),
        ({"name": "x", "type": "folder", "project": "mlin"}, (400, 3012)),
        ({"name": "x", "type": "folder"}, (400, 5029)),
        ({"name": "x", "type": "folder", "project": "a/b", "parent": "0" * 24}, (400, 5031)),
    ]:
        assert code(client.post("files", json=body)) == expected, body
    taken = client.post(
        "upload/multipart", json={"name": "batch", "project": "mlin/pilot"}, params={"overwrite": "true"}
    )
    assert code(taken) == (409, 8005), "a folder is never overwritten by a file"


@pytest.mark.parametrize("kind", ["folder", "FOLDER", "Folder"])
@pytest.mark.parametrize("name", ["my new folder", "Größe (2)", "_", "_x", "x__", "é" * 255])
def test_a_folder_is_made_as_the_vendor_makes_it(client: Client, name: str, kind: str) -> None:
    """A name may have spaces and upper case. The answer is 200, with the type in upper case and without a project."""
    where = "c" * 24
    made = client.post("files", json={"name": name, "parent": where, "type": kind})
    assert made.status_code == 200
    shown = made.json()
    assert shown.keys() == {"href", "id", "name", "parent", "type", "created_on", "modified_on"}
    assert (shown["name"], shown["parent"], shown["type"]) == (name, where, "FOLDER")
    assert client.get(shown["href"]).json()["name"] == name


def test_a_file_is_no_folder(client: Client) -> None:
    """It cannot be listed or uploaded to, and a folder cannot be downloaded."""
    file_id = client.upload("a.txt", b"1")["id"]
    assert code(client.get(f"files/{file_id}/list")) == (400, 5022)
    assert code(client.get("files", params={"parent": file_id})) == (400, 5022)
    assert code(client.post("upload/multipart", json={"name": "x", "parent": file_id})) == (400, 5022)
    assert code(client.get(f"files/{folder(client, 'sub')}/download_info")) == (404, 5002)


def test_a_list_needs_exactly_one_place(client: Client) -> None:
    """It needs a project or a parent, well formed; both and neither are refused."""
    assert code(client.get("files")) == (400, 5029)
    assert code(client.get("files", params={"project": "a/b", "parent": "0" * 24})) == (400, 5031)
    assert code(client.get("files", params={"project": "ab"})) == (400, 5005)
    assert code(client.get("files", params={"project": "a/b", "name": "a/b"})) == (400, 5024)


def test_a_name_given_twice_means_either(client: Client) -> None:
    """`name` can be repeated; the links to other pages repeat it too."""
    for name in ("a b.txt", "c&d.txt", "e.txt"):
        client.upload(name, b"")
    wanted = [("project", "mlin/pilot"), ("name", "c&d.txt"), ("name", "a b.txt"), ("name", "nowhere.txt")]
    page = client.get("files", params=[*wanted, ("limit", "1")])
    assert page.headers["X-Total-Matching-Query"] == "2"
    seen = [page.json()["items"][0]["name"]]
    (onward,) = page.json()["links"]
    seen += [item["name"] for item in client.get(onward["href"]).json()["items"]]
    assert seen == ["a b.txt", "c&d.txt"]
    assert code(client.get("files", params=[*wanted, ("name", "a/b")])) == (400, 5024)
    assert code(client.get("files", params=[*wanted, ("project", "mlin/other")])) == (400, 5005), (
        "a place is given once"
    )


def test_a_file_is_deleted_and_a_folder_only_when_empty(client: Client) -> None:
    """A deleted file is unknown, and its bytes are deleted."""
    sub = folder(client, "sub")
    file_id = client.upload("a.txt", b"1", parent=sub)["id"]
    assert code(client.delete(f"files/{sub}")) == (409, 90007)
    assert client.delete(f"files/{file_id}").status_code == 204
    assert client.delete(f"files/{sub}").status_code == 204
    assert code(client.delete(f"files/{sub}")) == (404, 5002)
    assert code(client.get(f"files/{file_id}")) == (404, 5002)
    with pytest.raises(KeyError):
        client.server.file_bytes(file_id)


def test_long_lists_are_paged(client: Client) -> None:
    """The links keep the place and the name, and lead to every page."""
    made = [client.upload(f"{number}.txt", b"")["name"] for number in range(5)]
    seen: list[str] = []
    href: str | None = "files?project=mlin/pilot&limit=2"
    while href is not None:
        page = client.get(href).json()
        seen += [item["name"] for item in page["items"]]
        href = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
    assert seen == made


def test_many_files_are_edited_in_one_call_each_for_itself(client: Client) -> None:
    """Metadata is merged, null removes a key, tags are replaced, names change; a failure does not affect other files.

    A file is named by `id` or by `file_id`.
    """
    first, second, third = (client.upload(f"{number}.txt", b"1")["id"] for number in range(3))
    body = {
        "items": [
            {"id": first, "metadata": {"sample_id": "s1", "case_id": "c"}, "tags": ["pilot"]},
            {"id": "0" * 24, "tags": ["x"]},
            {"id": second, "name": "0.txt"},
            {"id": third, "name": "renamed.txt", "metadata": {"ü" * 51: "x"}},
            {"id": third, "name": "renamed.txt"},
        ]
    }
    items = client.post("bulk/files/edit", json=body).json()["items"]
    assert items[0]["resource"]["metadata"] == {"sample_id": "s1", "case_id": "c"}
    assert items[0]["resource"]["tags"] == ["pilot"]
    assert [item.get("error", {}).get("code") for item in items] == [None, 5002, 5003, 5033, None]
    assert client.get(f"files/{third}").json()["name"] == "renamed.txt"
    change = {"items": [{"file_id": first, "metadata": {"case_id": None, "sex": "female"}}]}
    assert client.post("bulk/files/edit", json=change).status_code == 200
    shown = client.get(f"files/{first}").json()
    assert (shown["metadata"], shown["tags"]) == ({"sample_id": "s1", "sex": "female"}, ["pilot"])


@pytest.mark.parametrize(
    "items",
    [
        [],
        [{"id": "0" * 24}] * 101,
        [{"name": "x"}],
        [{"id": "x"}],
        [{"file_id": "x"}],
        [{"id": "0" * 24, "file_id": "0" * 24}],
        [{"id": "0" * 24, "metadata": {"a.b": "x"}}],
        "x",
    ],
)
def test_edits_that_are_refused_as_a_whole(client: Client, items: object) -> None:
    """An edit has 1 to 100 files, each with an id and valid metadata."""
    assert code(client.post("bulk/files/edit", json={"items": items})) == (400, 5033)


def test_any_project_exists_if_none_is_declared(client: Client) -> None:
    """It has its short name, its permissions, and a root folder that can be listed."""
    shown = client.get("projects/mlin/rna-pilot").json()
    assert shown["permissions"]["write"] is True
    client.upload("a.txt", b"", project="mlin/rna-pilot")
    assert names(client, f"files/{shown['root_folder']}/list") == ["a.txt"]
    assert (shown["id"], shown["name"]) == ("mlin/rna-pilot", "rna-pilot")
    assert client.get(shown["href"]).json() == shown


def test_declared_projects_are_the_only_ones(declared: Client) -> None:
    """Every operation refuses other projects, and folders that were not created."""
    assert declared.get("projects/mlin/pilot").json()["permissions"]["write"] is True
    assert code(declared.get("projects/mlin/other")) == (404, 3002)
    assert code(declared.get("files", params={"project": "mlin/other"})) == (404, 3002)
    assert code(declared.get("files", params={"parent": "0" * 24})) == (404, 5026)
    assert code(declared.get(f"files/{'0' * 24}/list")) == (404, 5002)
    for body, expected in (({"project": "mlin/other"}, (404, 3002)), ({"parent": "0" * 24}, (404, 5026))):
        assert code(declared.post("upload/multipart", json={"name": "x", **body})) == expected
        assert code(declared.post("files", json={"name": "x", "type": "folder", **body})) == expected
    declared.upload("a.txt", b"1", parent=folder(declared, "sub"))


def test_a_read_only_project_refuses_every_write(declared: Client) -> None:
    """Writing is answered with 403/3001; reading works."""
    assert names(declared, "files", project="mlin/archive") == []
    assert declared.get("projects/mlin/archive").json()["permissions"]["write"] is False
    for path, body in (("upload/multipart", {}), ("files", {"type": "folder"})):
        assert code(declared.post(path, json={"name": "x", "project": "mlin/archive", **body})) == (403, 3001)
