"""Reads and decodes the bodies of answers, up to a limit."""

import zlib

import httpx

LARGEST = 32 << 20
"""Bytes of an answer, encoded or decoded. The largest of the API, a page of 100 files, has some hundred KiB."""


class TooLarge(Exception):
    """An answer is larger than LARGEST."""


def read(response: httpx.Response) -> bytes | None:
    """Read an answer to its end; None if it is larger than LARGEST."""
    whole = bytearray()
    try:
        for block in response.iter_raw():
            whole += block
            if len(whole) > LARGEST:
                return None
    finally:
        response.close()
    return bytes(whole)


async def aread(response: httpx.Response) -> bytes | None:
    """Read an answer to its end; None if it is larger than LARGEST."""
    whole = bytearray()
    try:
        async for block in response.aiter_raw():
            whole += block
            if len(whole) > LARGEST:
                return None
    finally:
        await response.aclose()
    return bytes(whole)


def decoded(encodings: str, raw: bytes) -> bytes:
    """Decode a body, up to a limit: 1 MiB of gzip can be 1 GiB of zeros.

    Raises TooLarge, and httpx.DecodingError if the body is not encoded as `encodings` says.
    """
    for name in reversed(encodings.lower().replace(" ", "").split(",")):
        if name in ("gzip", "x-gzip", "deflate") and raw:
            window = 31 if name != "deflate" else 15 if raw[0] & 15 == 8 else -15  # deflate: with a header or without
            whole, inflater = bytearray(), zlib.decompressobj(window)
            try:
                while block := inflater.decompress(raw, 1 << 20):
                    whole += block
                    raw = inflater.unconsumed_tail
                    if len(whole) > LARGEST:
                        raise TooLarge
            except zlib.error as error:
                raise httpx.DecodingError(str(error)) from error
            if not inflater.eof:
                raise httpx.DecodingError("it ends too early")
            raw = bytes(whole)
        elif name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise httpx.DecodingError("it is encoded in a way that was not asked for")
    return raw
