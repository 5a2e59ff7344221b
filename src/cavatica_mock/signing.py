"""Signed URLs of the mock's storage: an HMAC over what may be done until when, as S3's are."""

import hashlib
import hmac
from typing import Final
from urllib.parse import quote, urlencode

import attrs

PREFIX: Final = "/storage/"


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
