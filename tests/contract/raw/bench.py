"""What the claims share: a server, a judged connection, a ledger, and a raw socket."""

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
from tests.contract.ledger import Ledger
from tests.contract.outcome import Outcome
from tests.contract.target import Target
from tests.contract.wire import Wire

REFUSED = (400, 401, 404, 405)
UNTELLING = ("AssertionError", "refusal", "expected_status")  # the claim's own name says more


@attrs.frozen
class Bench:
    """One server and the hands on it."""

    target: Target
    wire: Wire
    ledger: Ledger

    @classmethod
    @contextlib.contextmanager
    def at(cls, target: Target) -> Iterator["Bench"]:
        wire = target.wire()
        try:
            bench = cls(target, wire, Ledger(wire, target.project, f"{target.run}-raw"))
            yield bench
            if not target.own:
                bench.ledger.tidy()
        finally:
            wire.close()

    def refuse(self, method: str, targets: Iterable[str], *statuses: int, **arguments: Any) -> None:
        """Demand that each of these is refused, by one of the statuses if any are given."""
        for target in targets:
            self.wire.send(method, target, **arguments).expect(*(statuses or REFUSED), check="refusal")

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
        request = Request(method, self.wire.origin, target, path, {}, body or None)
        headers = {name.lower(): value for name, value in response.getheaders()}
        found = document.find(method, path)
        answer = Answer(request, found, response.status, headers, content, 0.0)
        # What is no HTTP reaches no operation, whatever its path says.
        self.wire.tally.add(found.id if found and response.status in found.declared else None, response.status)
        if wrong := rules.tells_secret(answer, [self.target.token]):
            raise answer.broken("token_in_answer", wrong)
        return answer


def _connect(url: SplitResult) -> socket.socket:
    host = url.hostname or ""
    if url.scheme != "https":
        return socket.create_connection((host, url.port or 80), timeout=10)
    connection = socket.create_connection((host, url.port or 443), timeout=10)
    return ssl.create_default_context().wrap_socket(connection, server_hostname=host)


Claim = Callable[[Bench], None]


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
    with outcome.timed(), Bench.at(target) as bench:
        with outcome.claim("a first upload can be started and aborted"):
            bench.ledger.learn()
        for each in claims:
            if getattr(each, "own", False) and not target.own:
                continue
            if target.own:
                bench.wire.reset_mock()
                bench.ledger.clear()
            with outcome.claim(sentence(each)):
                each(bench)
            name, finding = outcome.claims[-1]
            if finding is not None and finding.check in UNTELLING:
                outcome.claims[-1] = name, attrs.evolve(finding, check=each.__name__)
            if first and outcome.findings:
                break
        outcome.tally.update(bench.wire.tally)
    return outcome


def sentence(each: Claim) -> str:
    """What a claim says, in one line."""
    return " ".join((each.__doc__ or each.__name__).split())
