"""`cavatica doctor`."""

import os
import platform
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import attrs
import click

from cavatica_upload.cli.messages import Exit, count_text, exit_of, hint_of, message_of, time_text
from cavatica_upload.cli.options import Command, Connection, connection_options, option, output_options
from cavatica_upload.cli.output import Output, wrapped
from cavatica_upload.destination import Target
from cavatica_upload.errors import CavaticaError, ConfigError
from cavatica_upload.plan import size_text

if TYPE_CHECKING:
    from cavatica_upload.api import Api
    from cavatica_upload.config import Settings

SKEW = 60.0  # seconds that a clock may be wrong before it matters for signed URLs and waits
LITTLE_SPACE = 100 * 1024 * 1024

Grade = Literal["ok", "note", "wrong"]


@attrs.frozen
class Finding:
    """The result of a check; `error` is set if something is wrong."""

    check: str
    grade: Grade
    text: str
    error: CavaticaError | None = None

    def show(self, output: Output) -> None:
        """Print it."""
        hint = hint_of(self.error) if self.error else None
        if output.as_json:
            output.record({"event": "check", "check": self.check, "grade": self.grade, "text": self.text, "hint": hint})
            return
        mark = "WRONG" if self.grade == "wrong" else self.grade
        for line in wrapped(self.text, f"{mark:<6} {self.check:<9} "):
            output.result(line)
        for line in wrapped(hint, " " * 17) if hint else ():
            output.result(line)


@click.command(cls=Command, short_help="Check what an upload needs, and say what is wrong.")
@option(
    "--project",
    metavar="OWNER/NAME",
    help="Also check this project: send one byte to its storage, in an upload that is then aborted.",
)
@option("--parent", metavar="ID", help="The same for a folder, by its ID.")
@output_options
@connection_options
def doctor(project: str | None, parent: str | None, output: Output, connection: Connection) -> int:
    """Check what an upload needs, and say what is wrong: token, endpoint, clock, proxy, certificates, disk, MD5.

    With --project or --parent, also check that files can be uploaded there and that storage can be reached. For this,
    an upload of one byte is started, its byte is sent, and the upload is aborted. No file is made.
    """
    target = Target.parse(project, parent) if project or parent else None
    wrong = []
    for finding in _findings(connection, target, output):
        if finding.grade == "wrong":
            wrong.append(exit_of(finding.error) if finding.error else Exit.FAILED)
        finding.show(output)
    if not output.as_json:
        output.say("All is well." if not wrong else f"{count_text(len(wrong), 'check')} failed.")
    return int(wrong[0] if wrong else Exit.DONE)


def _findings(connection: Connection, target: Target | None, output: Output) -> Iterator[Finding]:
    """Yield the findings, each after those that it depends on; end if a failure makes the rest useless."""
    from cavatica_upload.config import find_settings
    from cavatica_upload.http import BOTH_VERSIONS
    from cavatica_upload.timing import ServerClock

    yield Finding("program", "ok", f"{BOTH_VERSIONS}, Python {platform.python_version()}, {sys.platform}")
    yield _guarded("state", _state)
    yield _guarded("MD5", _md5)
    try:
        settings = find_settings(connection.token, connection.endpoint, connection.profile)
    except CavaticaError as error:
        yield _wrong("token", error)
        return
    yield Finding("token", "ok", f"found in {connection.token_file or settings.source}")
    for notice in (*settings.notices, *connection.token_file_notices):
        yield Finding("token", "note", notice)
    way = [_guarded("proxy", lambda: _proxy(settings)), _guarded("TLS", _tls)]
    yield from way
    if any(finding.grade == "wrong" for finding in way):
        return
    clock = ServerClock()
    with connection.api(output, notices=False) as api:
        answered = api.get_httpx_client().event_hooks["response"]
        answered.append(lambda answer: clock.observe(answer.headers.get("Date")))
        reached = _guarded("API", lambda: _api(api, settings))
        yield reached
        if clock.known:
            yield _clock(-clock.skew)
        if reached.grade != "wrong" and target is not None:
            place = _guarded("project", lambda: _place(api, target))
            yield place
            if place.grade != "wrong":
                yield _guarded("storage", lambda: _storage(api, target))


def _guarded(check: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except CavaticaError as error:
        return _wrong(check, error)


def _wrong(check: str, error: CavaticaError) -> Finding:
    return Finding(check, "wrong", message_of(error), error)


def _state() -> Finding:
    from cavatica_upload.destination import Destination
    from cavatica_upload.disk import private_folder, state_dir, state_notice
    from cavatica_upload.journal.journal import Journal

    folder, told = state_dir(), list[str]()
    journal = Journal(folder, told.append)
    nothing = ("", Destination(project="doctor/doctor"), "")
    journal.starting(*nothing, name="", began=0.0)  # to see whether it can be written
    journal.refused(*nothing)
    journal.close()
    if journal.trouble:
        raise ConfigError(journal.trouble, "Make room or get permission there, or set CAVATICA_STATE_DIR.")
    receipts = folder / "receipts"
    try:
        private_folder(receipts)
        writable = os.access(receipts, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise ConfigError(
            f"Receipts cannot be kept in {receipts}.", "Make it a folder that you may write, or set CAVATICA_STATE_DIR."
        )
    if told:
        return Finding("state", "note", " ".join(told))
    free = shutil.disk_usage(folder).free
    notice = state_notice()
    text = f"{notice} {size_text(free)} free" if notice else f"journal and receipts in {folder}, {size_text(free)} free"
    return Finding("state", "note" if notice or free < LITTLE_SPACE else "ok", text)


def _md5() -> Finding:
    from cavatica_upload.md5 import implementation

    if implementation() == "lanes":
        return Finding("MD5", "ok", "fast (SIMD)")
    return Finding("MD5", "note", "by hashlib; the SIMD library, which takes less CPU, was not built or not wanted")


def _proxy(settings: "Settings") -> Finding:
    import httpx

    from cavatica_upload.http.connections import proxy_for, shown

    url = httpx.URL(settings.endpoint)
    proxy = proxy_for(url.scheme, url.host, url.port)
    return Finding("proxy", "note", f"calls go through {shown(proxy)}") if proxy else Finding("proxy", "ok", "none")


def _tls() -> Finding:
    from cavatica_upload.http.connections import shared_ssl_context

    shared_ssl_context()
    bundle = os.environ.get("SSL_CERT_FILE")
    text = f"using the certificate authorities in SSL_CERT_FILE, {bundle}" if bundle else "using certifi's authorities"
    return Finding("TLS", "note" if bundle else "ok", text)


def _api(api: "Api", settings: "Settings") -> Finding:
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


def _clock(skew: float) -> Finding:
    """Return the finding about a clock that is `skew` seconds ahead of the server's."""
    if abs(skew) <= SKEW:
        return Finding("clock", "ok", "agrees with the server's")
    text = f"is {time_text(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the server's"
    return Finding(
        "clock",
        "wrong",
        text,
        CavaticaError(text, "Set this machine's clock (NTP); waits for the rate limit and expiry times depend on it."),
    )


def _place(api: "Api", target: Target) -> Finding:
    destination = target.destination
    if destination.project is not None:
        return Finding("project", "ok", f"{api.get_project(destination.project).id} can be seen")
    folder = api.get_file(str(destination.parent))
    if str(folder.type_).lower() == "file":
        raise ConfigError(
            f"{folder.name} in {folder.project} is a file.", "Check --parent: it takes the ID of a folder."
        )
    return Finding("folder", "ok", f"{folder.name} in {folder.project} can be seen")


def _storage(api: "Api", target: Target) -> Finding:
    """Send one byte to the storage of the target in an upload, and abort the upload."""
    from io import BytesIO
    from urllib.parse import urlsplit

    from cavatica_upload.engine.part_attempts import refuse_plain_http, target_of
    from cavatica_upload.plan import Part
    from cavatica_upload.sources.stream import Stream
    from cavatica_upload.storage import Storage

    name = f"cavatica-doctor-{secrets.token_hex(8)}"
    upload = api.start_upload(target.destination, name, 1, 5 * 1024 * 1024)
    storage, source = Storage(), Stream(BytesIO(b"?"))
    try:
        url = api.get_part_url(upload.upload_id, 1)
        refuse_plain_http(api.endpoint, url.url)
        stored = storage.put(target_of(url), source.cut(1) or Part(1, 0, 1), source)
    finally:
        source.close()
        storage.close()
        api.abort_upload(upload.upload_id)
    host = urlsplit(url.url).hostname
    proof = "and its ETag is the MD5" if stored.verified else "but its ETag is not the MD5, so parts cannot be verified"
    text = f"{host} stored a byte in {stored.seconds * 1000:.0f} ms, {proof}; the upload was aborted"
    return Finding("storage", "ok" if stored.verified else "note", text)
