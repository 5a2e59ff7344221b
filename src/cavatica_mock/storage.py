"""The storage that signed URLs lead to: it takes parts and gives files, speaks S3's XML, and never sees a token.

A signed URL is an HMAC over what may be done until when, as S3's are.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import re
from collections import Counter
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode
from xml.sax.saxutils import escape

import attrs
from aiohttp import web

from cavatica_mock import faults
from cavatica_mock.blobs import Blobs, PartWriter
from cavatica_mock.errors import Problem
from cavatica_mock.faults import GET_BYTES, PUT_PART, Fault, Faults
from cavatica_mock.files import Files
from cavatica_mock.records import timestamp
from cavatica_mock.replies import Reply, cors_headers, html, http_date
from cavatica_mock.settings import MAX_PART_SIZE
from cavatica_mock.uploads import Uploads

log = logging.getLogger("cavatica_mock")

PREFIX: Final = "/storage/"
RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
CODES: Final = {400: "BadRequest", 403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown"}


class NotSigned(Exception):
    """The signature is missing or does not fit the request."""


class Expired(Exception):
    """The signature was right and is too old. `at` is the end of its life, in seconds since 1970."""

    def __init__(self, at: int) -> None:
        self.at = at


@attrs.frozen
class Grant:
    """What a signed URL allows: PUT a part of an upload, or GET a file."""

    method: str
    key: str  # the object's name in the store, decoded
    subject: str  # the upload's or the file's id
    part: int  # 0 for a file


@attrs.frozen
class Signer:
    secret: bytes = attrs.field(repr=False)

    def url(self, origin: str, grant: Grant, expires: int) -> str:
        """`expires` in seconds since 1970. The key is percent-encoded, down to the last `+`."""
        query = {"uploadId" if grant.part else "fileId": grant.subject}
        if grant.part:
            query["partNumber"] = str(grant.part)
        query |= {"Expires": str(expires), "Signature": self._signature(grant, expires)}
        return f"{origin}{PREFIX}{quote(grant.key, safe='/')}?{urlencode(query)}"

    def check(self, method: str, key: str, query: dict[str, str], now: float) -> Grant:
        """The grant that a request proves to have. Raises NotSigned or Expired."""
        try:
            part = int(query.get("partNumber", "0"))
            expires = int(query["Expires"])
            subject = query["uploadId"] if part else query["fileId"]
            given = query["Signature"]
        except (KeyError, ValueError):
            raise NotSigned from None
        grant = Grant(method, key, subject, part)
        if not hmac.compare_digest(self._signature(grant, expires).encode(), given.encode("utf-8", "replace")):
            raise NotSigned
        if now >= expires:
            raise Expired(expires)
        return grant

    def _signature(self, grant: Grant, expires: int) -> str:
        text = "\n".join((grant.method, grant.key, grant.subject, str(grant.part), str(expires)))
        return hmac.new(self.secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


class Refused(Exception):
    """Storage says no, as S3 does."""

    def __init__(self, status: int, code: str, message: str, **details: str) -> None:
        self.reply = refusal(status, code, message, **details)
        super().__init__(message)


def refusal(status: int, code: str, message: str, **details: str) -> Reply:
    fields = {"Code": code, "Message": message, **details, "RequestId": "MOCK", "HostId": "mock"}
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()
    return Reply(status, body, {"Content-Type": "application/xml"})


@attrs.define
class Traffic:
    """What went over the wire."""

    calls: Counter[str] = attrs.field(factory=Counter)
    bytes_received: int = 0


@attrs.frozen
class Storage:
    uploads: Uploads
    files: Files
    blobs: Blobs
    signer: Signer
    script: Faults
    traffic: Traffic
    clock: Callable[[], float]

    async def answer(self, request: web.BaseRequest, target: str) -> web.StreamResponse:
        path, _, query_text = target.partition("?")
        query = dict(parse_qsl(query_text, keep_blank_values=True))
        key = unquote(path.removeprefix(PREFIX), errors="replace")
        try:
            if request.method == "PUT":
                return await self._put(request, key, query)
            if request.method == "GET":
                return await self._get(request, key, query)
        except Refused as refused:
            return self._respond(refused.reply)
        except ConnectionError:
            raise
        except OSError:  # the disk is full, or a blob is gone
            log.exception("Storage failed at %s", path)
            return self._respond(refusal(500, "InternalError", "We encountered an internal error. Please try again."))
        message = "The specified method is not allowed against this resource."
        answer = refusal(405, "MethodNotAllowed", message)
        return self._respond(attrs.evolve(answer, headers={**answer.headers, "Allow": "GET, PUT"}))

    async def _put(self, request: web.BaseRequest, key: str, query: dict[str, str]) -> web.StreamResponse:
        number = query.get("partNumber", "")
        self.traffic.calls[PUT_PART] += 1
        fault = self.script.take(PUT_PART, int(number) if number.isascii() and number.isdigit() else None)
        if fault is not None:
            early = await self._fail_early(request, fault)
            if early is not None:
                return early
        grant = self._checked("PUT", key, query)
        _check_length(request)
        if self.uploads.store.upload(grant.subject) is None:
            raise _no_such_upload()
        incoming = self.blobs.incoming()
        kept = False
        try:
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await self._receive(request, incoming, fault)
            _check_digest(request, incoming)
            if fault is not None and fault.then == "corrupt":
                incoming.flip_a_bit()
            etag = incoming.md5().hex()
            if fault is not None and fault.then == "etag":
                etag = fault.value.strip('"')
            if fault is None or fault.then != "lost_part":
                if not self.uploads.keep(grant.subject, grant.part, incoming, etag):
                    raise _no_such_upload()
                kept = True
        finally:
            if not kept:
                incoming.drop()
        headers = {} if fault is not None and fault.then == "no_etag" else {"ETag": f'"{etag}"'}
        answer = Reply(200, b"", headers)
        if fault is not None and fault.then == "lost_answer":
            return faults.close(request)
        if fault is not None and fault.then == "truncate":
            return await faults.truncate(request, answer)
        return self._respond(answer)

    async def _get(self, request: web.BaseRequest, key: str, query: dict[str, str]) -> web.StreamResponse:
        self.traffic.calls[GET_BYTES] += 1
        fault = self.script.take(GET_BYTES)
        if fault is not None:
            early = await self._fail_early(request, fault)
            if early is not None:
                return early
        grant = self._checked("GET", key, query)
        try:
            file = self.files.downloadable(grant.subject)
        except Problem:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.") from None
        pieces = self.uploads.store.pieces(file.id)
        size = file.size or 0
        asked = _range(request.headers.get("Range"), size)
        start, end = asked or (0, size)
        response = web.StreamResponse(status=200 if asked is None else 206, headers=cors_headers(request))
        response.content_type = "application/octet-stream"
        response.content_length = end - start
        response.headers["Accept-Ranges"] = "bytes"
        response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(file.name, safe='')}"
        response.headers["Date"] = http_date(self.clock())
        if response.status == 206:
            response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        await response.prepare(request)
        cut = fault is not None and fault.then == "truncate"
        try:
            for block in self.blobs.read(pieces, start, (end - start) // 2 if cut else end - start):
                await response.write(block)
                if fault is not None and fault.then == "slow":
                    await asyncio.sleep(len(block) / fault.bytes_per_second)
        except OSError as error:
            if not isinstance(error, ConnectionError):  # deleted while it was read
                return faults.reset(request)
            raise
        if cut:
            return faults.close(request)
        await response.write_eof()
        return response

    def _checked(self, method: str, key: str, query: dict[str, str]) -> Grant:
        try:
            return self.signer.check(method, key, query, self.clock())
        except NotSigned:
            message = "The request signature we calculated does not match the signature you provided."
            raise Refused(403, "SignatureDoesNotMatch", message) from None
        except Expired as expired:
            times = {"Expires": timestamp(expired.at), "ServerTime": timestamp(self.clock())}
            raise Refused(403, "AccessDenied", "Request has expired", **times) from None

    async def _receive(self, request: web.BaseRequest, incoming: PartWriter, fault: Fault | None) -> None:
        slow = fault.bytes_per_second if fault is not None and fault.then == "slow" else None
        while block := await request.content.readany():
            self.traffic.bytes_received += len(block)
            incoming.write(block)
            if slow is not None:
                await asyncio.sleep(len(block) / slow)

    async def _fail_early(self, request: web.BaseRequest, fault: Fault) -> web.StreamResponse | None:
        """Act out the faults in which nothing is kept; None for those that only change what comes later."""
        if fault.then in ("reset", "stall"):
            await self._swallow(request, fault.after_bytes)
            return faults.reset(request) if fault.then == "reset" else await faults.stall(request)
        if fault.then == "close" or (fault.then == "lost_answer" and fault.on == GET_BYTES):
            return faults.close(request)
        if fault.then == "delay":
            await asyncio.sleep(fault.seconds)
            return None
        if fault.then == "status":
            if fault.html:
                answer = html(fault.status)
            else:
                code = CODES.get(fault.status, "InternalError")
                answer = refusal(fault.status, code, "This is a scripted fault.")
            return self._respond(attrs.evolve(answer, headers={**answer.headers, **fault.headers}))
        now = self.clock()
        answers = {
            "html": html(200),
            "bad_json": Reply(200, b"<Error", {"Content-Type": "application/xml"}),
            "expired": refusal(
                403, "AccessDenied", "Request has expired", Expires=timestamp(now - 1), ServerTime=timestamp(now)
            ),
            "expired_token": refusal(400, "ExpiredToken", "The provided token has expired."),
        }
        found = answers.get(fault.then)
        return None if found is None else self._respond(found)

    async def _swallow(self, request: web.BaseRequest, count: int) -> None:
        """Read this many bytes of the body, or all of it if it is shorter."""
        taken = 0
        while taken < count and (block := await request.content.read(min(2**16, count - taken))):
            taken += len(block)
            self.traffic.bytes_received += len(block)

    def _respond(self, answer: Reply) -> web.Response:
        return attrs.evolve(answer, headers={**answer.headers, "Date": http_date(self.clock())}).response()


def _no_such_upload() -> Refused:
    return Refused(404, "NoSuchUpload", "The specified multipart upload does not exist; it was completed or aborted.")


def _check_length(request: web.BaseRequest) -> None:
    """S3 takes no signed PUT in chunks of unknown number, and none without a length; aiohttp holds the body to it."""
    if "Transfer-Encoding" in request.headers:
        raise Refused(501, "NotImplemented", "A header you provided implies functionality that is not implemented.")
    length = request.content_length
    if length is None:
        raise Refused(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    if length > MAX_PART_SIZE:
        raise Refused(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")


def _check_digest(request: web.BaseRequest, incoming: PartWriter) -> None:
    given = request.headers.get("Content-MD5")
    if given is not None and given.strip() != base64.b64encode(incoming.md5()).decode():
        raise Refused(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the byte after the last one. Several ranges, and what is no range, mean the whole file: None."""
    match = RANGE.fullmatch(header or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    if start >= end:
        raise Refused(416, "InvalidRange", "The requested range is not satisfiable.")
    return start, end
