"""Retries over real connections: what is sent again, what is not, and what the caller gets."""

import asyncio
import gzip
import json
import os
import re
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial

import pytest
from loopback import FILE, QUICK, TOKEN, UPLOAD, Loopback, Reply, answer, close, limited, problem, reset, targets

from cavatica_client.api.uploads import (
    abort_upload,
    complete_upload,
    get_upload,
    list_uploads,
    report_uploaded_part,
    report_uploaded_parts,
    start_upload,
)
from cavatica_client.models import HeaderMap, PartReport, PartReportList, PartReportResponse, StartUploadRequest
from cavatica_upload.api.client import Api, connect
from cavatica_upload.api.policy import CallAttempts
from cavatica_upload.api.rate_limit import RateLimiter
from cavatica_upload.errors import (
    ApiError,
    ConnectionFailed,
    Interrupted,
    ServerError,
    Unauthorized,
    UnexpectedAnswer,
    UploadGone,
    UsageError,
)
from cavatica_upload.events import Event, Notice, RateLimitWait, Retrying
from tests.clock import Clock

Serve = Callable[..., Loopback]
ClientOf = Callable[..., Api]

REPORT = PartReport(part_number=1, response=PartReportResponse(headers=HeaderMap()))
HTML = answer(502, b"<html><title>Bad Gateway</title></html>", headers={"Content-Type": "text/html"})
LOST = {"close": close, "reset": reset, "half": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{")}
UNCLEAR = {"html 502": HTML, "status 520": answer(520, b""), "html 200": answer(200, b"<html>"), **LOST}
"""Answers after which nobody knows whether the server acted."""


def start(client: Api) -> object:
    return start_upload.sync(client=client, body=StartUploadRequest(name="a.bam", project="mlin/rna-pilot"))


def complete(client: Api) -> object:
    return complete_upload.sync("u1", client=client)


TROUBLES = {
    "html 502": HTML,
    "status 520": answer(520, b""),
    "empty 500": answer(500, b""),
    "text 503": answer(503, b"no"),
    "html 200": answer(200, b"<html>"),
    "cut json": answer(200, b'{"upload_id": "u'),
    "service down": problem(503, 8000),
    **LOST,
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())
def test_a_read_gets_through(serve: Serve, client_of: ClientOf, trouble: object) -> None:
    """A read is repeated after any passing failure, and returns the last answer."""
    events: list[Retrying] = []
    server = serve(trouble, trouble, answer(200, UPLOAD))
    found = get_upload.sync("u1", client=client_of(server, on_event=events.append))
    assert getattr(found, "upload_id", None) == "u1"
    assert len(server.requests) == 3
    assert [(one.operation, one.attempt) for one in events] == [("getUpload", 2), ("getUpload", 3)]
    assert all(one.reason and 0 <= one.delay <= 1 for one in events)


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())
def test_an_asynchronous_read_gets_through(serve: Serve, client_of: ClientOf, trouble: object) -> None:
    """The asyncio functions repeat in the same way."""
    server = serve(trouble, answer(200, UPLOAD))

    async def call() -> object:
        async with client_of(server) as client:
            return await get_upload.asyncio("u1", client=client)

    assert getattr(asyncio.run(call()), "upload_id", None) == "u1"
    assert len(server.requests) == 2


@pytest.mark.parametrize("trouble", UNCLEAR.values(), ids=UNCLEAR.keys())
@pytest.mark.parametrize("act", [start, complete])
def test_what_may_have_acted_is_sent_once(
    serve: Serve, client_of: ClientOf, act: Callable[[Api], object], trouble: object
) -> None:
    """A start or completion that may have been done is not repeated, and the error says so."""
    server = serve(trouble, answer(200, UPLOAD))
    with pytest.raises((ServerError, UnexpectedAnswer, ConnectionFailed)) as caught:
        act(client_of(server))
    assert len(server.requests) == 1
    assert caught.value.maybe_acted


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Reply:
    """A reply that has begun, and has no end, when the time for it is over."""
    clock, passed = time.monotonic, [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock() + passed[0])

    def begin(connection: socket.socket) -> None:
        passed[0] += 2 * QUICK.silence
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.recv(1)  # until the client disconnects

    return begin


def test_start_without_an_answer_is_sent_once(serve: Serve, client_of: ClientOf, late: Reply) -> None:
    """A start without an answer is sent once, with asyncio too."""
    server = serve(late)
    with pytest.raises(ConnectionFailed, match="no answer") as caught:
        start(client_of(server))
    assert caught.value.maybe_acted

    async def call() -> None:
        async with client_of(server) as client:
            await start_upload.asyncio(client=client, body=StartUploadRequest(name="a.bam", project="a/b"))

    with pytest.raises(ConnectionFailed, match="no answer"):
        asyncio.run(call())
    assert targets(server.requests) == ["POST /v2/upload/multipart"] * 2


@pytest.mark.parametrize(("status", "code"), [(503, 8000), (503, 90005), (409, 8008), (503, 0)])
def test_start_that_did_not_act_is_sent_again(serve: Serve, client_of: ClientOf, status: int, code: int) -> None:
    """If the platform says that it did nothing, a start is repeated."""
    server = serve(problem(status, code), answer(200, UPLOAD))
    assert start(client_of(server)) is not None
    assert len(server.requests) == 2


def test_refused_connection() -> None:
    """A refused connection is retried for any operation, and the error says that nothing was done."""
    events: list[Retrying] = []
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # so that nobody else listens there
        host = f"127.0.0.1:{deaf.getsockname()[1]}"
        with (
            connect(TOKEN, f"http://{host}/v2", attempts=3, timing=QUICK, on_event=events.append) as client,
            pytest.raises(ConnectionFailed, match=f"no connection to {host}") as caught,
        ):
            start(client)
    assert not caught.value.maybe_acted
    assert len(events) == 2
    assert any("3 times" in note for note in caught.value.__notes__)


def test_name_that_is_not_known() -> None:
    """A host without an address is ConnectionFailed, and the sentence names the host."""
    with (
        connect(TOKEN, "https://nowhere.invalid/v2", attempts=2, timing=QUICK) as client,
        pytest.raises(ConnectionFailed) as caught,
    ):
        list_uploads.sync(client=client)
    assert "nowhere.invalid" in caught.value.message


@pytest.mark.parametrize("first", UNCLEAR.values(), ids=UNCLEAR.keys())
def test_reports_are_repeated(serve: Serve, client_of: ClientOf, first: object) -> None:
    """Reports, single and in bulk, are repeated with the same body, since a second one does no harm."""
    for send in (
        lambda client: report_uploaded_part.sync_detailed("u1", client=client, body=REPORT),
        lambda client: report_uploaded_parts.sync_detailed("u1", client=client, body=PartReportList(parts=[REPORT])),
    ):
        server = serve(first, answer(200, b"", headers={"Content-Type": "application/json"}))
        assert send(client_of(server)).status_code == 200
        assert len(server.requests) == 2
        assert server.requests[0].body == server.requests[1].body != b""


@pytest.mark.parametrize(
    "reply",
    [answer(200), answer(202), answer(204), answer(201, {}), answer(200, REPORT.to_dict())],
    ids=["200", "202", "204", "201 empty object", "200 echo"],
)
def test_reports_acknowledged_in_any_way(serve: Serve, client_of: ClientOf, reply: bytes) -> None:
    """A report succeeds with any success status and body."""
    done = report_uploaded_part.sync_detailed("u1", client=client_of(serve(reply)), body=REPORT)
    assert done.status_code == 200
    assert done.parsed == REPORT


def test_start_answered_with_created(serve: Serve, client_of: ClientOf) -> None:
    """A start succeeds with 200 or 201."""
    assert getattr(start(client_of(serve(answer(201, UPLOAD)))), "upload_id", None) == "u1"


def test_abort_whose_answer_was_lost(serve: Serve, client_of: ClientOf) -> None:
    """A repeated abort that finds nothing succeeds; a first one that finds nothing does not."""
    assert abort_upload.sync_detailed("u1", client=client_of(serve(close, problem(404, 8003)))).status_code == 204
    with pytest.raises(UploadGone):
        abort_upload.sync_detailed("u1", client=client_of(serve(problem(404, 8003))))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (problem(401, 90001), Unauthorized),
        (problem(404, 8003), UploadGone),
        (answer(404, {"status": "NOT_FOUND"}), ApiError),
    ],
    ids=["token", "upload", "path"],
)
def test_final_answers_are_raised_after_one_call(
    serve: Serve, client_of: ClientOf, reply: bytes, kind: type[ApiError]
) -> None:
    """An error that will not pass is raised after one call, with the operation's name."""
    server = serve(reply)
    with pytest.raises(kind) as caught:
        get_upload.sync("u1", client=client_of(server))
    assert len(server.requests) == 1
    assert caught.value.operation == "getUpload"


@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
def test_rate_limit_waits_for_the_reset(serve: Serve, skew: float) -> None:
    """A 429 waits until the reset, although the clocks differ by an hour."""
    waits: list[RateLimitWait] = []
    server = serve(limited(0, 1, skew, 429), limited(9, 1, skew))
    with connect(TOKEN, server.url, timing=QUICK, on_event=waits.append, attempts=1) as client:
        assert get_upload.sync("u1", client=client) is not None
    assert len(server.requests) == 2
    assert sum(wait.seconds for wait in waits) > 0.9
    assert all(wait.seconds < 4 for wait in waits)


def test_many_short_refusals(serve: Serve) -> None:
    """A gateway that says “again in 0 s” fifteen times in a row fails no call before `retry_for` is over."""
    busy = answer(429, {"status": 429, "message": "Too many."}, headers={"Retry-After": "0"})
    server = serve(*[busy] * 15, answer(200, UPLOAD))
    with connect(TOKEN, server.url, timing=QUICK, attempts=1, retry_for=3600) as client:
        assert get_upload.sync("u1", client=client) is not None
    assert len(server.requests) == 16


def test_rate_limit_asynchronously(serve: Serve) -> None:
    """The asyncio functions wait for the reset without blocking others."""
    server = serve(limited(0, 0, 0, 429), limited(9, 1))

    async def call() -> object:
        waits = asyncio.Event()

        async def work() -> int:
            await waits.wait()
            return len(server.requests)

        def listen(event: Event) -> None:
            if isinstance(event, RateLimitWait):
                waits.set()

        async with asyncio.TaskGroup() as others, connect(TOKEN, server.url, timing=QUICK, on_event=listen) as client:
            meanwhile = others.create_task(work())
            found = await get_upload.asyncio("u1", client=client)
        assert meanwhile.result() == 1, "the others had to wait, too"
        return found

    assert getattr(asyncio.run(call()), "upload_id", None) == "u1"
    assert len(server.requests) == 2


@pytest.mark.parametrize("trouble", ["maintenance", "limit"])
def test_waits_are_cancelled(serve: Serve, trouble: str) -> None:
    """Setting the event ends a pause of minutes, with asyncio too."""
    reply = problem(503, 0) if trouble == "maintenance" else limited(0, 300, 0, 429)
    cancel = threading.Event()
    server = serve(reply)

    def on_event(_: Event) -> None:
        cancel.set()

    with connect(TOKEN, server.url, cancel=cancel, on_event=on_event) as client, pytest.raises(Interrupted):
        get_upload.sync("u1", client=client)
    cancel.clear()

    async def call() -> None:
        async with connect(TOKEN, server.url, cancel=cancel, on_event=on_event) as client:
            await get_upload.asyncio("u1", client=client)

    with pytest.raises(Interrupted):
        asyncio.run(call())


def spent_limiter() -> RateLimiter:
    """Return a limiter whose window has no calls left."""
    limiter = RateLimiter()
    limiter.record(
        {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 300)}
    )
    return limiter


def test_wait_for_the_rate_limit_is_cancelled(serve: Serve) -> None:
    """A wait for the rate limit ends when it is cancelled, and nothing is sent."""
    cancel = threading.Event()
    server = serve(answer(200, UPLOAD))

    def client() -> Api:
        return connect(TOKEN, server.url, cancel=cancel, rate_limiter=spent_limiter(), on_event=lambda _: cancel.set())

    async def call() -> None:
        async with client() as connected:
            await get_upload.asyncio("u1", client=connected)

    with client() as connected, pytest.raises(Interrupted):
        get_upload.sync("u1", client=connected)
    cancel.clear()
    with pytest.raises(Interrupted):
        asyncio.run(call())
    cancel.set()
    with pytest.raises(Interrupted):
        asyncio.run(call())
    assert server.requests == []


def test_deadline_ends_a_trickle(serve: Serve, client_of: ClientOf) -> None:
    """An answer that arrives byte by byte ends at the deadline."""
    with pytest.raises(ConnectionFailed):
        get_upload.sync("u1", client=client_of(serve("dribble"), deadline=0.4))


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ENDLESS = {
    "status line": (b"HTTP/1.1 200 ", b"O"),
    "header": (HEAD + b"X-Slow: ", b"."),
    "header lines": (HEAD, b"X-Line: 1\r\n"),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "body": (HEAD + b"Content-Length: 100000\r\n\r\n{", b" "),
    "body without length": (HEAD + b"\r\n{", b" "),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "chunk size": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
}


def endless(first: bytes, then: bytes) -> Callable[[socket.socket], None]:
    """Return a reply that continues until the client disconnects."""

    def send(connection: socket.socket) -> None:
        try:
            connection.sendall(first)
            while True:
                connection.sendall(then)
                time.sleep(0.01)
        except OSError:
            return

    return send


@pytest.mark.parametrize(("first", "then"), ENDLESS.values(), ids=ENDLESS.keys())
def test_deadline_ends_an_endless_answer(serve: Serve, client_of: ClientOf, first: bytes, then: bytes) -> None:
    """An answer with any endless part ends at the deadline of the call."""
    client = client_of(serve(endless(first, then)), deadline=0.4, attempts=1)
    with pytest.raises(ConnectionFailed):
        get_upload.sync("u1", client=client)

    async def call() -> None:
        async with client:
            await get_upload.asyncio("u1", client=client)

    with pytest.raises(ConnectionFailed):
        asyncio.run(call())


def test_an_attempt_has_its_own_deadline(serve: Serve, client_of: ClientOf, late: Reply) -> None:
    """An answer that trickles fails after twice the read timeout, and the call is repeated."""
    events: list[Event] = []
    server = serve(late, answer(200, UPLOAD))
    client = client_of(server, on_event=events.append)
    assert get_upload.sync("u1", client=client) is not None
    assert [event.reason for event in events if isinstance(event, Retrying)][:1] == [
        f"no answer from 127.0.0.1:{server.port} in time"
    ]


def packed(size: int, encoding: str) -> bytes:
    """Return an answer of `size` spaces in these encodings."""
    packer = zlib.compressobj(6, wbits=15 if encoding == "deflate" else 31)
    squeezed = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(size >> 20)) + packer.flush()
    for _ in range(encoding.count(",")):
        squeezed = gzip.compress(squeezed)
    return answer(200, squeezed, headers={"Content-Encoding": encoding})


TOO_MUCH = {
    "body": lambda: answer(200, b" " * (33 << 20)),
    "gzip": lambda: packed(512 << 20, "gzip"),
    "gzip of gzip": lambda: packed(256 << 20, "gzip, gzip"),
    "deflate": lambda: packed(40 << 20, "deflate"),
}


@pytest.mark.parametrize("reply", TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_answers_are_bounded(serve: Serve, client_of: ClientOf, reply: Callable[[], bytes]) -> None:
    """An answer above 32 MiB, encoded or decoded, is an error after one call, and needs little memory."""
    server = serve(reply())
    client = client_of(server, timeout=60)

    async def call() -> None:
        async with client:
            await get_upload.asyncio("u1", client=client)

    tracemalloc.start()
    try:
        with pytest.raises(UnexpectedAnswer, match="more than 32 MiB"):
            get_upload.sync("u1", client=client)
        with pytest.raises(UnexpectedAnswer, match="more than 32 MiB"):
            asyncio.run(call())
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 120 << 20
    assert len(server.requests) == 2


def test_large_refusal_is_a_refusal(serve: Serve, client_of: ClientOf) -> None:
    """An error with a large body is known by its status."""
    with pytest.raises(Unauthorized):
        get_upload.sync("u1", client=client_of(serve(answer(401, b"x" * (33 << 20))), timeout=60))


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate", "identity", "GZIP", "x-gzip"])
def test_encodings(serve: Serve, client_of: ClientOf, encoding: str) -> None:
    """Every requested encoding is decoded."""
    said = json.dumps(UPLOAD).encode()
    body = {"deflate": zlib.compress(said), "raw deflate": zlib.compress(said)[2:-4], "identity": said}.get(encoding)
    headers = {"Content-Encoding": encoding.removeprefix("raw ")}
    server = serve(answer(200, gzip.compress(said) if body is None else body, headers=headers))
    assert getattr(get_upload.sync("u1", client=client_of(server)), "upload_id", None) == "u1"
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("br", b"x"), ("gzip", gzip.compress(b"{}" * 99, mtime=0)[:20]), ("gzip", b"{}"), ("deflate", b"{")],
    ids=["not asked for", "cut off", "not gzip", "not deflate"],
)
def test_wrong_encodings(serve: Serve, client_of: ClientOf, encoding: str, body: bytes) -> None:
    """An answer with a wrong encoding or a cut body is an error of one sentence."""
    server = serve(answer(200, body, headers={"Content-Encoding": encoding}))
    with pytest.raises(ConnectionFailed, match="cannot be decoded"):
        get_upload.sync("u1", client=client_of(server, attempts=2))
    assert len(server.requests) == 2


@pytest.mark.parametrize("asked", ["1", None])
def test_maintenance_is_reported(serve: Serve, client_of: ClientOf, asked: str | None) -> None:
    """Maintenance is waited for as long as the platform says, and reported with time and what is kept."""
    events: list[Event] = []
    body = {"status": 503, "code": 0, "message": "Down."}
    down = answer(503, body, headers={} if asked is None else {"Retry-After": asked})
    server = serve(down, answer(200, UPLOAD))
    began = time.monotonic()
    assert start(client_of(server, on_event=events.append)) is not None
    assert time.monotonic() - began >= float(asked or 0)
    (notice,) = [event for event in events if isinstance(event, Notice)]
    said = r"The platform is down for maintenance; trying again at ([-\d]+ )?\d\d:\d\d UTC\. Parts that were uploade.*"
    assert re.fullmatch(said, notice.text)


def test_long_maintenance_is_not_waited_out(serve: Serve, client_of: ClientOf) -> None:
    """If maintenance is longer than the deadline of a call, the error says until when, and what is kept."""
    server = serve(answer(503, {"code": 0, "message": "Down."}, headers={"Retry-After": "86400"}))
    with pytest.raises(ServerError) as caught:
        start(client_of(server))
    assert caught.value.maintenance
    assert not caught.value.maybe_acted
    said = r"The platform says it will be back at \d{4}-\d\d-\d\d \d\d:\d\d UTC\. Uploaded parts are kept"
    assert re.match(said, str(caught.value.hint))
    assert len(server.requests) == 1


def test_retry_after_is_honoured_with_any_trouble(serve: Serve, client_of: ClientOf) -> None:
    """Retry-After is followed for any error of the server."""
    events: list[Event] = []
    server = serve(answer(502, b"", headers={"Retry-After": "1"}), answer(200, UPLOAD))
    assert get_upload.sync("u1", client=client_of(server, on_event=events.append)) is not None
    assert [event.delay for event in events if isinstance(event, Retrying)] == [1.0]


def test_deadline_ends_the_attempts(serve: Serve, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline ends the attempts, and the last error is raised."""
    clock = Clock()
    monkeypatch.setattr("cavatica_upload.api.transport.CallAttempts", partial(CallAttempts, clock=clock))

    def slow(connection: socket.socket) -> None:
        clock.turn(100)
        connection.sendall(answer(502, b"<html><title>Bad Gateway</title></html>", headers={"Connection": "close"}))

    server = serve(slow)
    with pytest.raises(ServerError, match="Bad Gateway"):
        get_upload.sync("u1", client=client_of(server, attempts=10_000, deadline=390))
    assert len(server.requests) == 4


def test_compressed_answers(serve: Serve, client_of: ClientOf) -> None:
    """A compressed answer is read, and a broken one is requested again."""
    squeezed = gzip.compress(json.dumps(UPLOAD).encode())
    headers = {"Content-Encoding": "gzip"}
    server = serve(answer(200, b"not gzip", headers=headers), answer(200, squeezed, headers=headers))
    assert getattr(get_upload.sync("u1", client=client_of(server)), "upload_id", None) == "u1"
    assert len(server.requests) == 2


def test_free_call_waits_for_nothing(serve: Serve, client_of: ClientOf) -> None:
    """The rate limit itself can be requested when no calls are left."""
    from cavatica_client.api.rate_limit import get_rate_limit

    reply = answer(200, {"rate": {"limit": 10, "remaining": 0, "reset": 1}})
    client = client_of(serve(reply), rate_limiter=spent_limiter())
    assert get_rate_limit.sync(client=client) is not None


def test_completion_may_take_long(serve: Serve, client_of: ClientOf) -> None:
    """A completion has a longer timeout than other calls."""
    ready = threading.Event()

    def slow(connection: socket.socket) -> None:
        ready.wait(0.5)
        connection.sendall(answer(201, FILE))

    assert complete(client_of(serve(slow), timeout=0.1)) is not None


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"deadline": 0}, {"timeout": -1}])
def test_zero_attempts_or_time_are_refused(wrong: dict[str, float]) -> None:
    """Zero attempts and a zero deadline are refused."""
    with pytest.raises(UsageError):
        connect(TOKEN, "http://127.0.0.1:1/v2", **wrong)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child_has_its_own_connections(serve: Serve, client_of: ClientOf) -> None:
    """A client works in a forked child too, which never gets the answers of its parent."""
    server = serve(answer(200, UPLOAD))
    client = client_of(server)
    assert get_upload.sync("u1", client=client) is not None
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if get_upload.sync("u1", client=client) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert get_upload.sync("u1", client=client) is not None
    first, of_child, last = (request.port for request in server.requests)
    assert of_child not in (first, last)


def test_closed_client_says_so(serve: Serve, client_of: ClientOf) -> None:
    """A call with a client that was closed is a UsageError, and nothing is sent."""
    server = serve(answer(200, UPLOAD))
    client = client_of(server)
    client.close()
    with pytest.raises(UsageError, match="closed"):
        get_upload.sync("u1", client=client)
    assert server.requests == []
