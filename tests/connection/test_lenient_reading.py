"""Readers of answers return a usable record or raise UnexpectedAnswer, for any JSON."""

import inspect
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavatica_upload.api import records
from cavatica_upload.api.methods import AsyncApi, Operations
from cavatica_upload.api.operations import contract_operations, recognise
from cavatica_upload.api.records import Pages
from cavatica_upload.api.responses import Answer, fits_into_path
from cavatica_upload.errors import UnexpectedAnswer

KEYS = [
    *("upload_id", "part_size", "parallel_uploads", "initiated", "parts", "part_number", "response", "headers", "url"),
    *("method", "expires", "success_codes", "report", "id", "size", "items", "links", "rel", "href", "type", "tags"),
    *("metadata", "resource", "error", "status", "code", "rate", "limit", "remaining", "reset", "ETag", "other"),
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["next", "2026-11-22T10:00:00Z", "10000-01-01", "https://s.example/\ud800", "http://", "7", "-1", "..", "\x1b["]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=4)), inner)
    ),
    max_leaves=12,
)
READERS = {
    "startUpload": records.read_started_upload,
    "listUploads": lambda answer: Pages(records.read_upload_summary, lambda upload: upload.upload_id).take(answer),
    "getPartUrl": records.read_part_url,
    "getUpload": lambda answer: records.read(records.Upload, answer.json, upload_id="u1"),
    "completeUpload": lambda answer: records.read(records.CompletedFile, answer.json),
    "getFile": lambda answer: records.read_file_details(answer.json, "f1"),
    "getDownloadInfo": records.read_url,
    "listFiles": lambda answer: Pages(records.read_file_details, lambda file: file.id).take(answer),
    "createFolder": lambda answer: records.read_file_details(answer.json),
    "editFiles": lambda answer: records.read_edits(answer, ["f1", "f2"]),
    "getProject": lambda answer: records.read_project(answer, "a/b"),
    "getRateLimit": records.read_rate_limit,
}
OPERATIONS = {one.name: recognise(one.method, one.path) for one in contract_operations()}


def answer_of(name: str, value: Any) -> Answer:
    """A success of an operation with this JSON."""
    return Answer(OPERATIONS[name], 200, {}, json.dumps(value).encode())


@pytest.mark.parametrize("name", READERS)
@given(value=JSON)
def test_any_json_is_read(name: str, value: Any) -> None:
    """Any JSON gives a record or UnexpectedAnswer, and its differences can be reported."""
    answer = answer_of(name, value)
    for key, came in answer.differences():
        assert key
        assert came
    problem: UnexpectedAnswer | None = None
    try:
        READERS[name](answer)
    except UnexpectedAnswer as error:
        problem = error
    assert problem is None or problem.operation == name
    assert problem is None or problem.message.isprintable()


@given(value=st.dictionaries(st.sampled_from(["upload_id", "part_size", "url", "id", "report", "headers"]), JSON))
def test_records_are_usable(value: dict[str, Any]) -> None:
    """IDs fit in a path, part sizes are between 1 byte and 5 GiB, and URLs and headers can be sent."""
    try:
        started = records.read_started_upload(answer_of("startUpload", value))
    except UnexpectedAnswer:
        pass
    else:
        assert fits_into_path(started.upload_id)
        assert 1 <= started.part_size <= 5 * 2**30
    try:
        part = records.read_part_url(answer_of("getPartUrl", value))
    except UnexpectedAnswer:
        pass
    else:
        part.url.encode()
        assert all((name + text).isascii() for name, text in part.headers.items())
        assert all(name.isascii() and name for name in part.report_headers)
        assert part.method.isalpha()
    completed = records.read(records.CompletedFile, answer_of("completeUpload", value).json)
    assert completed.id is None or fits_into_path(completed.id)


def test_both_clients_have_the_same_operations() -> None:
    """The asyncio client has the same methods with the same arguments."""

    def operations(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {name: list(inspect.signature(one).parameters) for name, one in found if not name.startswith("_")}

    blocking = operations(Operations)
    assert operations(AsyncApi) == blocking
    assert len(blocking) >= len(OPERATIONS)
