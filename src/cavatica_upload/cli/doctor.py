"""`cavatica doctor`."""

import os
import platform
import secrets
import shutil
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import attrs
import click

from cavatica_upload.cli.messages import Exit, exit_of, hint_of, message_of, time_text
from cavatica_upload.cli.options import Command, Connection, connection_options, option, output_options
from cavatica_upload.cli.output import Output, visible
from cavatica_upload.destination import Destination, Target
from cavatica_upload.errors import CavaticaError, ConfigError, reason_of
from cavatica_upload.plan import count_text, size_text

if TYPE_CHECKING:
    from cavatica_upload.api import Api
    from cavatica_upload.config import Settings

SKEW = 60.0  # seconds that a clock may be wrong before it matters for signed URLs and waits
LITTLE_SPACE = 100 * 1024 * 1024  # bytes

Grade = Literal["ok", "note", "wrong"]
Finding = tuple[Grade, str]


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
    report = Report(output)
    _check_all(report, connection, target.destination if target else None)
    if not output.as_json:
        output.say(f"{count_text(len(report.failed), 'check')} failed." if report.failed else "All checks passed.")
    return int(report.failed[0] if report.failed else Exit.DONE)


@attrs.frozen
class Report:
    """Prints what each check finds; `failed` are the exit codes of the failed checks."""

    output: Output
    failed: list[Exit] = attrs.field(factory=list)

    def check(self, name: str, look: Callable[[], Finding]) -> bool:
        """Make a check and print what it finds. Return False if it raises CavaticaError: then something is wrong."""
        try:
            self.show(name, *look())
        except CavaticaError as error:
            self.failed.append(exit_of(error))
            self.show(name, "wrong", message_of(error), hint_of(error))
            return False
        return True

    def show(self, name: str, grade: Grade, text: str, hint: str | None = None) -> None:
        """Print what a check found, on a terminal in lines of its width."""
        if self.output.as_json:
            self.output.record({"event": "check", "check": name, "grade": grade, "text": text, "hint": hint})
            return
        before = f"{'WRONG' if grade == 'wrong' else grade:<6} {name:<9} "
        width = shutil.get_terminal_size().columns - len(before) if os.isatty(1) else sys.maxsize
        for part in filter(None, (text, hint)):
            for line in textwrap.wrap(visible(part), max(20, width), break_long_words=False, break_on_hyphens=False):
                self.output.result(before + line)
                before = " " * len(before)


def _check_all(report: Report, connection: Connection, destination: Destination | None) -> None:
    """Make all checks, each after those that it depends on; end if a failure makes the rest useless."""
    from cavatica_upload.config import find_settings
    from cavatica_upload.http import BOTH_VERSIONS
    from cavatica_upload.timing import ServerClock

    report.show("program", "ok", f"{BOTH_VERSIONS}, Python {platform.python_version()}, {sys.platform}")
    report.check("state", _state)
    report.check("MD5", _md5)
    found: list[Settings] = []

    def token() -> Finding:
        found.append(find_settings(connection.token, connection.endpoint, connection.profile))
        return "ok", f"found in {connection.token_file or found[0].source}"

    if not report.check("token", token):
        return
    for notice in (*found[0].notices, *connection.token_file_notices):
        report.show("token", "note", notice)
    if not all([report.check("proxy", lambda: _proxy(found[0].endpoint)), report.check("TLS", _tls)]):
        return
    clock = ServerClock()
    with connection.api(report.output, notices=False) as api:
        answered = api.get_httpx_client().event_hooks["response"]
        answered.append(lambda answer: clock.observe(answer.headers.get("Date")))
        reached = report.check("API", lambda: _api(api))
        skew = clock.skew
        if skew is not None:
            report.check("clock", lambda: _clock(-skew))
        if not reached or destination is None:
            return
        kind = "project" if destination.project is not None else "folder"
        if report.check(kind, lambda: _place(api, destination)):
            report.check("storage", lambda: _storage(api, destination))


def _state() -> Finding:
    from cavatica_upload.disk import private_folder, state_dir, state_notice
    from cavatica_upload.journal.journal import Journal

    folder = state_dir()
    notices: list[str] = []
    journal = Journal(folder, notices.append)
    nothing = ("", Destination(project="doctor/doctor"), "")
    journal.starting(*nothing, name="", began=0.0)  # to see whether it can be written
    journal.refused(*nothing)
    journal.close()
    if journal.trouble:
        raise ConfigError(journal.trouble, "Make room or get permission there, or set CAVATICA_STATE_DIR.")
    receipts = folder / "receipts"
    try:
        private_folder(receipts)
        tempfile.TemporaryFile(dir=receipts).close()
    except OSError as error:
        hint = "Make it a folder that you may write, or set CAVATICA_STATE_DIR."
        raise ConfigError(f"Receipts cannot be kept in {receipts}: {reason_of(error)}.", hint) from error
    if notices:
        return "note", " ".join(notices)
    free = shutil.disk_usage(folder).free
    if notice := state_notice():
        return "note", f"{notice} {size_text(free)} free"
    return "note" if free < LITTLE_SPACE else "ok", f"journal and receipts in {folder}, {size_text(free)} free"


def _md5() -> Finding:
    from cavatica_upload.md5 import implementation

    if implementation() == "lanes":
        return "ok", "fast (SIMD)"
    return "note", "hashlib; the SIMD library, which takes less CPU, was not built or is turned off"


def _proxy(endpoint: str) -> Finding:
    import httpx

    from cavatica_upload.http.connections import proxy_for, shown

    url = httpx.URL(endpoint)
    proxy = proxy_for(url.scheme, url.host, url.port)
    return ("note", f"calls go through {shown(proxy)}") if proxy else ("ok", "none")


def _tls() -> Finding:
    from cavatica_upload.http.connections import shared_ssl_context

    shared_ssl_context()
    bundle = os.environ.get("SSL_CERT_FILE")
    text = f"using the certificate authorities in SSL_CERT_FILE, {bundle}" if bundle else "using certifi's authorities"
    return "note" if bundle else "ok", text


def _api(api: "Api") -> Finding:
    began = time.monotonic()
    status = api.get_rate_limit()
    text = f"{api.endpoint} accepts the token, answered in {(time.monotonic() - began) * 1000:.0f} ms; "
    if status.limit is None or status.remaining is None:
        return "note", text + "it did not say how many calls are left"
    if status.limit < 0:
        return "ok", text + "calls are not limited"
    text += f"{status.remaining:,} of {status.limit:,} calls left"
    left = (status.reset or 0) - time.time()
    if 0 < left < 86400:
        text += f", all again in {time_text(left)}"
    return "note" if status.remaining < status.limit // 10 else "ok", text


def _clock(skew: float) -> Finding:
    """Check a clock that is `skew` seconds ahead of the server's."""
    if abs(skew) <= SKEW:
        return "ok", "agrees with the server's"
    raise CavaticaError(
        f"is {time_text(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the server's",
        "Set this machine's clock (NTP); waits for the rate limit and expiry times depend on it.",
    )


def _place(api: "Api", destination: Destination) -> Finding:
    if destination.project is not None:
        return "ok", f"{api.get_project(destination.project).id} can be seen"
    folder = api.get_file(str(destination.parent))
    if str(folder.type_).lower() == "file":
        raise ConfigError(
            f"{folder.name} in {folder.project} is a file.", "Check --parent: it takes the ID of a folder."
        )
    return "ok", f"{folder.name} in {folder.project} can be seen"


def _storage(api: "Api", destination: Destination) -> Finding:
    """Send one byte to the storage of a destination in an upload, and abort the upload."""
    from io import BytesIO
    from urllib.parse import urlsplit

    from cavatica_upload.engine.send_part import check_encrypted
    from cavatica_upload.sources.stream import Stream
    from cavatica_upload.storage import Storage

    upload = api.start_upload(destination, f"cavatica-doctor-{secrets.token_hex(8)}", 1, 5 * 1024 * 1024)
    storage, source = Storage(), Stream(BytesIO(b"?"))
    try:
        url = api.get_part_url(upload.upload_id, 1)
        began = time.monotonic()
        check_encrypted(url, api.endpoint)
        sent = storage.put(url, next(source.parts(1)), source)
        seconds = time.monotonic() - began
    finally:
        source.close()
        storage.close()
        api.abort_upload(upload.upload_id)
    proof = "and its ETag is the MD5" if sent.verified else "but its ETag is not the MD5, so parts cannot be verified"
    text = f"{urlsplit(url.url).hostname} stored a byte in {seconds * 1000:.0f} ms, {proof}"
    return "ok" if sent.verified else "note", f"{text}; the upload was aborted"
