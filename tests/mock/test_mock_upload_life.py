"""The life of an upload over a real socket."""

from typing import Any

import httpx
import pytest
from mock_client import Client, code, md5, report

from cavatica_mock import MockServer

NAMES = [
    "plain.bam",
    "two words  and tabs\t.txt",
    "quote'\"s.txt",
    "per%cent%2F.txt",
    "what?.txt",
    "hash#1.txt",
    "plus+plus.txt",
    "Ünïcödé-日本語-🧬.fastq.gz",
    "..",
    ".",
    "back\\slash;semi&amp=<xml>.txt",
    "new\nline\r.txt",
    "nul\0byte\x7f\u2028.txt",
    "x" * 255,
    "🧬" * 255,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_arrives_whole_under_its_exact_name(client: Client, server: MockServer, name: str) -> None:
    """Whatever its name, a file can be started, completed, found and downloaded."""
    data = bytes(range(256)) * 3
    done = client.upload(name, data, part_size=100)
    assert (done["name"], done["size"], done["type"]) == (name, len(data), "file")
    assert server.file_bytes(done["id"]) == data
    shown = client.get(done["href"]).json()
    assert (shown["name"], shown["size"], shown["id"]) == (name, len(data), done["id"])
    url = client.get(f"files/{done['id']}/download_info").json()["url"]
    assert client.storage.get(url).content == data
    found = client.get("files", params={"project": "mlin/pilot", "name": name}).json()["items"]
    assert [item["id"] for item in found] == [done["id"]]


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200])
def test_sizes_about_the_edges_of_parts(client: Client, server: MockServer, size: int) -> None:
    """Empty, one byte, exactly one part, one byte more or less."""
    data = b"\xa5" * size
    done = client.upload("edge.bin", data, part_size=100)
    assert done["size"] == size
    assert server.file_bytes(done["id"]) == data


def test_the_odd_split_of_the_vendors_python_client(client: Client, server: MockServer) -> None:
    """11 bytes in parts of 5 arrive as 5, 6 and 0 bytes, and can be completed."""
    started = client.start(size=11, part_size=5)
    parts = [b"abcde", b"fghijk", b""]
    reports = [
        report(number, client.put(started["upload_id"], number, part).headers["ETag"])
        for number, part in enumerate(parts, start=1)
    ]
    done = client.complete(started["upload_id"], reports)
    assert done.status_code == 201
    assert server.file_bytes(done.json()["id"]) == b"abcdefghijk"


def test_started_upload_shows_what_it_was_asked_for(client: Client) -> None:
    """The answer repeats the request, with an href that leads to the upload."""
    started = client.start("a.bam", size=70254593, part_size=33554432, md5="9e107d9d372bb6826bd81d3542a419d6")
    assert {key: started[key] for key in ("project", "name", "size", "part_size", "parallel_uploads")} == {
        "project": "mlin/pilot",
        "name": "a.bam",
        "size": 70254593,
        "part_size": 33554432,
        "parallel_uploads": True,
    }
    assert len(started["upload_id"]) == 64
    shown = client.get(started["href"]).json()
    assert shown["upload_id"] == started["upload_id"]
    assert shown["md5"] == "9e107d9d372bb6826bd81d3542a419d6"
    assert shown["uploaded_parts_count"] == 0
    assert "parts" not in shown
    assert "size" not in shown, "the platform keeps the size to itself"


def test_reports_alone_in_bulk_and_at_the_end_count_the_same(client: Client, server: MockServer) -> None:
    """One part reported alone, one in bulk, one with the completion: a whole file."""
    started = client.start(size=9, part_size=3)
    upload_id = started["upload_id"]
    reports = client.put_all(upload_id, b"abcdefghi", 3)
    alone = client.post(f"upload/multipart/{upload_id}/part", json=reports[0])
    assert alone.json() == report(1, md5(b"abc")), "the report is echoed, its ETag bare"
    bulk = client.post(f"upload/multipart/{upload_id}", json={"parts": [reports[1]]})
    assert (bulk.status_code, bulk.content, bulk.headers["Content-Type"]) == (200, b"", "application/json")
    assert client.reported(upload_id) == {1: md5(b"abc"), 2: md5(b"def")}
    done = client.complete(upload_id, [reports[2]]).json()
    assert server.file_bytes(done["id"]) == b"abcdefghi"


@pytest.mark.parametrize("quoted", [True, False])
def test_etags_count_with_and_without_quotes(client: Client, quoted: bool) -> None:
    """Some clients keep the quotes, others strip them; the API shows ETags without quotes."""
    upload_id = client.start(size=3)["upload_id"]
    etag = client.put(upload_id, 1, b"abc").headers["ETag"]
    assert etag == f'"{md5(b"abc")}"'
    client.post(f"upload/multipart/{upload_id}/part/", json=report(1, etag if quoted else etag.strip('"')))
    assert client.reported(upload_id) == {1: md5(b"abc")}
    assert client.complete(upload_id).status_code == 201


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"content": b"null", "headers": {"Content-Type": "application/json"}},
        {"json": {}},
        {"json": {"parts": []}},
        {"content": b"", "headers": {"Content-Type": "application/json"}},
        {"content": b"{}", "headers": {"Content-Type": "application_json"}},
        {"content": b"{}", "headers": {"Content-Type": "application/json; charset=utf-8"}},
    ],
)
def test_every_way_to_say_nothing_at_completion(client: Client, options: dict[str, Any]) -> None:
    """Real clients send no body, null, an empty object or an empty list."""
    upload_id = client.start(size=3)["upload_id"]
    reports = client.put_all(upload_id, b"abc", 3)
    client.post(f"upload/multipart/{upload_id}", json={"parts": reports})
    assert client.post(f"upload/multipart/{upload_id}/complete", **options).status_code == 201


def test_a_part_sent_again_wins(client: Client, server: MockServer) -> None:
    """Before completion a part may be sent and reported again; the last one is in the file."""
    upload_id = client.start(size=3)["upload_id"]
    first = client.put_all(upload_id, b"abc", 3)
    client.post(f"upload/multipart/{upload_id}", json={"parts": first})
    second = client.put_all(upload_id, b"xyz", 3)
    assert code(client.complete(upload_id)) == (409, 8007), "the report is of bytes that are no longer there"
    done = client.complete(upload_id, second).json()
    assert server.file_bytes(done["id"]) == b"xyz"


def test_completion_refuses_all_that_is_not_a_whole_file(client: Client) -> None:
    """Without reports, with a gap, missing bytes, an unsent part or a wrong ETag: 8007, and the upload stays usable."""
    upload_id = client.start(size=9, part_size=3)["upload_id"]
    assert code(client.complete(upload_id)) == (409, 8007)
    reports = client.put_all(upload_id, b"abcdefghi", 3)
    assert code(client.complete(upload_id)) == (409, 8007)
    assert code(client.complete(upload_id, [reports[0], reports[2]])) == (409, 8007)
    assert client.reported(upload_id) == {}, "reports of a refused completion are not kept"
    assert code(client.complete(upload_id, reports[:2])) == (409, 8007)
    assert code(client.complete(upload_id, [*reports[:2], report(3, "0" * 32)])) == (409, 8007)
    assert code(client.complete(upload_id, [*reports[:2], report(3, "")])) == (409, 8007)
    assert client.complete(upload_id, reports).status_code == 201


def test_completion_refuses_parts_that_were_reported_but_never_sent(client: Client) -> None:
    """A report without bytes is not a part."""
    upload_id = client.start(size=3)["upload_id"]
    assert code(client.complete(upload_id, [report(1, md5(b"abc"))])) == (409, 8007)


def test_completion_refuses_bytes_that_were_sent_but_never_reported(client: Client) -> None:
    """Without a declared size, a part without a report would be lost silently."""
    upload_id = client.start(part_size=3)["upload_id"]
    reports = client.put_all(upload_id, b"abcdef", 3)
    assert code(client.complete(upload_id, reports[:1])) == (409, 8007)
    assert client.complete(upload_id, reports).status_code == 201


def test_completion_refuses_small_parts_before_the_last() -> None:
    """Storage accepts them, and completion applies S3's rule; the last part may have any size."""
    with MockServer() as server:
        client = Client(server)
        upload_id = client.start()["upload_id"]
        reports = client.put_all(upload_id, b"abcdef", 3)
        assert code(client.complete(upload_id, reports)) == (409, 8007)
        whole = report(1, client.put(upload_id, 1, bytes(5 * 2**20)).headers["ETag"])
        assert client.complete(upload_id, [whole, reports[1]]).json()["size"] == 5 * 2**20 + 3
        client.close()


def test_completion_refuses_more_bytes_than_declared(client: Client) -> None:
    """The declared size must be that of the parts."""
    upload_id = client.start(size=3)["upload_id"]
    reports = client.put_all(upload_id, b"abcd", 4)
    assert code(client.complete(upload_id, reports)) == (409, 8007)


def test_an_upload_without_a_size_takes_what_comes(client: Client, server: MockServer) -> None:
    """The size is optional: then parts are counted up to 10,000."""
    started = client.start("stream.bin", part_size=2)
    assert "size" not in started
    upload_id = started["upload_id"]
    assert client.get(f"upload/multipart/{upload_id}/part/10000").status_code == 200
    done = client.complete(upload_id, client.put_all(upload_id, b"abcde", 2)).json()
    assert server.file_bytes(done["id"]) == b"abcde"


def test_an_ended_upload_is_unknown_everywhere(client: Client) -> None:
    """After completion or abort every operation says 404/8003, and storage says NoSuchUpload."""
    for end in ("complete", "abort"):
        upload_id = client.start(f"{end}.bin", size=3)["upload_id"]
        url = client.part_url(upload_id, 1)
        reports = client.put_all(upload_id, b"abc", 3)
        if end == "complete":
            assert client.complete(upload_id, reports).status_code == 201
        else:
            aborted = client.delete(f"upload/multipart/{upload_id}")
            assert (aborted.status_code, aborted.content) == (204, b"")
        assert_unknown(client, upload_id)
        late = client.storage.put(url, content=b"abc")
        assert late.status_code == 404
        assert "<Code>NoSuchUpload</Code>" in late.text
    assert client.get("upload/multipart").json()["items"] == []


def test_an_upload_of_somebody_else_is_unknown(client: Client, stranger: Client) -> None:
    """Uploads belong to the token that started them: others can neither see nor use them."""
    upload_id = client.start(size=3)["upload_id"]
    assert_unknown(stranger, upload_id)
    assert stranger.get("upload/multipart").json()["items"] == []
    assert client.get("upload/multipart").json()["items"][0]["upload_id"] == upload_id
    reports = client.put_all(upload_id, b"abc", 3)
    done = client.complete(upload_id, reports).json()
    assert stranger.get(f"files/{done['id']}").status_code == 200, "files belong to the project"


def assert_unknown(client: Client, upload_id: str) -> None:
    path = f"upload/multipart/{upload_id}"
    answers = [
        client.get(path),
        client.get(path, params={"list_parts": "true"}),
        client.get(f"{path}/part/1"),
        client.post(path, json={"parts": [report(1, md5(b"abc"))]}),
        client.post(f"{path}/part", json=report(1, md5(b"abc"))),
        client.complete(upload_id),
        client.delete(path),
    ]
    assert {code(answer) for answer in answers} == {(404, 8003)}


@pytest.mark.parametrize(
    "number", ["0", "-1", "4", "10001", "99999999999999999999", "1.0", "one", "01", "+1", "%D9%A1"]
)
def test_part_numbers_that_the_upload_does_not_have(client: Client, number: str) -> None:
    """Nine bytes in parts of three have the part numbers 1, 2 and 3, in plain digits."""
    upload_id = client.start(size=9, part_size=3)["upload_id"]
    assert code(client.get(f"upload/multipart/{upload_id}/part/{number}")) == (400, 8012)


def test_a_name_is_taken_until_it_is_overwritten(client: Client, server: MockServer) -> None:
    """A name is unique in its folder; overwriting replaces the old file with a new one with a new id."""
    old = client.upload("a.bam", b"old")
    taken = client.post("upload/multipart", json={"project": "mlin/pilot", "name": "a.bam"})
    assert code(taken) == (409, 8005)
    folder = client.post("files", json={"name": "sub", "type": "folder", "project": "mlin/pilot"}).json()["id"]
    client.upload("a.bam", b"in the folder", parent=folder)
    client.upload("a.bam", b"elsewhere", project="mlin/other")
    started = client.start("a.bam", size=3, overwrite="true")
    assert server.file_bytes(old["id"]) == b"old", "the old file is there until the new one is whole"
    new = client.complete(started["upload_id"], client.put_all(started["upload_id"], b"new", 3)).json()
    assert new["id"] != old["id"]
    assert client.get(f"files/{old['id']}").status_code == 404
    assert server.file_bytes(new["id"]) == b"new"


def test_a_name_taken_meanwhile(client: Client) -> None:
    """Two uploads of one name may be open; the second to complete is refused and stays usable."""
    first, second = (client.start(size=3)["upload_id"] for _ in range(2))
    reports = {upload: client.put_all(upload, b"abc", 3) for upload in (first, second)}
    done = client.complete(first, reports[first]).json()
    assert code(client.complete(second, reports[second])) == (409, 8005)
    client.delete(f"files/{done['id']}")
    assert client.complete(second, reports[second]).status_code == 201


@pytest.mark.parametrize("spelling", ["true", "True", "TRUE", "tRuE"])
def test_true_in_any_case(client: Client, spelling: str) -> None:
    """The vendor's clients spell booleans as their languages do."""
    client.upload("a.bam", b"abc")
    client.start("a.bam", overwrite=spelling)
    shown = client.get("upload/multipart").json()["items"][0]
    assert "parts" in client.get(shown["href"], params={"list_parts": spelling}).json()


def test_the_list_is_paged_and_adds_up(client: Client) -> None:
    """The links lead to every page; the pages have every upload once, and the total."""
    started = [client.start(f"{number}.bam")["upload_id"] for number in range(7)]
    seen: list[str] = []
    href: str | None = f"{client.server.base_url}/upload/multipart?limit=3"
    pages = []
    while href is not None:
        response = client.get(href)
        page = response.json()
        assert response.headers["X-Total-Matching-Query"] == "7"
        seen += [item["upload_id"] for item in page["items"]]
        pages.append([link["rel"] for link in page["links"]])
        href = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
    assert seen == started
    assert pages == [["next"], ["next", "prev"], ["prev"]]
    assert client.get("upload/multipart", params={"offset": 7}).json()["items"] == []
    assert len(client.get("upload/multipart").json()["items"]) == 7


@pytest.mark.parametrize(
    ("offset", "limit", "after", "before"),
    [(0, 4, None, None), (2, 2, None, 0), (1, 2, 3, 0), (1, 1, 2, 0), (9, 2, None, 7)],
)
def test_pages_lead_where_there_is_something(
    client: Client, offset: int, limit: int, after: int | None, before: int | None
) -> None:
    """There is no link past the end and none before the start."""
    for number in range(4):
        client.start(f"{number}.bam")
    page = client.get("upload/multipart", params={"offset": offset, "limit": limit}).json()
    offsets = {link["rel"]: int(httpx.URL(link["href"]).params["offset"]) for link in page["links"]}
    assert (offsets.get("next"), offsets.get("prev")) == (after, before)


def test_bulk_reports_are_all_or_nothing(client: Client) -> None:
    """With one bad entry no entry counts; of two entries for one number the last counts."""
    upload_id = client.start(size=9, part_size=3)["upload_id"]
    path = f"upload/multipart/{upload_id}"
    good = report(1, md5(b"abc"))
    bad: list[tuple[Any, tuple[int, int]]] = [
        ({"parts": [good, {"part_number": 2}]}, (400, 8015)),
        ({"parts": [good, report(0, "x")]}, (400, 8015)),
        ({"parts": [good, report(4, "x")]}, (400, 8012)),
        ({"parts": [good, {"part_number": 2, "response": {"headers": {}}}]}, (400, 8014)),
        ({"parts": [good, {"part_number": 2, "response": {"headers": {"ETag": None}}}]}, (400, 8015)),
        ({"parts": good}, (400, 8015)),
        ([good], (400, 8015)),
        (None, (400, 8015)),
        ({}, (400, 8015)),
    ]
    for body, expected in bad:
        assert code(client.post(path, json=body)) == expected, body
        assert client.reported(upload_id) == {}
    client.post(path, json={"parts": [good, report(1, "later"), report(2, "b")]})
    assert client.reported(upload_id) == {1: "later", 2: "b"}
    client.post(path, json={"parts": []})
    assert client.reported(upload_id) == {1: "later", 2: "b"}


def test_bad_reports_of_one_part(client: Client) -> None:
    """A report needs a valid part number and an ETag, with any case of the header's name."""
    upload_id = client.start(size=3)["upload_id"]
    path = f"upload/multipart/{upload_id}/part"
    for body, expected in [
        (report(0, "x"), (400, 8012)),
        (report(2, "x"), (400, 8012)),
        ({"part_number": 1}, (400, 8014)),
        ({"response": {"headers": {"ETag": "x"}}}, (400, 8014)),
        ({"part_number": 1, "response": {"headers": {}}}, (400, 8014)),
        ({"part_number": 1, "response": {"headers": {"ETag": 7}}}, (400, 8014)),
        ({"part_number": 1, "response": {}}, (400, 8014)),
    ]:
        assert code(client.post(path, json=body)) == expected, body
    assert client.post(path, json={"part_number": 1, "response": {"headers": {"etag": "x"}}}).status_code == 200
    assert client.post(path, json={"part_number": 1.0, "response": {"headers": {"ETag": "x"}}}).status_code == 200
