"""Sends requests byte for byte as written, keeps them in a trace, and judges every answer.

It uses the standard library's client, because others normalise a path (`..`, `%2F`, an empty segment) before they send
it, and because it is the fastest for many small calls.
"""

import http.client
import json
import select
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self
from urllib.parse import quote, urlencode, urlsplit

import attrs

from tests.contract import document, rules
from tests.contract.answer import TOKEN_HEADER, Answer, Request
from tests.contract.trace import Trace

TIMEOUT: Final = 10.0  # seconds; a mock that takes longer is broken
IDLE: Final = 1.0  # seconds; after a longer pause the server may close the connection
LONGEST_WINDOW: Final = 3600.0  # seconds for one window of the rate limit; the documented one has five minutes
ABSENT: Final = object()


class ApiClient:
    """One connection to one server. Every answer is counted, judged by `rules`, and handed to `watch`.

    `own`: the server is ours, and is judged by what no source says, too. `patient`: if the rate limit is used up, wait
    for the next window, at most an hour, and send the request again.

    Raises Broken for an answer that breaks a rule, and for an incomplete answer.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        secrets: tuple[str, ...] = (),
        judge: bool = True,
        timeout: float = TIMEOUT,
        before: Callable[[str | None], None] | None = None,
        watch: Callable[[Answer], None] | None = None,
        trace: Trace | None = None,
        own: bool = False,
        patient: bool = False,
    ) -> None:
        parts = urlsplit(base_url)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.prefix = parts.path.rstrip("/")
        self.token = token
        self.counts = CallCounts()
        self.trace = trace if trace is not None else Trace()
        self._secrets = secrets or (token,)
        self._judge, self._before, self._watch = judge, before, watch
        self._timeout = timeout
        self._own, self._patient = own, patient
        self._countdown = rules.Countdown()
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self._used: dict[str, float] = {}
        self._lock = threading.Lock()

    def call(
        self,
        operation_id: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = ABSENT,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        **path: object,
    ) -> Answer:
        """Call an operation with well-formed parameters. `body` is sent as JSON; `token=""` sends no token."""
        operation = document.operations()[operation_id]
        target = operation.url(**{name: quote(str(value), safe="") for name, value in path.items()})
        if query:
            target += "?" + urlencode({name: _spelt(value) for name, value in query.items()})
        return self.send(operation.method, target, json_body=body, headers=headers, token=token)

    def send(
        self,
        method: str,
        target: str,
        *,
        json_body: object = ABSENT,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> Answer:
        """Send a request. `target` follows the base URL and is sent unchanged."""
        sent = dict(headers or {})
        token = self.token if token is None else token
        if token:
            sent[TOKEN_HEADER] = token
        if json_body is not ABSENT:
            data = json.dumps(json_body).encode()
            sent.setdefault("Content-Type", "application/json")
        path = target.partition("?")[0]
        request = Request(method, self.origin, self.prefix + target, path, sent, data)
        operation = document.find(method, path)
        with self._lock:
            if self._before is not None:
                self._before(operation.id if operation else None)
            answer = self.patiently(lambda: self._counted(request, operation))
            if self._watch is not None:
                self._watch(answer)
            if self._judge:
                rules.judge(answer, own=self._own)
                if wrong := rules.token_in(answer, self._secrets):
                    raise answer.broken("token_in_answer", wrong)
                if token == self.token and (wrong := self._countdown.observe(answer)):
                    raise answer.broken("rate_countdown", wrong)
        return answer

    def patiently(self, exchange: Callable[[], Answer]) -> Answer:
        """Return the answer to a request, which is sent once more if it had to wait for the rate limit."""
        answer = exchange()
        return exchange() if self.waited(answer) else answer

    def waited(self, answer: Answer) -> bool:
        """Whether the rate limit was used up, and the next window has begun."""
        if not self._patient or answer.status != 429 or rules.rate_headers(answer) or rules.error_body(answer):
            return False
        seconds = int(answer.headers.get("x-ratelimit-reset", 0)) - answer.clock.timestamp()
        if not 0 <= seconds <= LONGEST_WINDOW:
            return False
        print(f"The rate limit is used up. Waiting {seconds + 1:.0f} s for the next window.", file=sys.stderr)
        time.sleep(seconds + 1)
        return True

    def put(self, grant: Mapping[str, Any], data: bytes) -> Answer:
        """Put bytes to storage with the method and headers of a part URL, without the token."""
        request = self._storage_request(grant["method"], grant["url"], grant["headers"], data)
        with self._lock:
            self.counts.puts += 1
            return self._exchange(request, None)

    def fetch(self, url: str) -> Answer:
        """Read the bytes at a download URL, without the token."""
        answer = self._exchange(self._storage_request("GET", url, {}, None), None)
        if answer.status != 200:
            raise answer.broken("download", "expected the bytes of the file at a download URL")
        return answer

    def replay(self, request: Request) -> Answer:
        """Send a request as it is, without judging the answer."""
        return self._exchange(request, document.find(request.method, request.path))

    def mock(self, method: str, what: str, body: object = ABSENT) -> Answer:
        """Call the mock's own endpoints, under /_mock. Nothing is counted or judged."""
        data = None if body is ABSENT else json.dumps(body).encode()
        target = f"/_mock/{what}"
        return self._exchange(Request(method, self.origin, target, target, {}, data), None, traced=False)

    def reset_mock(self) -> None:
        """Reset the mock."""
        self.mock("POST", "reset")
        self._countdown.clear()
        self.trace.clear()

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def _storage_request(self, method: str, url: str, headers: Mapping[str, str], data: bytes | None) -> Request:
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        return Request(method, f"{parts.scheme}://{parts.netloc}", target, parts.path, headers, data)

    def _counted(self, request: Request, operation: document.Operation | None) -> Answer:
        answer = self._exchange(request, operation)
        self.counts.add(operation.id if operation else None, answer.status)
        return answer

    def _exchange(self, request: Request, operation: document.Operation | None, *, traced: bool = True) -> Answer:
        began = time.perf_counter()
        self._drop_if_closed(request.origin)
        try:
            response, body = self._roundtrip(request)
        except (OSError, http.client.HTTPException) as error:
            self._drop(request.origin)
            broken = Answer(request, operation, 0, {}, b"", time.perf_counter() - began)
            if traced:
                self.trace.add(broken)
            closed = isinstance(error, ConnectionError | http.client.BadStatusLine)
            raise broken.broken("no_answer" if closed else "whole_answer", repr(error)) from error
        self._used[request.origin] = time.perf_counter()
        headers = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(request, operation, response.status, headers, body, time.perf_counter() - began)
        if traced:
            self.trace.add(answer)
        return answer

    def _roundtrip(self, request: Request) -> tuple[http.client.HTTPResponse, bytes]:
        connection = self._connections.get(request.origin)
        if connection is None:
            parts = urlsplit(request.origin)
            kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
            connection = kind(parts.hostname or "", parts.port, timeout=self._timeout)
            self._connections[request.origin] = connection
        connection.putrequest(request.method, request.target)  # with `Accept-Encoding: identity`
        for name, value in {"Accept": "application/json", **request.headers}.items():
            connection.putheader(name, value)
        if request.body is not None or request.method in ("POST", "PUT"):
            connection.putheader("Content-Length", str(len(request.body or b"")))
        connection.endheaders(request.body)
        response = connection.getresponse()
        deadline = time.monotonic() + self._timeout
        body = bytearray()
        while block := response.read1(65536):
            body += block
            if time.monotonic() > deadline:
                raise TimeoutError("the body arrives too slowly")
        if response.length:
            raise http.client.IncompleteRead(bytes(body), response.length)
        response.close()
        return response, bytes(body)

    def _drop_if_closed(self, origin: str) -> None:
        """Drop a connection that the server has closed, or may close any moment. No request is sent twice."""
        connection = self._connections.get(origin)
        if connection is None or connection.sock is None:
            return
        idle = time.perf_counter() - self._used.get(origin, 0)
        if idle > IDLE or select.select([connection.sock], [], [], 0)[0]:
            self._drop(origin)

    def _drop(self, origin: str) -> None:
        connection = self._connections.pop(origin, None)
        if connection is not None:
            connection.close()


def _spelt(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


OTHER = "(no operation)"


@attrs.define
class CallCounts:
    """Counts of (operationId, status). PUTs to storage are counted separately: they are not calls."""

    seen: Counter[tuple[str, int]] = attrs.field(factory=Counter)
    puts: int = 0

    def add(self, operation: str | None, status: int) -> None:
        self.seen[operation or OTHER, status] += 1

    def update(self, other: "CallCounts") -> None:
        self.seen.update(other.seen)
        self.puts += other.puts

    @property
    def calls(self) -> int:
        return sum(self.seen.values())

    @property
    def lives(self) -> dict[str, int]:
        """The numbers of uploads that were started, completed and aborted."""
        return {
            "started": self.seen["startUpload", 200],
            "completed": self.seen["completeUpload", 201] + self.seen["completeUpload", 200],
            "aborted": self.seen["abortUpload", 204],
        }

    def statuses(self, operation: str) -> dict[int, int]:
        """The statuses of an operation, with their counts."""
        return {status: count for (name, status), count in sorted(self.seen.items()) if name == operation}

    def never_seen(self) -> list[tuple[str, int]]:
        """The declared statuses that no answer had."""
        return [
            (operation.id, status)
            for operation in document.operations().values()
            for status in sorted(operation.declared)
            if not self.seen[operation.id, status]
        ]

    def to_json(self) -> dict[str, Any]:
        return {"puts": self.puts, "seen": [[name, status, count] for (name, status), count in self.seen.items()]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(Counter({(name, status): count for name, status, count in data["seen"]}), data["puts"])

    @classmethod
    def of(cls, tallies: Iterable["CallCounts"]) -> Self:
        whole = cls()
        for counts in tallies:
            whole.update(counts)
        return whole
