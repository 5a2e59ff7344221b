"""Errors are made of any answer, shown without secrets, and survive pickle and copy."""

import base64
import copy
import html
import json
import pickle
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavatica_upload import errors
from cavatica_upload.api.responses import error_of
from cavatica_upload.errors import ApiError, CavaticaError
from cavatica_upload.redact import LONGEST, protect, scrub


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, 8014, errors.BadRequest),
        (401, 90001, errors.Unauthorized),
        (403, 8001, errors.Forbidden),
        (404, 5002, errors.NotFound),
        (404, 8003, errors.UploadGone),
        (405, 90006, errors.BadRequest),
        (409, 90007, errors.Conflict),
        (409, 8005, errors.NameTaken),
        (409, 5003, errors.NameTaken),
        (409, 8007, errors.CompleteRefused),
        (409, 8008, errors.PartNotReserved),
        (415, 90008, errors.BadRequest),
        (429, 1000, errors.RateLimited),
        (500, 90009, errors.ServerError),
        (503, 0, errors.ServerError),
        (520, None, errors.ServerError),
        (302, None, errors.UnexpectedAnswer),
    ],
)
def test_class_by_status_and_code(status: int, code: int | None, kind: type[ApiError]) -> None:
    """Each documented status and code has its class."""
    body = b"" if code is None else b'{"status": %d, "code": %d, "message": "Sorry."}' % (status, code)
    error = error_of(status, {}, body, "getUpload")
    assert type(error) is kind
    assert (error.status, error.code, error.operation) == (status, code, "getUpload")


def test_platform_words() -> None:
    """An error has the platform's message, its link and the request's ID."""
    body = b'{"status": 403, "code": 8001, "message": "Not yours.", "more_info": "http://docs.example/#8001"}'
    error = error_of(403, {"x-request-ID": "r-1"}, body, "getPartUrl")
    assert error.message == "Requesting a part URL failed: the server answered 403 (code 8001): Not yours."
    assert (error.reason, error.more_info, error.request_id) == ("Not yours.", "http://docs.example/#8001", "r-1")


def test_unrouted_path() -> None:
    """A 404 without a code is NotFound, and not UploadGone."""
    error = error_of(404, {}, b'{"status": "NOT_FOUND", "message": "HTTP 404 Not Found"}', "getUpload")
    assert type(error) is errors.NotFound
    assert error.code is None
    assert "endpoint" in str(error.hint)


def test_page_of_a_proxy() -> None:
    """Of an HTML page only the title is shown."""
    page = b"<html><head><title>Bad\nGateway</title></head><body>secret inner host</body></html>"
    error = error_of(502, {"Content-Type": "text/html"}, page, "startUpload")
    assert type(error) is errors.ServerError
    assert "Bad Gateway" in error.message
    assert "inner host" not in error.message


@pytest.mark.parametrize("body", [b"null", b"[]", b"{}", b'"No."', b"5"])
def test_json_without_a_reason(body: bytes) -> None:
    """JSON without a reason is not called something else."""
    assert error_of(404, {}, body, "getFile").message == "Looking up a file failed: the server answered 404."
    assert "not JSON" in error_of(404, {}, body + b"<", "getFile").message


def test_maintenance() -> None:
    """503 with code 0 is maintenance, 503 with another code is not."""
    assert error_of(503, {}, b'{"code": 0}').maintenance
    assert not error_of(503, {}, b'{"code": 8000}').maintenance


@given(
    status=st.integers(100, 999),
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.dictionaries(st.sampled_from(["status", "code", "message", "more_info"]), inner),
        ).map(lambda value: __import__("json").dumps(value).encode()),
    ),
    headers=st.dictionaries(st.sampled_from(["Location", "x-request-id", "Date"]), st.text(max_size=20)),
)
def test_any_answer_makes_an_error(status: int, body: bytes, headers: dict[str, str]) -> None:
    """Any status, header and body make an error of one line."""
    error = error_of(status, headers, body, "getUpload")
    assert error.status == status
    assert error.message.endswith(".")
    assert error.message.isprintable()
    assert len(error.message) < LONGEST + 200


@given(before=st.text(max_size=30), query=st.from_regex(r"[A-Za-z0-9&=%+]{1,40}", fullmatch=True))
def test_query_never_shown(before: str, query: str) -> None:
    """The query of a URL, which has its signature, is removed from messages of servers."""
    signed = f"https://bucket.example/key?Signature-{query}"
    assert f"Signature-{query}" not in scrub(f"{before} {signed} done")


@pytest.mark.parametrize(
    "shown",
    [
        "https:\\/\\/bucket.example\\/key?X-Amz-Signature=sEcReT",
        "the query was X-Amz-Signature=sEcReT&X-Amz-Date=20261122",
        "Signature%3DsEcReT%26Expires%3D17",
        "cannot reach http://user:sEcReT@proxy.example:3128",
        "AWSAccessKeyId=sEcReT was not found",
    ],
)
def test_parts_of_signed_urls_never_shown(shown: str) -> None:
    """Signatures are removed from fragments of URLs too, and passwords from URLs."""
    assert "sEcReT" not in scrub(shown)


SECRET = "3f9c+/1b=&7d55e0a4<b6"
ECHOES = {
    "as it is": SECRET,
    "upper case": SECRET.upper(),
    "quoted": urllib.parse.quote(SECRET, safe=""),
    "form": urllib.parse.quote_plus(SECRET),
    "HTML": html.escape(SECRET),
    "JSON in JSON": json.dumps(json.dumps(SECRET))[1:-1],
    "JSON escapes": "".join(f"\\u{ord(character):04x}" for character in SECRET),
    "percent": "".join(f"%{ord(character):02X}" for character in SECRET),
    "hex": SECRET.encode().hex(),
    **{f"Base64 at {i}": base64.b64encode(b"user:x"[:i] + SECRET.encode()).decode() for i in range(6)},
    **{f"Base64 for URLs at {i}": base64.urlsafe_b64encode(b"user:x"[:i] + SECRET.encode()).decode() for i in range(3)},
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
@pytest.mark.parametrize("place", ["message", "more_info", "request id", "title", "location"])
def test_token_cut_out(echo: str, place: str) -> None:
    """If a server repeats the token in any form, it is not in the error."""
    protect(SECRET)
    body: bytes = json.dumps({"message": "No.", "code": 7}).encode()
    headers, status = {}, 401
    if place in ("message", "more_info"):
        body = json.dumps({"code": 7, place: f"Token {echo} is no good"}).encode()
    elif place == "title":
        body = f"<html><title>Who is {echo}?</title></html>".encode()
    elif place == "request id":
        headers = {"X-Request-ID": echo}
    else:
        status, headers = 302, {"Location": f"https://{echo}.example/"}
    error = error_of(status, headers, body)
    shown = repr((error.message, error.reason, error.__dict__))
    assert not any(form in shown for form in (echo, echo[3:-4], SECRET))


def test_short_secrets_do_not_spoil_sentences() -> None:
    """Texts too short to be a token are not removed."""
    protect("e")
    assert scrub("three trees") == "three trees"


def example_of(kind: type[CavaticaError]) -> CavaticaError:
    extras: dict[str, object] = {}
    if issubclass(kind, ApiError):
        extras = {"status": 404, "code": 8003, "operation": "getUpload", "request_id": "r"}
    elif issubclass(kind, errors.PartRefused):
        extras = {"status": 403, "part": 7, "code": "AccessDenied"}
    elif issubclass(kind, errors.MissingHeader):
        extras = {"header": "ETag", "part": 7}
    elif kind is errors.EtagMismatch:
        extras = {"part": 7, "expected": "a", "got": "b"}
    return kind("It broke.", "Mend it.", **extras)


def all_kinds(kind: type[CavaticaError] = CavaticaError) -> list[type[CavaticaError]]:
    below = [found for child in kind.__subclasses__() for found in all_kinds(child)]
    return [kind, *(found for found in below if found.__module__ == errors.__name__)]


@pytest.mark.parametrize("kind", all_kinds())
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])
def test_survives_pickling_and_copying(kind: type[CavaticaError], again) -> None:  # type: ignore[no-untyped-def]
    """Every error keeps all its values in a pickle and a copy."""
    error = example_of(kind)
    error.maybe_acted = True
    back = again(error)
    assert type(back) is kind
    assert str(back) == "It broke."
    assert back.__dict__ == error.__dict__
    back.add_note("Only of the copy.")
    assert error.__notes__ == ["Mend it."]


def test_tree_in_docstring() -> None:
    """The tree in the docstring of the module names every error."""
    drawn = {word for line in str(errors.__doc__).splitlines() for word in line.replace("(", " ").split()}
    assert {kind.__name__ for kind in all_kinds()} <= drawn
