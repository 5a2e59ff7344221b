"""What the claims share: a server, a connection that checks answers, known uploads, and a raw socket."""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import attrs

from tests.contract import document, rules
from tests.contract.answer import CONTRACT, TOKEN_HEADER, TRANSPORT, Answer, Broken, Request
from tests.contract.client import ApiClient
from tests.contract.findings import Finding, Outcome, layer_of
from tests.contract.known_uploads import KnownUploads
from tests.contract.server import Target

REFUSED: Final = (400, 401, 404, 405)
UNTELLING: Final = ("AssertionError", "refusal", "expected_status")  # the claim's own name says more
LONGEST_WAIT: Final = 10.0  # seconds


@attrs.frozen
class RawClient:
    """A server with the means to call it. `notes` are what a gateway answered in its own way."""

    target: Target
    api: ApiClient
    known: KnownUploads
    notes: list[Finding] = attrs.field(factory=list)

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

    def body(self, **fields: Any) -> dict[str, Any]:
        """A body for something new, under a new name unless `fields` has one."""
        return {**self.known.place, "name": self.known.next_name(), **fields}

    def refuse(self, method: str, targets: Iterable[str], *statuses: int, **arguments: Any) -> None:
        """Demand that each of these is refused, with one of the statuses if any are given."""
        for target in targets:
            with self.noted():
                self.api.send(method, target, **arguments).expect(*(statuses or REFUSED), check="refusal")

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Note what a gateway answers in its own way to what no client sends, and continue."""
        try:
            yield
        except Broken as broken:
            answer = broken.answer
            if self.target.own or answer is None or layer_of(answer, broken.check)[0] != TRANSPORT:
                raise
            self.notes.append(Finding.of(broken))

    def speak(self, head: str, body: bytes = b"", *, token: bool = True) -> Answer:
        """Send a request written by hand. The status is 0 if the server closes the connection without an answer.

        The head is its first line and its headers, lines ending in `\\n`. `{v2}` and `{host}` in it become the base
        URL's. It goes over TLS if the base URL says https.
        """
        parts = urlsplit(self.target.base_url)
        lines = head.replace("{v2}", parts.path).replace("{host}", parts.netloc).strip("\n").split("\n")
        if token:
            lines.append(f"{TOKEN_HEADER}: {self.target.token}")
        data = "\r\n".join((*lines, "Connection: close", "", "")).encode("latin-1") + body
        method, _, rest = lines[0].partition(" ")
        target = rest.rpartition(" ")[0]
        path = target.partition("?")[0].removeprefix(parts.path)
        request = Request(method, f"{parts.scheme}://{parts.netloc}", target, path, {}, body or None, data)
        answer = self.api.patiently(lambda: exchange(request, document.find(method, path)))
        self.api.trace.add(answer)
        # What is not HTTP reaches no operation, whatever its path is.
        operation = answer.operation
        reached = operation is not None and answer.status in operation.declared
        self.api.counts.add(operation.id if operation and reached else None, answer.status)
        if wrong := rules.token_in(answer, [self.target.token]):
            raise answer.broken("token_in_answer", wrong)
        return answer


def exchange(request: Request, operation: document.Operation | None) -> Answer:
    """Send the bytes of a request as they are. Raises Broken if an answer breaks off."""
    assert request.sent is not None
    with connect(urlsplit(request.origin)) as connection:
        try:
            connection.sendall(request.sent)
            response = http.client.HTTPResponse(connection)
            response.begin()
            content = response.read()
        except (http.client.BadStatusLine, ConnectionError):
            return Answer(request, operation, 0, {}, b"")
        except (http.client.HTTPException, OSError) as error:
            raise Broken("whole_answer", repr(error), Answer(request, operation, 0, {}, b"")) from error
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(request, operation, response.status, headers, content)


def connect(url: SplitResult) -> socket.socket:
    """A connection, with TLS for https."""
    host = url.hostname or ""
    if url.scheme != "https":
        return socket.create_connection((host, url.port or 80), timeout=LONGEST_WAIT)
    connection = socket.create_connection((host, url.port or 443), timeout=LONGEST_WAIT)
    return ssl.create_default_context().wrap_socket(connection, server_hostname=host)


Claim = Callable[[RawClient], None]


CLAIMS: Final[list[Claim]] = []


def claim(*, own: bool = False, layer: str = CONTRACT) -> Callable[[Claim], Claim]:
    """Add a function to the claims. Its docstring is the sentence that it proves.

    `own`: only for our own mock, as no source says it of the platform. `layer`: CONTRACT is judged everywhere,
    TRANSPORT on our own servers; elsewhere it becomes a note.
    """

    def register(function: Claim) -> Claim:
        function.own, function.layer = own, layer  # type: ignore[attr-defined]
        CLAIMS.append(function)
        return function

    return register


def run(target: Target, claims: Iterable[Claim], *, first: bool = False) -> Outcome:
    """Try each claim on a server. With `first`, stop at the first failure."""
    outcome = Outcome("raw requests", own=target.own)
    with outcome.timed(), RawClient.at(target) as raw:
        with outcome.claim("an upload can be started and aborted", raw.api.trace):
            raw.known.learn()
        try_claims(raw, claims, outcome, first=first)
        outcome.notes += raw.notes
        outcome.counts.update(raw.api.counts)
    return outcome


def try_claims(raw: RawClient, claims: Iterable[Claim], outcome: Outcome, *, first: bool = False) -> None:
    """Try each claim with a client, and add it to the outcome."""
    for each in claims:
        if getattr(each, "own", False) and not raw.target.own:
            continue
        if raw.target.own:
            raw.api.reset_mock()
            raw.known.clear()
        with outcome.claim(sentence(each), raw.api.trace, layer=getattr(each, "layer", CONTRACT)):
            each(raw)
        name, finding = outcome.claims[-1]
        if finding is not None:
            check = each.__name__ if finding.check in UNTELLING else finding.check
            outcome.claims[-1] = name, attrs.evolve(finding, check=check, claim=each.__name__)
        if first and outcome.findings:
            break


def sentence(each: Claim) -> str:
    """The sentence of a claim in one line."""
    return " ".join((each.__doc__ or each.__name__).split())


def valid_request(raw: RawClient, operation: document.Operation) -> dict[str, Any]:
    """A request that is valid with a valid token."""
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
        "startUpload": raw.body(size=1),
        "createFolder": raw.body(type="folder"),
        "editFiles": {"items": [{"id": raw.known.file(), "tags": []}]},
        "reportUploadedPart": report,
        "reportUploadedParts": {"parts": [report]},
        "completeUpload": {"parts": [report]},
    }
    body = bodies.get(operation.id)
    return {"method": operation.method, "target": path, **({} if body is None else {"json_body": body})}
