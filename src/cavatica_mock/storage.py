"""The storage that signed URLs lead to: it takes parts and returns files, as S3 does, and never sees a token.

A signed URL is an HMAC of what it allows and until when.
"""

import asyncio
import base64
import hashlib
import hmac
import logging
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode
from xml.sax.saxutils import escape

import attrs
from aiohttp import web

from cavatica_mock import faults
from cavatica_mock.blobs import PartWriter
from cavatica_mock.errors import Problem
from cavatica_mock.faults import GET_BYTES, PUT_PART, Fault
from cavatica_mock.settings import MAX_PART_SIZE
from cavatica_mock.state import State
from cavatica_mock.store import Piece

log = logging.getLogger("cavatica_mock")

PREFIX: Final = "/storage/"
RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
CODES: Final = {400: "BadRequest", 403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown"}


def timestamp(seconds: float) -> str:
    """UTC, ISO 8601, whole seconds, Z, as in the vendor's examples."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Refused(Exception):
    """Storage refuses a request, as S3 does."""

    def __init__(self, status: int, code: str, message: str, **details: str) -> None:
        self.answer = refusal(status, code, message, **details)
        super().__init__(message)


def refusal(status: int, code: str, message: str, **details: str) -> web.Response:
    fields = {"Code": code, "Message": message, **details, "RequestId": "MOCK", "HostId": "mock"}
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items())
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()
    return web.Response(status=status, body=body, content_type="application/xml")


@attrs.frozen
class Grant:
    """What a signed URL allows: to PUT a part of an upload, or to GET a file."""

    method: str
    key: str  # the object's name in storage, decoded
    subject: str  # the upload's or the file's id
    part: int  # 0 for a file


@attrs.frozen
class Signer:
    secret: bytes = attrs.field(repr=False)

    def url(self, origin: str, grant: Grant, expires: int) -> str:
        """`expires` in seconds since 1970. The key is percent-encoded, `+` included."""
        query = {"uploadId" if grant.part else "fileId": grant.subject}
        if grant.part:
            query["partNumber"] = str(grant.part)
        query |= {"Expires": str(expires), "Signature": self._signature(grant, expires)}
        return f"{origin}{PREFIX}{quote(grant.key, safe='/')}?{urlencode(query)}"

    def check(self, method: str, key: str, query: dict[str, str], now: float) -> Grant:
        """The grant that a request proves to have. Raises Refused."""
        try:
            part = int(query.get("partNumber", "0"))
            expires = int(query["Expires"])
            subject = query["uploadId"] if part else query["fileId"]
            given = query["Signature"]
        except (KeyError, ValueError):
            raise _not_signed() from None
        grant = Grant(method, key, subject, part)
        if not hmac.compare_digest(self._signature(grant, expires).encode(), given.encode("utf-8", "replace")):
            raise _not_signed()
        if now >= expires:
            raise _expired(expires, now)
        return grant

    def _signature(self, grant: Grant, expires: int) -> str:
        text = "\n".join((grant.method, grant.key, grant.subject, str(grant.part), str(expires)))
        return hmac.new(self.secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


@attrs.frozen
class Storage:
    state: State

    async def answer(self, request: web.BaseRequest, target: str) -> web.Response:
        path, _, query_text = target.partition("?")
        query = dict(parse_qsl(query_text, keep_blank_values=True))
        key = unquote(path.removeprefix(PREFIX), errors="replace")
        try:
            if request.method == "PUT":
                return await self._put(request, key, query)
            if request.method == "GET":
                return await self._get(request, key, query)
        except Refused as refused:
            return refused.answer
        except ConnectionError:
            raise
        except OSError:  # the disk is full, or a blob is gone
            log.exception("Storage failed at %s", path)
            return refusal(500, "InternalError", "We encountered an internal error. Please try again.")
        answer = refusal(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
        answer.headers["Allow"] = "GET, PUT"
        return answer

    async def _put(self, request: web.BaseRequest, key: str, query: dict[str, str]) -> web.Response:
        number = query.get("partNumber", "")
        self.state.calls[PUT_PART] += 1
        fault = self.state.script.take(PUT_PART, int(number) if number.isascii() and number.isdigit() else None)
        if fault is not None and (answer := await self._act(request, fault)) is not None:
            return answer
        grant = self._grant("PUT", key, query)
        _check_length(request)
        if self.state.store.upload(grant.subject) is None:
            raise _no_such_upload()
        incoming = self.state.blobs.incoming()
        kept = False
        try:
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            while block := await request.content.readany():
                self.state.bytes_received += len(block)
                incoming.write(block)
                if fault is not None and fault.then == "slow":
                    await asyncio.sleep(len(block) / fault.bytes_per_second)
            _check_digest(request, incoming)
            if fault is not None and fault.then == "corrupt":
                incoming.flip_a_bit()
            etag = incoming.md5().hex()
            if fault is not None and fault.then == "etag":
                etag = fault.value.strip('"')
            if fault is None or fault.then != "lost_part":
                kept = self.state.uploads.keep(grant.subject, grant.part, incoming, etag)
                if not kept:
                    raise _no_such_upload()
        finally:
            if not kept:
                incoming.drop()
        if fault is None:
            return web.Response(headers={"ETag": f'"{etag}"'})
        headers = {} if fault.then == "no_etag" else {"ETag": f'"{etag}"'}
        return faults.send(fault, request, web.Response(headers=headers))

    async def _get(self, request: web.BaseRequest, key: str, query: dict[str, str]) -> web.Response:
        self.state.calls[GET_BYTES] += 1
        fault = self.state.script.take(GET_BYTES)
        if fault is not None and (answer := await self._act(request, fault)) is not None:
            return answer
        grant = self._grant("GET", key, query)
        try:
            file = self.state.files.downloadable(grant.subject)
        except Problem:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.") from None
        size = file.size or 0
        part = _range(request.headers.get("Range"), size)
        start, end = part or (0, size)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(end - start),
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
            "Accept-Ranges": "bytes",
        }
        if part is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        body = self._bytes(request, self.state.store.pieces(file.id), start, end, fault)
        return web.Response(status=200 if part is None else 206, headers=headers, body=body)

    async def _bytes(
        self, request: web.BaseRequest, pieces: list[Piece], start: int, end: int, fault: Fault | None
    ) -> AsyncIterator[bytes]:
        """The bytes of a file, as the fault lets them out."""
        cut = fault is not None and fault.then == "truncate"
        try:
            for block in self.state.blobs.read(pieces, start, (end - start) // 2 if cut else end - start):
                yield block
                if fault is not None and fault.then == "slow":
                    await asyncio.sleep(len(block) / fault.bytes_per_second)
        except OSError as error:  # deleted while it was read
            faults.reset(request)
            raise ConnectionResetError from error
        if cut:
            faults.close(request)
            raise ConnectionResetError

    async def _act(self, request: web.BaseRequest, fault: Fault) -> web.Response | None:
        """The answer of a fault that takes the operation's place; None if the operation is to be done."""
        if fault.then in ("reset", "stall"):
            await self._swallow(request, fault.after_bytes)
        if fault.then == "lost_answer" and fault.on == GET_BYTES:
            return faults.close(request)
        if fault.then == "expired":
            now = self.state.settings.clock()
            return _expired(now - 1, now).answer
        if fault.then == "expired_token":
            return refusal(400, "ExpiredToken", "The provided token has expired.")

        def error(status: int, _: int | None) -> web.Response:
            return refusal(status, CODES.get(status, "InternalError"), "This is a scripted fault.")

        return await faults.act(fault, request, error)

    async def _swallow(self, request: web.BaseRequest, count: int) -> None:
        """Read this many bytes of the body, or all of it if it is shorter."""
        taken = 0
        while taken < count and (block := await request.content.read(min(2**16, count - taken))):
            taken += len(block)
            self.state.bytes_received += len(block)

    def _grant(self, method: str, key: str, query: dict[str, str]) -> Grant:
        return Signer(self.state.signing_secret).check(method, key, query, self.state.settings.clock())


def _not_signed() -> Refused:
    message = "The request signature we calculated does not match the signature you provided."
    return Refused(403, "SignatureDoesNotMatch", message)


def _expired(at: float, now: float) -> Refused:
    return Refused(403, "AccessDenied", "Request has expired", Expires=timestamp(at), ServerTime=timestamp(now))


def _no_such_upload() -> Refused:
    return Refused(404, "NoSuchUpload", "The specified multipart upload does not exist; it was completed or aborted.")


def _check_length(request: web.BaseRequest) -> None:
    """S3 takes no signed PUT in chunks, and none without a length. aiohttp holds the body to its length."""
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
    """The first byte and the byte after the last. None, the whole file, for several ranges and for an invalid one."""
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
