"""Every method of the client against the mock, and answers that differ from the contract."""

import asyncio
import contextlib
import gc
import inspect
import json
import logging
import pydoc
import weakref
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import FILE, QUICK, TOKEN, UPLOAD, Loopback, answer, targets

from cavatica_client.models import HeaderMap, PartReport, PartReportResponse, UploadPage
from cavatica_mock import Fault, MockServer
from cavatica_upload.api import records
from cavatica_upload.api.client import Api, connect
from cavatica_upload.api.methods import PAGE, AsyncApi, Operations
from cavatica_upload.api.operations import contract_operations, recognise
from cavatica_upload.api.records import MOST_PAGES, Pages, read_file_details
from cavatica_upload.api.responses import Answer, Drifts, Fields
from cavatica_upload.destination import Destination
from cavatica_upload.errors import (
    CompleteRefused,
    NameTaken,
    NotFound,
    UnexpectedAnswer,
    UploadGone,
    UsageError,
)
from cavatica_upload.events import Drift
from cavatica_upload.request import FileEdit

PROJECT = Destination(project="mlin/rna-pilot")


@pytest.fixture
def mock() -> Iterator[MockServer]:
    with MockServer() as server:
        yield server


@pytest.fixture
def api(mock: MockServer) -> Iterator[Api]:
    with connect(mock.token, mock.base_url, timing=QUICK) as client:
        yield client


def report(number: int, etag: str) -> PartReport:
    headers = HeaderMap()
    headers["ETag"] = etag
    return PartReport(part_number=number, response=PartReportResponse(headers=headers))


def send(api: Api, upload_id: str, number: int, data: bytes) -> PartReport:
    """Send a part as an uploader would, without the token."""
    import urllib.request

    url = api.get_part_url(upload_id, number)
    request = urllib.request.Request(url.url, data=data, method=url.method)
    with urllib.request.urlopen(request) as answered:
        return report(number, answered.headers["ETag"])


def test_life_of_an_upload(api: Api, mock: MockServer) -> None:
    """An upload is started, listed, inspected, sent, reported in bulk and singly, and completed."""
    data = bytes(range(256)) * 60_000
    started = api.start_upload(PROJECT, "a.bam", len(data), 5 * 2**20)
    assert started.part_size == 5 * 2**20
    assert [upload.upload_id for upload in api.list_uploads()] == [started.upload_id]
    reports = [
        send(api, started.upload_id, number + 1, data[number * started.part_size : (number + 1) * started.part_size])
        for number in range(3)
    ]
    api.report_parts(started.upload_id, reports[:1])
    api.report_part(started.upload_id, reports[1])
    assert len(api.get_upload(started.upload_id, list_parts=True).parts or ()) == 2
    done = api.complete_upload(started.upload_id, reports[2:])
    assert (done.name, done.size) == ("a.bam", len(data))
    assert done.id is not None
    assert mock.file_bytes(done.id) == data
    found = api.find_file(PROJECT, "a.bam")
    assert found is not None
    assert found.id == api.get_file(done.id).id == done.id
    assert api.get_download_url(done.id).startswith("http")
    with pytest.raises(UploadGone):
        api.get_upload(started.upload_id)
    with pytest.raises(NameTaken):
        api.start_upload(PROJECT, "a.bam", 1)
    assert api.start_upload(PROJECT, "a.bam", 1, overwrite=True).upload_id
    api.delete_file(done.id)
    assert api.find_file(PROJECT, "a.bam") is None


@pytest.mark.parametrize(
    ("there", "wanted", "found"),
    [
        (["re\u0301s", "r\u00e9s"], "r\u00e9s", 1),
        (["r\u00e9s", "re\u0301s"], "re\u0301s", 1),
        (["other", "r\u00e9s"], "re\u0301s", 1),
        (["re\u0301s"], "r\u00e9s", 0),
        (["other"], "r\u00e9s", None),
    ],
)
def test_the_exact_name_is_preferred(
    serve: Callable[..., Loopback],
    client_of: Callable[..., Api],
    there: list[str],
    wanted: str,
    found: int | None,
) -> None:
    """Of two files whose names differ only in their Unicode form, the one of the exact name is found."""
    items = [{"id": f"f{number}", "name": name} for number, name in enumerate(there)]
    file = client_of(serve(answer(200, json.dumps({"items": items}).encode()))).find_file(PROJECT, wanted)
    assert (file and file.id) == (None if found is None else f"f{found}")


def test_refused_completion(api: Api) -> None:
    """A completion with missing parts is CompleteRefused, and an abort ends the upload."""
    started = api.start_upload(PROJECT, "b.bam", 10)
    with pytest.raises(CompleteRefused):
        api.complete_upload(started.upload_id)
    api.abort_upload(started.upload_id)
    with pytest.raises(UploadGone):
        api.abort_upload(started.upload_id)


def test_abort_whose_answer_was_lost(api: Api, mock: MockServer) -> None:
    """An abort whose answer was lost succeeds."""
    started = api.start_upload(PROJECT, "b.bam", 10)
    mock.faults.add(Fault("abortUpload", "lost_answer"))
    api.abort_upload(started.upload_id)
    assert mock.calls["abortUpload"] == 2


def test_folders(api: Api) -> None:
    """Folders are made once, found and listed."""
    folder = api.create_folder(PROJECT, "reads")
    inside = Destination(parent=folder.id)
    below = api.create_folder(inside, "lane1")
    assert [entry.id for entry in api.list_folder(folder.id)] == [below.id]
    assert [entry.id for entry in api.list_files(inside)] == [below.id]
    assert api.find_file(inside, "lane2") is None
    with pytest.raises(NameTaken):
        api.create_folder(PROJECT, "reads")


def test_edits(api: Api) -> None:
    """Each edit of a bulk has its own answer."""
    folder = api.create_folder(PROJECT, "reads")
    started = api.start_upload(PROJECT, "c.bam", 0)
    done = api.complete_upload(started.upload_id, [send(api, started.upload_id, 1, b"")])
    assert done.id is not None
    edits = [
        FileEdit(done.id, metadata={"sample_id": "s1"}, tags=("pilot",)),
        FileEdit("000000000000000000000000", metadata={"sample_id": "s2"}),
    ]
    first, second = api.edit_files(edits)
    assert first is None
    assert isinstance(second, NotFound)
    details = api.get_file(done.id)
    assert details.metadata == {"sample_id": "s1"}
    assert details.tags == ("pilot",)
    assert folder.id


def test_project_and_limit(api: Api) -> None:
    """A project is found by owner/name, and the rate limit can be requested."""
    assert api.get_project("mlin/rna-pilot").id == "mlin/rna-pilot"
    assert api.get_rate_limit().limit == -1
    with pytest.raises(UsageError):
        api.get_project("rna-pilot")


def test_many_uploads_in_pages(api: Api) -> None:
    """A list of several pages is read to its end, and only as far as needed."""
    for number in range(PAGE + 5):
        api.start_upload(PROJECT, f"{number}.bam", 1)
    names = [upload.name for upload in api.list_uploads()]
    assert sorted(names) == sorted(f"{number}.bam" for number in range(PAGE + 5))
    first = next(api.list_uploads())
    assert first.name in names


ANSWERS: dict[str, tuple[Callable[[Api], object], dict[str, Any]]] = {
    "start": (lambda api: api.start_upload(PROJECT, "a.bam"), UPLOAD),
    "list": (lambda api: list(api.list_uploads()), {"items": [UPLOAD], "href": "h", "links": []}),
    "get": (lambda api: api.get_upload("u1", list_parts=True), {**UPLOAD, "parts": [report(1, "e").to_dict()]}),
    "url": (
        lambda api: api.get_part_url("u1", 1),
        {
            "method": "PUT",
            "url": "https://storage.example/x",
            "expires": "2026-11-22T10:00:00Z",
            "headers": {},
            "report": {"headers": ["ETag"], "success_codes": [200]},
        },
    ),
    "complete": (lambda api: api.complete_upload("u1", [report(1, "e")]), FILE),
    "file": (lambda api: api.get_file("f1"), FILE),
    "files": (lambda api: list(api.list_files(PROJECT)), {"items": [FILE], "href": "h", "links": []}),
    "folder": (lambda api: list(api.list_folder("f1")), {"items": [FILE], "href": "h", "links": []}),
    "download": (lambda api: api.get_download_url("f1"), {"url": "https://storage.example/x"}),
    "create": (lambda api: api.create_folder(PROJECT, "x"), FILE),
    "edit": (lambda api: api.edit_files([FileEdit("f1", metadata={"a": "b"})]), {"items": [{"resource": FILE}]}),
    "project": (lambda api: api.get_project("a/b"), {"href": "h", "id": "a/b", "name": "b"}),
    "limit": (lambda api: api.get_rate_limit(), {"rate": {"limit": 10, "remaining": 9, "reset": 1}}),
}


def damaged(value: Any) -> Iterator[Any]:
    """Yield the answer with each value in it removed, or replaced by another."""
    others: tuple[Any, ...] = (None, [], 7, "text", {"x": {}})
    yield from others
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {name: other for name, other in value.items() if name != key}
            for broken in damaged(inner):
                yield {**value, key: broken}
    elif isinstance(value, list) and value:
        for broken in damaged(value[0]):
            yield [broken]


NEEDED = {
    "start": {"upload_id", "part_size"},
    "list": {"items"},
    "url": {"url"},
    "files": {"items"},
    "folder": {"items"},
    "download": {"url"},
}
"""What cannot be done without, by call; in every other answer, anything can."""


@pytest.mark.parametrize("which", ANSWERS)
def test_damaged_answers(which: str, serve: Callable[..., Loopback], client_of: Callable[..., Api]) -> None:
    """With any damage to an answer the method returns, or raises UnexpectedAnswer if it needs the value."""
    act, good = ANSWERS[which]
    status = 201 if which == "create" else 200
    answers = [*damaged(good)]
    server = serve(answer(status, good))
    api = client_of(server, attempts=1)
    act(api)
    for bad in answers:
        api = client_of(serve(answer(status, bad), answer(200, {"items": []})), attempts=1)
        lacks = NEEDED.get(which, set()) and any(
            not isinstance(bad, dict) or bad.get(key) != good[key] for key in NEEDED.get(which, ())
        )
        if not lacks and which != "create":
            act(api)
            continue
        with contextlib.suppress(UnexpectedAnswer):
            act(api)


@pytest.mark.parametrize("which", ANSWERS)
def test_each_difference_is_reported_once(
    which: str, serve: Callable[..., Loopback], client_of: Callable[..., Api]
) -> None:
    """A difference from the document is reported once with operation and key, and a right answer never."""
    act, good = ANSWERS[which]
    drifts: list[Drift] = []
    status = 201 if which == "create" else 200
    api = client_of(serve(answer(status, good)), attempts=1).with_drift_listener(drifts.append)
    if which in ("start", "list", "get", "complete", "file", "project", "limit", "url"):
        act(api)
        assert drifts == []
    changed = {**good, "href": 7, "new": True}
    api = client_of(serve(answer(status, changed)), attempts=1).with_drift_listener(drifts.append)
    for _ in range(2):
        act(api)
    key = [drift.key for drift in drifts if drift.key == "href"]
    assert key == (["href"] if which not in ("url", "download", "edit", "limit") else [])


def test_what_it_reads_of_a_part_url(serve: Callable[..., Loopback], client_of: Callable[..., Api]) -> None:
    """Of a part URL only the URL is required; method, headers and codes have defaults."""
    url = "https://storage.example/x?Signature=y"
    bare = client_of(serve(answer(206, {"url": url}))).get_part_url("u1", 1)
    assert (bare.method, bare.headers, bare.success_codes, bare.report_headers, bare.expires) == (
        "PUT",
        {},
        (),
        ("ETag",),
        None,
    )
    odd = {
        "url": url,
        "method": "püt",
        "headers": {"x-amz-acl": "private", "bad name": "x", "x-n": 5, "x-bad": "a\r\nb"},
        "expires": 1795345200000,
        "report": {"headers": None, "success_codes": ["200", 404, True, "x"]},
    }
    read = client_of(serve(answer(200, odd))).get_part_url("u1", 1)
    assert (read.method, read.headers, read.success_codes, read.report_headers) == (
        "PUT",
        {"x-amz-acl": "private", "x-n": "5"},
        (200,),
        ("ETag",),
    )
    assert read.expires == datetime(2026, 11, 22, 11, tzinfo=UTC)
    assert "Signature" not in repr(read)


@pytest.mark.parametrize("part_size", [0, -1, 6 * 2**30, "much", None, 1.5, True, "99999999999999999999"])
def test_an_impossible_part_size(
    serve: Callable[..., Loopback], client_of: Callable[..., Api], part_size: object
) -> None:
    """A part size that is not between 1 byte and 5 GiB is UnexpectedAnswer."""
    api = client_of(serve(answer(200, {**UPLOAD, "part_size": part_size})))
    with pytest.raises(UnexpectedAnswer, match="without a usable part_size") as caught:
        api.start_upload(PROJECT, "a.bam")
    assert caught.value.maybe_acted


@pytest.mark.parametrize(("part_size", "read"), [("5242880", 5242880), (5242880.0, 5242880), (1, 1)])
def test_a_part_size_written_otherwise(
    serve: Callable[..., Loopback], client_of: Callable[..., Api], part_size: object, read: int
) -> None:
    """A whole number is accepted in any JSON form."""
    api = client_of(serve(answer(200, {**UPLOAD, "part_size": part_size})))
    assert api.start_upload(PROJECT, "a.bam").part_size == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-11-22T11:00:00", "2026-11-22T11:00:00+00:00"),
        ("2026-11-22T11:00:00.123456Z", "2026-11-22T11:00:00.123456+00:00"),
        ("2026-11-22 12:00:00+01:00", "2026-11-22T11:00:00+00:00"),
        ("Sun, 22 Nov 2026 11:00:00 GMT", "2026-11-22T11:00:00+00:00"),
        (1795345200, "2026-11-22T11:00:00+00:00"),
        ("1795345200000", "2026-11-22T11:00:00+00:00"),
        (1795345200000000, "2026-11-22T11:00:00+00:00"),
        ("soon", None),
        (None, None),
        (10**40, None),
        ([], None),
    ],
)
def test_dates(text: object, read: str | None) -> None:
    """A time is read in all formats of servers; without a time zone it is UTC."""
    found = Fields({"at": text}).time("at")
    assert (found and found.isoformat()) == read


@pytest.mark.parametrize("body", [b"", b"OK", b"<html>", b'{"id": 7', b"[]", b'{"id": "../x"}', b'{"id": null}'])
@pytest.mark.parametrize("status", [200, 201, 202, 206, 299])
def test_whatever_success_completes(
    serve: Callable[..., Loopback], client_of: Callable[..., Api], status: int, body: bytes
) -> None:
    """A completion answered with any 2xx and any body is completed, and not repeated."""
    server = serve(answer(status, body))
    assert client_of(server).complete_upload("u1").id is None
    assert len(server.requests) == 1


@pytest.mark.parametrize("which", ["start", "get", "url"])
def test_empty_success(which: str, serve: Callable[..., Loopback], client_of: Callable[..., Api]) -> None:
    """A success without a body is UnexpectedAnswer if a value in it is needed."""
    with pytest.raises(UnexpectedAnswer) as caught:
        ANSWERS[which][0](client_of(serve(answer(200)), attempts=1))
    assert caught.value.maybe_acted == (which == "start")


def test_the_start_of_a_body_is_shown_without_secrets(
    serve: Callable[..., Loopback], client_of: Callable[..., Api]
) -> None:
    """An error shows the start of the answer, without token, signature or control characters."""
    body = b'{"upload_id": "' + TOKEN.encode() + b'\\u001b[2J", "u": "https:\\/\\/s.example\\/x?Signature=y", "z": "'
    for start in (body.replace(b"\\\\", b"\\") + b"z" * 9999 + b'"}', b'"' + TOKEN.encode() + b"z" * 9999 + b'"'):
        with pytest.raises(UnexpectedAnswer) as caught:
            client_of(serve(answer(200, start))).start_upload(PROJECT, "a.bam")
        assert TOKEN not in str(caught.value)
        assert "Signature" not in str(caught.value)
        assert "\x1b" not in str(caught.value)
        assert len(caught.value.message) < 400


def test_wrong_arguments_are_not_wrong_answers(serve: Callable[..., Loopback], client_of: Callable[..., Api]) -> None:
    """A wrong argument is not reported as a wrong answer."""
    api = client_of(serve(answer(200, UPLOAD)))
    with pytest.raises(AttributeError):
        api.report_part("u1", "no report")  # type: ignore[arg-type]


def test_list_without_links(serve: Callable[..., Loopback], client_of: Callable[..., Api]) -> None:
    """The documented list of uploads has no links, and ends with a page that is not full."""
    full = [{**UPLOAD, "upload_id": f"u{number}"} for number in range(PAGE)]
    server = serve(answer(200, {"items": full}), answer(200, {"items": [{**UPLOAD, "upload_id": "last"}]}))
    assert len(list(client_of(server).list_uploads())) == PAGE + 1
    assert targets(server.requests) == [
        "GET /v2/upload/multipart?limit=100&offset=0",
        "GET /v2/upload/multipart?limit=100&offset=100",
    ]


def test_link_to_another_host(serve: Callable[..., Loopback], client_of: Callable[..., Api]) -> None:
    """Only the offset of a link to the next page is used."""
    elsewhere = serve(answer(200, {}))
    link = {"href": f"{elsewhere.url}/files?offset=70&limit=50", "rel": "NEXT", "method": "GET"}
    server = serve(
        answer(200, {"href": "h", "items": [FILE], "links": [link]}),
        answer(200, {"href": "h", "items": [], "links": []}),
    )
    assert len(list(client_of(server).list_files(PROJECT))) == 1
    assert "offset=70" in server.requests[1].target
    assert elsewhere.requests == []


@given(
    total=st.integers(0, 90),
    size=st.integers(1, 60),
    ignores_offset=st.booleans(),
    says=st.sampled_from(["links", "links in circles", "total", "nothing"]),
)
def test_pages_end(total: int, size: int, ignores_offset: bool, says: str) -> None:
    """A list ends with any links of the server; no item is repeated or left out."""
    pages = Pages(read_file_details, lambda file: file.id)
    items: list[str] = []
    calls = 0
    while not pages.over:
        calls += 1
        first = 0 if ignores_offset else pages.offset
        found = range(first, min(total, first + size))
        more = None if says in ("nothing", "total") else says == "links in circles" or first + size < total
        items += [file.id for file in pages.take(page(found, more, total if says == "total" else None))]
    if says != "nothing" or size >= 25:
        assert items == [str(number) for number in range(min(total, size) if ignores_offset else total)]
    assert calls <= total + 2


def page(ids: Iterable[int], more: bool | None, total: int | None = None) -> Answer:
    """The answer of a list: its items, an optional link to the next page, and the total number."""
    links = {} if more is None else {"links": [{"href": "h", "rel": "next"}] if more else []}
    headers = {} if total is None else {"X-Total-Matching-Query": str(total)}
    body = {"items": [{"id": str(number)} for number in ids], **links}
    return Answer(recognise("GET", "/files"), 200, headers, json.dumps(body).encode())


def test_a_list_without_an_end() -> None:
    """A list without end is detected."""
    pages = Pages(read_file_details, lambda file: file.id)
    for number in range(MOST_PAGES - 1):
        pages.take(page([number], more=True))
    with pytest.raises(UnexpectedAnswer, match="does not end"):
        pages.take(page([MOST_PAGES], more=True))


def test_every_operation_has_a_method() -> None:
    """Every operation of the document has a method, with asyncio and without."""
    arguments = {
        "start_upload": ("a/b", "n"),
        "report_part": ("u1", report(1, "e")),
        "report_parts": ("u1", []),
        "get_part_url": ("u1", 1),
        "create_folder": ("a/b", "n"),
        "find_file": ("a/b", "n"),
        "edit_files": ([FileEdit("f1", metadata={"a": "b"})],),
        "list_uploads": (),
        "get_rate_limit": (),
    }
    reached: set[str] = set()

    class Sent(Exception):
        pass

    class Client:
        def request(self, method: str, url: str, **_: object) -> httpx.Response:
            reached.add(recognise(method, url).name)
            raise Sent

    class Blocking(Operations):
        _coroutines = AsyncApi(Client, Drifts(print))

    async def first(found: Any) -> object:
        return await (anext(found) if hasattr(found, "__anext__") else found)

    def call(api: Any, name: str) -> None:
        found = getattr(api, name)(*arguments.get(name, ("a/b",)))
        next(found) if isinstance(api, Operations) else asyncio.run(first(found))

    every = {operation.name for operation in contract_operations()}
    for api in (Blocking(), Blocking._coroutines):
        reached.clear()
        for name, _ in inspect.getmembers(type(api), inspect.isfunction):
            if name[0] != "_":
                with pytest.raises(Sent):
                    call(api, name)
        assert reached == every


@pytest.mark.parametrize("status", [200, 201, 202, 207])
@pytest.mark.parametrize("body", [b"", b"done", {}, {"items": []}, {"items": "no"}, {"items": [{}]}, [1]])
@pytest.mark.parametrize("is_set", [True, False])
def test_edits_missing_in_the_answer(
    serve: Callable[..., Loopback], client_of: Callable[..., Api], status: int, body: object, is_set: bool
) -> None:
    """If the answer to a bulk leaves out a file, the file is requested to check its metadata."""
    file = {**FILE, "metadata": {"a": "b"} if is_set else {"a": "c"}, "tags": ["t"]}
    api = client_of(serve(answer(status, body), answer(200, file)))
    (outcome,) = api.edit_files([FileEdit("f1", metadata={"a": "b"}, tags=("t",))])
    assert (outcome is None) == is_set
    assert outcome is None or isinstance(outcome, UnexpectedAnswer)


@pytest.mark.parametrize("body", [b"", b"made", {}, {"name": "x"}, {"id": None}, {"id": ["f1"]}])
def test_a_folder_without_an_id_in_the_answer(
    serve: Callable[..., Loopback], client_of: Callable[..., Api], body: object
) -> None:
    """After any success without an ID, a new folder is found by its name."""
    page = {"href": "h", "items": [{**FILE, "name": "x", "type": "folder"}], "links": []}
    assert client_of(serve(answer(200, body), answer(200, page))).create_folder(PROJECT, "x").id == "f1"
    with pytest.raises(UnexpectedAnswer, match="the folder is not there"):
        client_of(serve(answer(200, body), answer(200, {"items": []}))).create_folder(PROJECT, "x")


def test_differences_reach_the_listener_of_a_client(
    serve: Callable[..., Loopback], client_of: Callable[..., Api], caplog: pytest.LogCaptureFixture
) -> None:
    """A client reports differences to `on_event`, also from derived clients, and logs them if there is none."""
    caplog.set_level(logging.WARNING, "cavatica_upload")  # a command that ran before may have set another level
    events: list[object] = []
    client = client_of(serve(answer(201, UPLOAD)), on_event=events.append)
    for one in (client, client, client.with_headers({"X-A": "b"})):
        one.get_upload("u1")
    assert [event for event in events if isinstance(event, Drift)] == [Drift("getUpload", "the status", "201")]
    assert not caplog.records
    client_of(serve(answer(201, UPLOAD))).get_upload("u1")
    assert [record.getMessage() for record in caplog.records] == [
        "The server's answer to getUpload is not as documented: the status is 201."
    ]


def test_a_client_has_the_operations(mock: MockServer) -> None:
    """The client of connect() has every operation as a method, and generated functions accept it too."""
    from cavatica_client.api.uploads import list_uploads

    with connect(mock.token, mock.base_url, timing=QUICK) as api:
        for number in range(PAGE + 30):
            api.start_upload("mlin/rna-pilot", f"{number}.bam", 1)
        assert len([upload.name for upload in api.list_uploads()]) == PAGE + 30
        page = list_uploads.sync(client=api)
        assert isinstance(page, UploadPage)
        assert len(page.items) == 50

    async def names() -> list[str | None]:
        async with connect(mock.token, mock.base_url, timing=QUICK) as api:
            return [upload.name async for upload in api.aio.list_uploads()]

    assert len(asyncio.run(names())) == PAGE + 30


def test_help_shows_the_types_of_records() -> None:
    """help() shows the types of a record's fields, and not how they are read."""
    for kind in filter(attrs.has, vars(records).values()):
        assert "Annotated" not in pydoc.plain(pydoc.render_doc(kind))


def test_the_asynchronous_client_without_a_loop(api: Api) -> None:
    """Outside an event loop, a sentence says where the asynchronous client can be used."""
    with pytest.raises(UsageError, match="none is running") as caught:
        api.get_async_httpx_client()
    assert "coroutine" in str(caught.value.hint)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_event_loops_that_ended_are_forgotten(mock: MockServer) -> None:
    """A client that is used in one `asyncio.run()` after the other keeps the connections of the last one only."""
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def call(api: Api) -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await api.aio.get_rate_limit()

    with connect(mock.token, mock.base_url, timing=QUICK) as api:
        for _ in range(3):
            asyncio.run(call(api))
        gc.collect()
        assert [loop() is None for loop in loops] == [True, True, False]
    del api
    gc.collect()  # here, where the warnings are ignored


def test_life_of_an_upload_with_asyncio(mock: MockServer) -> None:
    """The coroutines do the same as the methods."""

    async def live() -> None:
        async with connect(mock.token, mock.base_url, timing=QUICK) as client:
            api = client.aio
            folder = await api.create_folder(PROJECT, "reads")
            place = Destination(parent=folder.id)
            started = await api.start_upload(place, "a.bam", 3)
            url = await api.get_part_url(started.upload_id, 1)
            async with httpx.AsyncClient() as storage:
                stored = await storage.put(url.url, content=b"abc")
            one = report(1, stored.headers["ETag"])
            await api.report_part(started.upload_id, one)
            await api.report_parts(started.upload_id, [one])
            assert len((await api.get_upload(started.upload_id, list_parts=True)).parts or ()) == 1
            done = await api.complete_upload(started.upload_id)
            assert done.id is not None
            assert await api.edit_files([FileEdit(done.id, metadata={"a": "b"})]) == [None]
            assert (await api.get_file(done.id)).metadata == {"a": "b"}
            assert (await api.get_download_url(done.id)).startswith("http")
            found = await api.find_file(place, "a.bam")
            assert found is not None
            assert found.id == done.id
            assert [file.id async for file in api.list_folder(folder.id)] == [done.id]
            await api.delete_file(done.id)
            assert await api.find_file(place, "a.bam") is None
            await api.abort_upload((await api.start_upload(place, "b.bam", 3)).upload_id)
            assert (await api.get_project("mlin/rna-pilot")).id == "mlin/rna-pilot"
            assert (await api.get_rate_limit()).limit == -1

    asyncio.run(live())
