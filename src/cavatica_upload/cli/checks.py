"""The checks of `cavatica doctor`."""

import os
import platform
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Literal
from urllib.parse import urlsplit

import attrs
import httpx

from cavatica_upload import versions
from cavatica_upload.api import Api
from cavatica_upload.cli.format import size_text, time_text
from cavatica_upload.cli.options import Connection
from cavatica_upload.cli.output import Output
from cavatica_upload.clock import ServerClock
from cavatica_upload.config import Settings, find_settings
from cavatica_upload.destination import Target
from cavatica_upload.engine.part_url import refuse_plain_http, target_of
from cavatica_upload.errors import CavaticaError, ConfigError
from cavatica_upload.http.connections import proxy_for, shared_ssl_context, shown
from cavatica_upload.identity import Identity
from cavatica_upload.journal.journal import Journal, state_dir
from cavatica_upload.md5 import implementation
from cavatica_upload.plan import Part
from cavatica_upload.sources.base import usual_block
from cavatica_upload.storage.put import Storage

SKEW = 60.0  # seconds that a clock may be wrong before it matters for signed URLs and waits
LITTLE_SPACE = 100 * 1024 * 1024

Grade = Literal["ok", "note", "wrong"]


@attrs.frozen
class Finding:
    """What a check found; `error` is there if something is wrong."""

    check: str
    grade: Grade
    text: str
    error: CavaticaError | None = None


def findings(connection: Connection, target: Target | None, output: Output) -> Iterator[Finding]:
    """Yield the findings in the order in which one check needs another; what makes the rest pointless ends it."""
    yield Finding("program", "ok", f"{versions.BOTH}, Python {platform.python_version()}, {sys.platform}")
    yield _guarded("state", _state)
    yield _guarded("MD5", _md5)
    try:
        settings = find_settings(connection.token, connection.endpoint, connection.profile)
    except CavaticaError as error:
        yield Finding("token", "wrong", error.message, error)
        return
    yield Finding("token", "ok", f"found: {settings.source}")
    for notice in settings.notices:
        yield Finding("token", "note", notice)
    way = [_guarded("proxy", lambda: _proxy(settings)), _guarded("TLS", _tls)]
    yield from way
    if any(finding.grade == "wrong" for finding in way):
        return
    clock = ServerClock()
    with connection.api(output) as api:
        answered = api.client.get_httpx_client().event_hooks["response"]
        answered.append(lambda answer: clock.observe(answer.headers.get("Date")))
        reached = _guarded("API", lambda: _api(api, settings))
        yield reached
        if clock.known:
            yield clock_finding(-clock.skew)
        if reached.grade != "wrong" and target is not None:
            place = _guarded("project", lambda: _place(api, target))
            yield place
            if place.grade != "wrong":
                yield _guarded("storage", lambda: _storage(api, target))


def _guarded(check: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except CavaticaError as error:
        return Finding(check, "wrong", error.message, error)


def _state() -> Finding:
    folder = state_dir()
    journal = Journal(folder)
    journal.close()
    if journal.trouble:
        raise ConfigError(journal.trouble, "Make room or get permission there, or set CAVATICA_STATE_DIR.")
    free = shutil.disk_usage(folder).free
    text = f"journal and receipts in {folder}, {size_text(free)} free"
    return Finding("state", "note" if free < LITTLE_SPACE else "ok", text)


def _md5() -> Finding:
    if implementation() == "lanes":
        return Finding("MD5", "ok", "fast (SIMD)")
    return Finding("MD5", "note", "by hashlib; the SIMD library, which takes less CPU, was not built or not wanted")


def _proxy(settings: Settings) -> Finding:
    url = httpx.URL(settings.endpoint)
    proxy = proxy_for(url.scheme, url.host, url.port)
    return Finding("proxy", "note", f"calls go through {shown(proxy)}") if proxy else Finding("proxy", "ok", "none")


def _tls() -> Finding:
    shared_ssl_context()
    bundle = os.environ.get("SSL_CERT_FILE")
    text = f"using the certificate authorities in SSL_CERT_FILE, {bundle}" if bundle else "using certifi's authorities"
    return Finding("TLS", "note" if bundle else "ok", text)


def _api(api: Api, settings: Settings) -> Finding:
    began = time.monotonic()
    status = api.get_rate_limit()
    took = time.monotonic() - began
    text = f"{settings.endpoint} accepts the token, answered in {took * 1000:.0f} ms; "
    if status.limit is None or status.remaining is None:
        return Finding("API", "note", text + "it did not say how many calls are left")
    if status.limit < 0:
        return Finding("API", "ok", text + "calls are not limited")
    left = max(0.0, (status.reset or 0) - time.time())
    text += f"{status.remaining:,} of {status.limit:,} calls left" + (
        f", all again in {time_text(left)}" if 0 < left < 86400 else ""
    )
    return Finding("API", "note" if status.remaining < status.limit // 10 else "ok", text)


def clock_finding(skew: float) -> Finding:
    """Judge a clock that is `skew` seconds ahead of the server's."""
    if abs(skew) <= SKEW:
        return Finding("clock", "ok", "agrees with the server's")
    text = f"is {time_text(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the server's"
    return Finding(
        "clock",
        "wrong",
        text,
        CavaticaError(text, "Set this machine's clock (NTP); waits for the rate limit and expiry times depend on it."),
    )


def _place(api: Api, target: Target) -> Finding:
    destination = target.destination
    if destination.project is not None:
        return Finding("project", "ok", f"{api.get_project(destination.project).id} can be seen")
    folder = api.get_file(str(destination.parent))
    return Finding("folder", "ok", f"{folder.name} in {folder.project} can be seen")


class _OneByte:
    """The source of the upload that tries storage."""

    name: str | None = None
    size: int | None = 1
    identity: Identity | None = None

    def blocks(self, offset: int, size: int, block: Callable[[], int] = usual_block) -> Iterator[bytes]:  # noqa: ARG002 - one byte is one block
        """Yield the byte."""
        yield b"?" * size

    def look(self) -> Identity:
        """Nothing changes here."""
        return Identity("", 1)

    def close(self) -> None:
        """There is nothing to close."""


def _storage(api: Api, target: Target) -> Finding:
    """Send one byte to the storage of the target in an upload, and abort the upload."""
    name = f"cavatica-doctor-{secrets.token_hex(8)}"
    upload = api.start_upload(target.destination, name, 1, 5 * 1024 * 1024)
    storage = Storage()
    try:
        url = api.get_part_url(upload.upload_id, 1)
        refuse_plain_http(api.endpoint, url.url)
        stored = storage.put(target_of(url), Part(1, 0, 1), _OneByte())
    finally:
        storage.close()
        api.abort_upload(upload.upload_id)
    host = urlsplit(url.url).hostname
    proof = "and its ETag is the MD5" if stored.verified else "but its ETag is not the MD5, so parts cannot be verified"
    text = f"{host} stored a byte in {stored.seconds * 1000:.0f} ms, {proof}; the upload was aborted"
    return Finding("storage", "ok" if stored.verified else "note", text)
