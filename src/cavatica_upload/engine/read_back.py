"""Reads a file back from the platform, to see whether it has the bytes that were sent."""

import time
from collections.abc import Iterable, Iterator, Mapping

import httpx

from cavatica_upload.engine.context import Context
from cavatica_upload.errors import CavaticaError
from cavatica_upload.http.connections import Connections, deadline
from cavatica_upload.journal.records import SentPart
from cavatica_upload.md5 import new_digest
from cavatica_upload.sources.base import Source
from cavatica_upload.storage.etag import bare_etag, is_md5

WHOLE = 1 << 30
"""Bytes: so much is read back whole; of larger files the first and the last part."""
PATIENCE = 600.0  # seconds


def is_same_content(
    context: Context, file_id: str, source: Source, parts: Mapping[int, SentPart], size: int | None
) -> bool | None:
    """Return whether a file on the platform has the bytes of the parts that were sent; None if that cannot be told.

    The bytes come from a signed URL, over connections that never see the token.
    """
    if not parts:
        return None
    numbers = sorted(parts) if size is not None and size <= WHOLE else sorted({min(parts), max(parts)})
    client = httpx.Client(transport=Connections(), timeout=60.0, follow_redirects=False)
    try:
        url = context.api.get_download_url(file_id)
        with client, deadline(time.monotonic() + PATIENCE):
            return all(_agrees(client, url, source, parts, number) for number in numbers if parts[number].size)
    except (CavaticaError, httpx.HTTPError, httpx.InvalidURL, LookupError):
        return None


def _agrees(client: httpx.Client, url: str, source: Source, parts: Mapping[int, SentPart], number: int) -> bool:
    part = parts[number]
    offset = sum(parts[before].size for before in parts if before < number)
    expected = part.md5 or (bare_etag(part.etag) if part.etag and is_md5(part.etag) else None)
    if expected is None:
        expected = _md5(source.blocks(offset, part.size))
    with client.stream("GET", url, headers={"Range": f"bytes={offset}-{offset + part.size - 1}"}) as answer:
        if answer.status_code not in (200, 206) or (answer.status_code == 200 and offset):
            raise LookupError(answer.status_code)
        return _md5(_first(answer.iter_raw(), part.size)) == expected


def _md5(blocks: Iterable[bytes]) -> str:
    digest = new_digest()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()


def _first(blocks: Iterable[bytes], size: int) -> Iterator[bytes]:
    for block in blocks:
        yield block[:size]
        size -= len(block)
        if size <= 0:
            return
