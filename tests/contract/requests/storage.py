"""Signed URLs: each is valid for one method, one part, one upload, and for a time."""

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from tests.contract.answer import Answer
from tests.contract.known_uploads import part_report, stored_etag
from tests.contract.model import asserts
from tests.contract.requests.client import RawClient, claim


def _changed(url: str, **changes: str | None) -> str:
    """The URL with query parameters changed, or removed if None."""
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **changes}
    return urlunsplit(parts._replace(query=urlencode({k: v for k, v in query.items() if v is not None})))


def _grant(raw: RawClient, **extra: Any) -> dict[str, Any]:
    upload = raw.known.start(**extra)
    grant: dict[str, Any] = raw.api.call("getPartUrl", upload_id=upload.id, part_number=1).expect(200).json()
    return grant


def _refused(answer: Answer, what: str) -> None:
    if not 400 <= answer.status < 500:
        raise answer.broken("signed_url", f"expected a refusal of {what}")


@claim()
def etags(raw: RawClient) -> None:
    """Storage answers a part with an ETag, ours with the MD5 in quotes. Each URL of a part can be used again."""
    upload = raw.known.start()
    one, two = (raw.api.call("getPartUrl", upload_id=upload.id, part_number=1).expect(200).json() for _ in range(2))
    for grant, content in ((two, b"one"), (one, b"two"), (two, b""), (one, b"one")):
        answer = raw.api.put(grant, content)
        etag, md5 = stored_etag(grant, answer), hashlib.md5(content, usedforsecurity=False).hexdigest()
        if not etag or (raw.target.own and answer.headers.get("etag") != f'"{md5}"'):
            raise answer.broken("etag", f'the ETag is {answer.headers.get("etag")}, expected "{md5}"')


@claim()
def tampered_urls(raw: RawClient) -> None:
    """A signed URL with any change is refused."""
    part = _grant(raw)
    download = raw.api.call("getDownloadInfo", file_id=raw.known.file()).expect(200).field("url")
    for grant in (part, {"method": "GET", "url": download, "headers": {}}):
        query = dict(parse_qsl(urlsplit(grant["url"]).query))
        for name, value in query.items():
            swapped = str(int(value) + 1) if value.isdigit() else value[:-1] + ("0" if value[-1] != "0" else "1")
            for change in (swapped, None):
                url = _changed(grant["url"], **{name: change})
                _refused(raw.api.put({**grant, "url": url}, b"x"), f"a URL with another {name}, or none")
        _refused(raw.api.put({**grant, "url": grant["url"].partition("?")[0]}, b"x"), "a URL without a signature")


@claim()
def one_method(raw: RawClient) -> None:
    """The URL for a PUT is valid for no other method, that of a download not for a PUT. A folder has no download."""
    grant = _grant(raw)
    stored_etag(grant, raw.api.put(grant, b"secret"))
    for method in ("GET", "DELETE", "POST"):
        _refused(raw.api.put({**grant, "method": method}, b""), f"{method} with the URL of a PUT")
    download = raw.api.call("getDownloadInfo", file_id=raw.known.file()).expect(200).field("url")
    _refused(raw.api.put({"method": "PUT", "url": download, "headers": {}}, b"x"), "PUT with the URL of a download")
    raw.api.call("getDownloadInfo", file_id=raw.known.folder()).expect(400, 404, check="download")


@claim()
def expiry(raw: RawClient) -> None:
    """A part URL says when it expires, and that is in the future."""
    upload = raw.known.start()
    answer = raw.api.call("getPartUrl", upload_id=upload.id, part_number=1).expect(200)
    expires = answer.json()["expires"]
    if asserts.utc(answer, "part_url_expiry", expires) <= answer.clock:
        raise answer.broken("part_url_expiry", f"expires is {expires}; the time is {answer.clock:%Y-%m-%dT%H:%M:%SZ}")


@claim()
def own_part_only(raw: RawClient) -> None:
    """Each part of each upload has its own URL: bytes get into no other part, in whatever order it is reported."""
    one, two = raw.known.start(), raw.known.start()
    urls: dict[str, list[tuple[str, int]]] = {}
    for upload in (one, two):
        for number in upload.numbers:
            grant = raw.api.call("getPartUrl", upload_id=upload.id, part_number=number).expect(200)
            urls.setdefault(grant.json()["url"], []).append((upload.id, number))
            raw.known.put(upload, number, grant.json())
    shared = [owners for owners in urls.values() if len(owners) > 1]
    if shared:
        raise grant.broken("part_urls_differ", "two parts have the same URL")
    for upload in (one, two):
        link = raw.api.call("getDownloadInfo", file_id=raw.known.finish(upload, backwards=True)["id"]).expect(200)
        fetched = raw.api.fetch(link.field("url"))
        if fetched.body != b"".join(upload.content(number) for number in upload.numbers):
            raise fetched.broken("file_content", "the file differs from the bytes that were put")


@claim()
def no_more_bytes_after_the_end(raw: RawClient) -> None:
    """After an abort and after a completion the part URLs are refused."""
    for how in ("aborted", "completed"):
        upload = raw.known.start()
        grant = raw.api.call("getPartUrl", upload_id=upload.id, part_number=1).expect(200).json()
        if how == "aborted":
            raw.api.call("abortUpload", upload_id=upload.id).expect(204)
        else:
            raw.known.put_all(upload)
            raw.known.finish(upload)
        _refused(raw.api.put(grant, upload.content(1)), f"a part of an upload that was {how}")


@claim()
def digests(raw: RawClient) -> None:
    """Bytes that do not match their Content-MD5 are refused."""
    grant = _grant(raw)
    for content, right in ((b"bytes", True), (b"other", False)):
        digest = base64.b64encode(hashlib.md5(b"bytes", usedforsecurity=False).digest()).decode()
        answer = raw.api.put({**grant, "headers": {**grant["headers"], "Content-MD5": digest}}, content)
        if (answer.status < 300) is not right:
            raise answer.broken("content_md5", "expected storage to check Content-MD5")


@claim()
def wrong_etags(raw: RawClient) -> None:
    """A completion needs the newest ETags of storage: others, older ones and none are refused."""
    for wrong in ("0" * 32, "", hashlib.md5(b"other", usedforsecurity=False).hexdigest()):
        upload = raw.known.start()
        raw.known.put_all(upload)
        parts = [*upload.reports[:-1], part_report(upload.numbers[-1], wrong)]
        answer = raw.api.call("completeUpload", upload_id=upload.id, body={"parts": parts})
        answer.expect(400, 409, check="etag_checked")
        raw.known.finish(upload)
    upload = raw.known.start()
    grant = raw.api.call("getPartUrl", upload_id=upload.id, part_number=1).expect(200).json()
    before = stored_etag(grant, raw.api.put(grant, upload.content(1)[::-1]))
    raw.api.call("reportUploadedPart", upload_id=upload.id, body=part_report(1, before)).expect(200)
    raw.known.put_all(upload)
    owed = {"parts": upload.reports[1:]}
    raw.api.call("completeUpload", upload_id=upload.id, body=owed).expect(400, 409, check="etag_checked")
    raw.known.finish(upload)


@claim()
def missing_parts(raw: RawClient) -> None:
    """A completion needs every part, put and reported. After a refusal the upload stays open and can be completed."""
    bodies: tuple[dict[str, Any] | None, ...] = ({"parts": []}, None)
    for body in bodies:
        upload = raw.known.start()
        raw.api.call("completeUpload", upload_id=upload.id, body=body).expect(409, check="complete_is_whole")
        raw.known.put_all(upload)
        raw.api.call("completeUpload", upload_id=upload.id, body=body).expect(409, check="complete_is_whole")
        raw.known.finish(upload)
