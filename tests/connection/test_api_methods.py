"""Api: every method against the mock, and answers that are not the contract's."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import FILE, UPLOAD, Loopback, answer, targets

from cavatica_client.models import HeaderMap, PartReport, PartReportResponse
from cavatica_mock import Fault, MockServer
from cavatica_upload.api import Api
from cavatica_upload.batch.metadata import FileEdit
from cavatica_upload.connection import connect
from cavatica_upload.destination import Destination
from cavatica_upload.errors import (
    CavaticaError,
    CompleteRefused,
    NameTaken,
    NotFound,
    UnexpectedAnswer,
    UploadGone,
    UsageError,
)
from cavatica_upload.http.answers import known
from cavatica_upload.http.client import SafeClient
from cavatica_upload.http.pages import PAGE, all_items

PROJECT = Destination(project="mlin/rna-pilot")


@pytest.fixture
def mock() -> Iterator[MockServer]:
    with MockServer() as server:
        yield server


@pytest.fixture
def api(mock: MockServer, quick: None) -> Iterator[Api]:
    with connect(mock.token, mock.base_url) as client:
        yield Api(client)


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
    assert len(known(api.get_upload(started.upload_id, list_parts=True).parts) or []) == 2
    done = api.complete_upload(started.upload_id, reports[2:])
    assert (done.name, done.size) == ("a.bam", len(data))
    assert mock.file_bytes(done.id) == data
    found = api.find_file(PROJECT, "a.bam")
    assert found is not None
    assert found.id == api.get_file(done.id).id == done.id
    assert api.download_url(done.id).startswith("http")
    with pytest.raises(UploadGone):
        api.get_upload(started.upload_id)
    with pytest.raises(NameTaken):
        api.start_upload(PROJECT, "a.bam", 1)
    assert api.start_upload(PROJECT, "a.bam", 1, overwrite=True).upload_id
    api.delete_file(done.id)
    assert api.find_file(PROJECT, "a.bam") is None


def test_refused_completion(api: Api) -> None:
    """A completion with parts missing is CompleteRefused, and an abort ends the upload."""
    started = api.start_upload(PROJECT, "b.bam", 10)
    with pytest.raises(CompleteRefused):
        api.complete_upload(started.upload_id)
    api.abort_upload(started.upload_id)
    with pytest.raises(UploadGone):
        api.abort_upload(started.upload_id)


def test_abort_whose_answer_was_lost(api: Api, mock: MockServer) -> None:
    """An abort that was done, and whose answer was lost, is done."""
    started = api.start_upload(PROJECT, "b.bam", 10)
    mock.faults.add(Fault("abortUpload", "lost_answer"))
    api.abort_upload(started.upload_id)
    assert mock.calls["abortUpload"] == 2


def test_folders(api: Api) -> None:
    """Folders are made, found, listed, and made only once."""
    folder = api.create_folder(PROJECT, "reads")
    inside = Destination(parent=folder.id)
    below = api.create_folder(inside, "lane1")
    assert [entry.id for entry in api.list_folder(folder.id)] == [below.id]
    assert [entry.id for entry in api.list_files(inside)] == [below.id]
    assert api.find_file(inside, "lane2") is None
    with pytest.raises(NameTaken):
        api.create_folder(PROJECT, "reads")


def test_edits(api: Api) -> None:
    """Each edit of a bulk is answered for by itself."""
    folder = api.create_folder(PROJECT, "reads")
    started = api.start_upload(PROJECT, "c.bam", 0)
    done = api.complete_upload(started.upload_id, [send(api, started.upload_id, 1, b"")])
    edits = [
        FileEdit(done.id, metadata={"sample_id": "s1"}, tags=("pilot",)),
        FileEdit("000000000000000000000000", metadata={"sample_id": "s2"}),
    ]
    first, second = api.edit_files(edits)
    assert first is None
    assert isinstance(second, NotFound)
    details = api.get_file(done.id).to_dict()
    assert details["metadata"] == {"sample_id": "s1"}
    assert details["tags"] == ["pilot"]
    assert folder.id


def test_project_and_limit(api: Api) -> None:
    """A project is found by owner/name, and the rate limit can be asked for."""
    assert api.get_project("mlin/rna-pilot").id == "mlin/rna-pilot"
    assert api.get_rate_limit().rate.limit == -1
    with pytest.raises(UsageError):
        api.get_project("rna-pilot")


def test_many_uploads_in_pages(api: Api) -> None:
    """A list of more than one page is followed to its end, and no further than it is read."""
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
    "download": (lambda api: api.download_url("f1"), {"url": "https://storage.example/x"}),
    "create": (lambda api: api.create_folder(PROJECT, "x"), FILE),
    "edit": (lambda api: api.edit_files([FileEdit("f1", metadata={"a": "b"})]), {"items": [{"resource": FILE}]}),
    "project": (lambda api: api.get_project("a/b"), {"href": "h", "id": "a/b", "name": "b"}),
    "limit": (lambda api: api.get_rate_limit(), {"rate": {"limit": 10, "remaining": 9, "reset": 1}}),
}


def damaged(value: Any) -> Iterator[Any]:
    """Yield the answer with each thing in it removed, or replaced by something else."""
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


@pytest.mark.parametrize("which", ANSWERS)
def test_damaged_answers(which: str, serve: Callable[..., Loopback], client_of: Callable[..., SafeClient]) -> None:
    """However an answer is damaged, the method returns or raises an error of this package, never a KeyError."""
    act, good = ANSWERS[which]
    status = 201 if which == "create" else 200
    answers = [*damaged(good)]
    api = Api(client_of(serve(answer(status, good), *(answer(status, bad) for bad in answers)), attempts=1))
    act(api)
    failed = 0
    for _ in answers:
        try:
            act(api)
        except UnexpectedAnswer:
            failed += 1
    assert failed >= len(answers) // 4


@pytest.mark.parametrize("which", ["start", "get", "complete", "url"])
def test_empty_success(which: str, serve: Callable[..., Loopback], client_of: Callable[..., SafeClient]) -> None:
    """A success without a body, where there must be one, is UnexpectedAnswer."""
    with pytest.raises(UnexpectedAnswer) as caught:
        ANSWERS[which][0](Api(client_of(serve(answer(200)), attempts=1)))
    assert caught.value.maybe_acted == (which in ("start", "complete"))


def test_mistakes_of_the_caller_are_not_the_servers(
    serve: Callable[..., Loopback], client_of: Callable[..., SafeClient]
) -> None:
    """A wrong argument is not told as a wrong answer."""
    api = Api(client_of(serve(answer(200, UPLOAD))))
    with pytest.raises(AttributeError):
        api.report_part("u1", "no report")  # type: ignore[arg-type]


def test_list_without_links(serve: Callable[..., Loopback], client_of: Callable[..., SafeClient]) -> None:
    """The documented list of uploads has neither href nor links, and ends with a page that is not full."""
    full = [{**UPLOAD, "upload_id": f"u{number}"} for number in range(PAGE)]
    server = serve(answer(200, {"items": full}), answer(200, {"items": [{**UPLOAD, "upload_id": "last"}]}))
    assert len(list(Api(client_of(server)).list_uploads())) == PAGE + 1
    assert targets(server.requests) == [
        "GET /v2/upload/multipart?limit=100&offset=0",
        "GET /v2/upload/multipart?limit=100&offset=100",
    ]


def test_link_to_another_host(serve: Callable[..., Loopback], client_of: Callable[..., SafeClient]) -> None:
    """Of a link to the next page only the offset is used, wherever it leads."""
    elsewhere = serve(answer(200, {}))
    link = {"href": f"{elsewhere.url}/files?offset=70&limit=50", "rel": "NEXT", "method": "GET"}
    server = serve(
        answer(200, {"href": "h", "items": [FILE], "links": [link]}),
        answer(200, {"href": "h", "items": [], "links": []}),
    )
    assert len(list(Api(client_of(server)).list_files(PROJECT))) == 1
    assert "offset=70" in server.requests[1].target
    assert elsewhere.requests == []


@given(
    total=st.integers(0, 40),
    size=st.integers(1, 9),
    ignores_offset=st.booleans(),
    href=st.sampled_from(["?offset=0", "?offset=x", "", "?offset=-5", "http://[bad"]),
)
def test_pages_end(total: int, size: int, ignores_offset: bool, href: str) -> None:
    """Pages end whatever the links say, and no item comes twice."""
    calls = 0

    class Link:
        rel = "next"

        def __init__(self) -> None:
            self.href = href

    def page(offset: int) -> tuple[list[str], list[Link]]:
        nonlocal calls
        calls += 1
        first = 0 if ignores_offset else offset
        return [str(number) for number in range(first, min(total, first + size))], [Link()]

    items = list(all_items(page, str))
    assert items == [str(number) for number in range(min(total, size) if ignores_offset else total)]
    assert calls <= total + 2


def test_every_operation_has_a_method() -> None:
    """No operation of the document is out of reach."""
    from cavatica_upload.api.contract import contract_operations

    source = inspect.getsource(inspect.getmodule(Api))
    for operation in contract_operations():
        assert f'"{operation.name}"' in source


def test_answer_of_fewer_edits(serve: Callable[..., Loopback], client_of: Callable[..., SafeClient]) -> None:
    """An answer to a bulk that leaves a file out is not taken for one."""
    api = Api(client_of(serve(answer(200, {"items": []}))))
    with pytest.raises(CavaticaError, match="1 files were named"):
        api.edit_files([FileEdit("f1", metadata={"a": "b"})])
