"""What the claims share: a server, a judged connection, a known, and a raw socket."""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import SplitResult, urlsplit

import attrs

from tests.contract import document, rules
from tests.contract.answer import TOKEN_HEADER, Answer, Broken, Request
from tests.contract.client import ApiClient
from tests.contract.findings import Outcome
from tests.contract.known_uploads import KnownUploads
from tests.contract.server import Target

REFUSED = (400, 401, 404, 405)
UNTELLING = ("AssertionError", "refusal", "expected_status")  # the claim's own name says more


@attrs.frozen
class RawClient:
    """One server and the hands on it."""

    target: Target
    api: ApiClient
    known: KnownUploads

    @classmethod
    @contextlib.contextmanager
    def at(cls, target: Target) -> Iterator["RawClient"]:
        api = target.api()
        try:
            raw = cls(target, api, KnownUploads(api, target.project, f"{target.run}-raw"))
            yield raw
            if not target.own:
                raw.known.tidy()
        finally:
            api.close()

    def refuse(self, method: str, targets: Iterable[str], *statuses: int, **arguments: Any) -> None:
        """Demand that each of these is refused, by one of the statuses if any are given."""
        for target in targets:
            self.api.send(method, target, **arguments).expect(*(statuses or REFUSED), check="refusal")

    def speak(self, head: str, body: bytes = b"", *, token: bool = True) -> Answer | None:
        """Send a request written by hand. None when the server closes the connection without an answer.

        The head is its first line and its headers, lines ending in `\\n`. `{v2}` and `{host}` in it become the base
        URL's. It goes over TLS where the base URL says https.
        """
        parts = urlsplit(self.target.base_url)
        lines = head.replace("{v2}", parts.path).replace("{host}", parts.netloc).strip("\n").split("\n")
        if token:
            lines.append(f"{TOKEN_HEADER}: {self.target.token}")
        data = "\r\n".join((*lines, "Connection: close", "", "")).encode("latin-1") + body
        with _connect(parts) as connection:
            try:
                connection.sendall(data)
                response = http.client.HTTPResponse(connection)
                response.begin()
                content = response.read()
            except (http.client.BadStatusLine, ConnectionError):
                return None
            except (http.client.HTTPException, OSError) as error:
                shown = repr(data).replace(self.target.token, "***")
                raise Broken("whole_answer", f"{lines[0]}: {error!r}", shown) from error
        method, _, rest = lines[0].partition(" ")
        target = rest.rpartition(" ")[0]
        path = target.partition("?")[0].removeprefix(parts.path)
        request = Request(method, self.api.origin, target, path, {}, body or None)
        headers = {name.lower(): value for name, value in response.getheaders()}
        found = document.find(method, path)
        answer = Answer(request, found, response.status, headers, content, 0.0)
        # What is no HTTP reaches no operation, whatever its path says.
        self.api.counts.add(found.id if found and response.status in found.declared else None, response.status)
        if wrong := rules.tells_secret(answer, [self.target.token]):
            raise answer.broken("token_in_answer", wrong)
        return answer


def _connect(url: SplitResult) -> socket.socket:
    host = url.hostname or ""
    if url.scheme != "https":
        return socket.create_connection((host, url.port or 80), timeout=10)
    connection = socket.create_connection((host, url.port or 443), timeout=10)
    return ssl.create_default_context().wrap_socket(connection, server_hostname=host)


Claim = Callable[[RawClient], None]


def claim(claims: list[Claim], *, own: bool = False) -> Callable[[Claim], Claim]:
    """Add a function to a module's claims. `own`: only for a mock of ours, as no source says it of the platform."""

    def register(function: Claim) -> Claim:
        function.own = own  # type: ignore[attr-defined]
        claims.append(function)
        return function

    return register


def run(target: Target, claims: Iterable[Claim], *, first: bool = False) -> Outcome:
    """Try each claim on a server, the next one in spite of a failure unless `first`."""
    outcome = Outcome("raw requests")
    with outcome.timed(), RawClient.at(target) as raw:
        with outcome.claim("a first upload can be started and aborted"):
            raw.known.learn()
        for each in claims:
            if getattr(each, "own", False) and not target.own:
                continue
            if target.own:
                raw.api.reset_mock()
                raw.known.clear()
            with outcome.claim(sentence(each)):
                each(raw)
            name, finding = outcome.claims[-1]
            if finding is not None and finding.check in UNTELLING:
                outcome.claims[-1] = name, attrs.evolve(finding, check=each.__name__)
            if first and outcome.findings:
                break
        outcome.counts.update(raw.api.counts)
    return outcome


def sentence(each: Claim) -> str:
    """What a claim says, in one line."""
    return " ".join((each.__doc__ or each.__name__).split())


def valid_request(raw: RawClient, operation: document.Operation) -> dict[str, Any]:
    """A request that would be good with a good token."""
    ends = operation.id in ("abortUpload", "completeUpload")
    upload = raw.known.start() if ends else raw.known.open_upload()
    upload.ended = ends
    owner, _, name = raw.target.project.partition("/")
    filled = {"upload_id": upload.id, "part_number": 1, "project_owner": owner, "project_name": name}
    file = raw.known.folder() if operation.id == "listFolder" else raw.known.file()
    if operation.id == "deleteFile":
        file = raw.known.new_folder()
        raw.known.forget(file)
    path = operation.url(**filled, file_id=file)
    if operation.id == "listFiles":
        path += f"?project={raw.target.project}"
    report = upload.report(1)
    bodies = {
        "startUpload": {"project": raw.target.project, "name": raw.known.next_name(), "size": 1},
        "createFolder": {"project": raw.target.project, "name": raw.known.next_name(), "type": "folder"},
        "editFiles": {"items": [{"id": raw.known.file(), "tags": []}]},
        "reportUploadedPart": report,
        "reportUploadedParts": {"parts": [report]},
        "completeUpload": {"parts": [report]},
    }
    body = bodies.get(operation.id)
    return {"method": operation.method, "target": path, **({} if body is None else {"json_body": body})}
