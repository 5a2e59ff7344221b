"""Every scripted fault, acted out over a real socket."""

import json
import socket
import threading
from collections.abc import Callable

import httpx
import pytest
from mock_client import Client, code, md5

from cavatica_mock import Fault, MockServer, contract
from cavatica_mock.faults import KINDS, STORAGE_ONLY, Faults
from cavatica_mock.http import is_loopback


def ask_raw(server: MockServer, request: bytes) -> bytes:
    """Everything received until the server ends the connection. Raises ConnectionResetError."""
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(request)
        answer = b""
        while block := connection.recv(65536):
            answer += block
        return answer


def list_raw(server: MockServer) -> bytes:
    return (f"GET /v2/upload/multipart HTTP/1.1\r\nHost: x\r\nX-SBG-Auth-Token: {server.token}\r\n\r\n").encode()


def test_a_fault_hits_as_often_as_it_says_and_then_the_call_goes_through(client: Client, server: MockServer) -> None:
    """`after` calls pass, `times` are hit, the rest pass; every call is counted."""
    server.faults.add(Fault("listUploads", "status", status=503, times=2, after=1))
    assert [client.get("upload/multipart").status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    assert server.calls["listUploads"] == 5


def test_a_fault_for_one_part_leaves_the_others_alone(client: Client, server: MockServer) -> None:
    """`part` limits a fault to one part, for part URLs and for puts."""
    upload_id = client.start(size=9, part_size=3)["upload_id"]
    server.faults.add(Fault("putPart", "status", part=2), Fault("getPartUrl", "status", part=3))
    assert client.put(upload_id, 1, b"abc").status_code == 200
    assert client.put(upload_id, 2, b"def").status_code == 503
    assert client.put(upload_id, 2, b"def").status_code == 200
    assert client.get(f"upload/multipart/{upload_id}/part/3").status_code == 503
    assert client.put(upload_id, 3, b"ghi").status_code == 200


def test_a_fault_on_everything_is_about_the_api_alone(client: Client, server: MockServer) -> None:
    """`*` means every operation and not storage; times=None means every call; clear() ends it."""
    upload_id = client.start(size=3)["upload_id"]
    url = client.part_url(upload_id, 1)
    server.faults.add(Fault("*", "status", times=None))
    assert [client.get("upload/multipart").status_code for _ in range(3)] == [503] * 3
    assert client.get("rate_limit").status_code == 503
    assert client.storage.put(url, content=b"abc").status_code == 200
    server.faults.clear()
    assert client.get("upload/multipart").status_code == 200


def test_a_status_comes_with_the_platforms_body_or_a_proxys_page(server: MockServer) -> None:
    """503 is maintenance with code 0; other codes and headers can be given; `html` makes it a page."""
    client = Client(server, checked=False)
    server.faults.add(
        Fault("listUploads", "status"),
        Fault("listUploads", "status", status=429, headers={"Retry-After": "7", "X-RateLimit-Reset": "1"}),
        Fault("listUploads", "status", status=409, code=8008),
        Fault("listUploads", "status", status=520),
        Fault("listUploads", "status", status=502, html=True),
    )
    answers = [client.get("upload/multipart") for _ in range(5)]
    assert [code(answer) for answer in answers[:3]] == [(503, 0), (429, 1000), (409, 8008)]
    assert (answers[1].headers["Retry-After"], answers[1].headers["X-RateLimit-Reset"]) == ("7", "1")
    assert answers[3].status_code == answers[3].json()["status"] == 520
    assert (answers[4].status_code, answers[4].text[:15]) == (502, "<!DOCTYPE html>")
    client.close()


@pytest.mark.parametrize("operation", ["listUploads", "putPart"])
def test_reset_is_a_tcp_reset(client: Client, server: MockServer, operation: str) -> None:
    """The client's kernel reports a reset."""
    url = httpx.URL(client.part_url(client.start(size=3)["upload_id"], 1))
    head = f"PUT {url.raw_path.decode()} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".encode()
    server.faults.add(Fault(operation, "reset", after_bytes=2))
    with pytest.raises(ConnectionResetError):
        ask_raw(server, head if operation == "putPart" else list_raw(server))


@pytest.mark.parametrize("operation", ["listUploads", "putPart"])
def test_close_ends_the_connection_in_order_and_in_silence(client: Client, server: MockServer, operation: str) -> None:
    """There is no byte of an answer and no reset, and nothing is done."""
    upload_id = client.start(size=3)["upload_id"]
    url = httpx.URL(client.part_url(upload_id, 1))
    head = f"PUT {url.raw_path.decode()} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".encode()
    server.faults.add(Fault(operation, "close"))
    assert ask_raw(server, head if operation == "putPart" else list_raw(server)) == b""
    assert server.uploads()[0]["stored_parts"] == []


def test_a_lost_answer_leaves_the_operation_done(client: Client, server: MockServer) -> None:
    """The connection ends without an answer, but the upload is started, the part kept, the file made."""
    server.faults.add(*(Fault(name, "lost_answer") for name in ("startUpload", "putPart", "completeUpload")))
    with pytest.raises(httpx.TransportError):
        client.start(size=3)
    upload_id = server.uploads()[0]["upload_id"]
    with pytest.raises(httpx.TransportError):
        client.put(upload_id, 1, b"abc")
    assert server.uploads()[0]["stored_parts"] == [{"part_number": 1, "size": 3, "etag": md5(b"abc")}]
    with pytest.raises(httpx.TransportError):
        client.complete(upload_id, [{"part_number": 1, "response": {"headers": {"ETag": md5(b"abc")}}}])
    assert server.uploads() == []
    assert [server.file_bytes(file["id"]) for file in server.files()] == [b"abc"]


@pytest.mark.parametrize("operation", ["listUploads", "putPart"])
def test_a_stall_lasts_until_the_client_gives_up(client: Client, server: MockServer, operation: str) -> None:
    """The client's timeout ends it, and the server continues."""
    upload_id = client.start(size=3)["upload_id"]
    url = client.part_url(upload_id, 1)
    server.faults.add(Fault(operation, "stall"))
    method, target = ("PUT", url) if operation == "putPart" else ("GET", f"{server.base_url}/upload/multipart")
    with pytest.raises(httpx.ReadTimeout):
        client.http.request(method, target, content=b"abc", timeout=httpx.Timeout(60, read=0.2))
    assert client.get("upload/multipart").status_code == 200
    client.close()
    wait_for(lambda: connections(server) == 0)


def test_a_stalled_put_reads_no_more_than_it_says(client: Client, server: MockServer) -> None:
    """A body larger than all buffers cannot be sent to the end."""
    size = 64 * 2**20
    url = client.part_url(client.start(size=size)["upload_id"], 1)
    server.faults.add(Fault("putPart", "stall", after_bytes=100_000))
    with pytest.raises(httpx.WriteTimeout):
        client.storage.put(url, content=bytes(size), timeout=httpx.Timeout(60, write=0.3))
    wait_for(lambda: server.bytes_received == 100_000)


def test_a_stalled_put_ends_with_its_client_although_nobody_reads(client: Client, server: MockServer) -> None:
    """The server does not read the body and still notices that the client is gone."""
    size = 2**20
    url = client.part_url(client.start(size=size)["upload_id"], 1)
    server.faults.add(Fault("putPart", "stall"))
    with pytest.raises(httpx.TimeoutException):
        client.storage.put(url, content=bytes(size), timeout=httpx.Timeout(60, read=0.3, write=0.3))
    client.close()
    wait_for(lambda: connections(server) == 0)


def test_a_server_with_a_stalled_client_stops_immediately() -> None:
    """Stopping does not wait for stalled clients."""
    with MockServer() as server:
        server.faults.add(Fault("listUploads", "stall"))
        with socket.create_connection((server.host, server.port)) as connection:
            connection.sendall(list_raw(server))
            wait_for(lambda: server.calls["listUploads"] == 1)
            server.stop()
            assert connection.recv(1) == b""


def test_slow_storage_reads_at_the_speed_given(client: Client, server: MockServer) -> None:
    """A client with a short timeout gives up; with a long one the part arrives whole."""
    upload_id = client.start(size=4000)["upload_id"]
    url = client.part_url(upload_id, 1)
    server.faults.add(Fault("putPart", "slow", bytes_per_second=1), Fault("putPart", "slow", bytes_per_second=1e5))
    with pytest.raises(httpx.ReadTimeout):
        client.storage.put(url, content=bytes(4000), timeout=httpx.Timeout(60, read=0.2))
    assert server.uploads()[0]["stored_parts"] == []
    assert client.storage.put(url, content=bytes(4000)).status_code == 200


def test_slow_and_delayed_answers_arrive_whole(client: Client, server: MockServer) -> None:
    """The answers are complete and late."""
    client.start()
    server.faults.add(Fault("listUploads", "slow", bytes_per_second=5000), Fault("listUploads", "delay", seconds=0.05))
    assert client.get("upload/multipart").json() == client.get("upload/multipart").json()


def test_a_truncated_answer_announces_more_than_it_sends(client: Client, server: MockServer) -> None:
    """The operation is done; the client sees a body that ends too soon."""
    server.faults.add(Fault("startUpload", "truncate"), Fault("putPart", "truncate"))
    with pytest.raises(httpx.RemoteProtocolError):
        client.start(size=3)
    upload_id = server.uploads()[0]["upload_id"]
    with pytest.raises(httpx.RemoteProtocolError):
        client.put(upload_id, 1, b"abc")
    assert len(server.uploads()[0]["stored_parts"]) == 1


@pytest.mark.parametrize("then", ["html", "bad_json"])
def test_answers_that_are_not_json(server: MockServer, then: str) -> None:
    """200 with a body that is not JSON, and nothing is done."""
    client = Client(server, checked=False)
    server.faults.add(Fault("startUpload", then))
    answer = client.post("upload/multipart", json={"project": "a/b", "name": "x"})
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert server.uploads() == []
    client.close()


def test_a_corrupt_part_has_the_etag_of_its_corrupt_bytes(client: Client, server: MockServer) -> None:
    """One bit differs; only a client that computes the MD5 itself notices."""
    data = bytes(range(256)) * 100
    upload_id = client.start(size=len(data))["upload_id"]
    server.faults.add(Fault("putPart", "corrupt"))
    reports = client.put_all(upload_id, data, len(data))
    done = client.complete(upload_id, reports).json()
    kept = server.file_bytes(done["id"])
    assert reports[0]["response"]["headers"]["ETag"] == f'"{md5(kept)}"'
    assert sum((left ^ right).bit_count() for left, right in zip(kept, data, strict=True)) == 1


def test_storage_that_loses_a_part(client: Client, server: MockServer) -> None:
    """Storage answers with success and does not have the part: completion fails until it is sent again."""
    data = b"abc"
    upload_id = client.start(size=3)["upload_id"]
    server.faults.add(Fault("putPart", "lost_part"))
    reports = client.put_all(upload_id, data, len(data))
    assert reports[0]["response"]["headers"]["ETag"] == f'"{md5(data)}"'
    assert code(client.complete(upload_id, reports)) == (409, 8007)
    client.put_all(upload_id, data, len(data))
    assert client.complete(upload_id, reports).status_code == 201


def test_storage_without_an_etag_or_with_one_that_is_no_md5(client: Client, server: MockServer) -> None:
    """As other clouds answer. The completion needs the ETag that was returned."""
    upload_id = client.start(size=3)["upload_id"]
    server.faults.add(Fault("putPart", "no_etag"), Fault("putPart", "etag", value="0x8DC-1"))
    assert "ETag" not in client.put(upload_id, 1, b"abc").headers
    assert client.put(upload_id, 1, b"abc").headers["ETag"] == '"0x8DC-1"'
    other = [{"part_number": 1, "response": {"headers": {"ETag": md5(b"abc")}}}]
    assert code(client.complete(upload_id, other)) == (409, 8007)
    given = [{"part_number": 1, "response": {"headers": {"ETag": "0x8DC-1"}}}]
    assert client.complete(upload_id, given).status_code == 201


@pytest.mark.parametrize(
    ("then", "status", "word"), [("expired", 403, "Request has expired"), ("expired_token", 400, "ExpiredToken")]
)
def test_storage_that_says_the_url_is_too_old(
    client: Client, server: MockServer, then: str, status: int, word: str
) -> None:
    """S3's two ways to say it, both in XML."""
    upload_id = client.start(size=3)["upload_id"]
    server.faults.add(Fault("putPart", then))
    answer = client.put(upload_id, 1, b"abc")
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/xml")
    assert word in answer.text


def test_faults_over_http(client: Client, server: MockServer) -> None:
    """Clients in other languages can add faults, and read which were hit and what was called."""
    origin = server.origin
    added = client.storage.post(f"{origin}/_mock/faults", json={"on": "listUploads", "then": "status", "status": 500})
    assert added.status_code == 200
    assert client.storage.post(f"{origin}/_mock/faults", json=[{"on": "putPart", "then": "reset"}]).status_code == 200
    answer = client.storage.get(f"{server.base_url}/upload/multipart", headers={"X-SBG-Auth-Token": server.token})
    assert answer.status_code == 500
    script = client.storage.get(f"{origin}/_mock/faults").json()["items"]
    assert [(item["on"], item["seen"], item["fired"]) for item in script] == [("listUploads", 1, 1), ("putPart", 0, 0)]
    assert client.storage.get(f"{origin}/_mock/calls").json()["calls"] == {"listUploads": 1}
    assert client.storage.delete(f"{origin}/_mock/faults").json() == {"items": []}
    client.start()
    assert len(client.storage.get(f"{origin}/_mock/uploads").json()["items"]) == 1
    assert client.storage.post(f"{origin}/_mock/reset").status_code == 200
    assert (server.uploads(), server.files(), dict(server.calls)) == ([], [], {})


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("192.0.2.7", False),
        ("2001:db8::1", False),
        ("", False),
    ],
)
def test_the_mocks_own_endpoints_are_for_its_machine(address: str, near: bool) -> None:
    """A caller from another machine can neither add faults nor read uploads."""
    assert is_loopback(address) == near
    assert not is_loopback(None)


@pytest.mark.parametrize(
    "document",
    [
        "nonsense",
        "7",
        '{"on": "getUpload"}',
        '{"on": "getUpload", "then": "explode"}',
        '{"on": "startUplaod", "then": "status"}',
        '{"on": "", "then": "status"}',
        '{"on": "getUpload", "then": "status", "status": "x"}',
        '{"on": "getUpload", "then": "status", "status": 99}',
        '{"on": "getUpload", "then": "corrupt"}',
        '{"on": "getUpload", "then": "status", "colour": 1}',
        '{"on": "getUpload", "then": "status", "part": 1}',
        '{"on": "getUpload", "then": "status", "times": 0}',
        '{"on": "getUpload", "then": "status", "after": -1}',
        "[[[",
        '{"on": "getUpload", "then": "slow", "bytes_per_second": 0}',
    ],
)
def test_faults_that_make_no_sense_are_refused_with_a_sentence(
    client: Client, server: MockServer, document: str
) -> None:
    """400 and why; the script stays as it was."""
    answer = client.storage.post(f"{server.origin}/_mock/faults", content=document)
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("These faults cannot be taken")
    assert server.faults.to_json() == []


def test_a_misspelt_operation_is_refused_with_the_operations_there_are(client: Client, server: MockServer) -> None:
    """A test with a typing error fails instead of passing without its fault; over HTTP too."""
    with pytest.raises(ValueError, match="there is no operation 'startUplaod'; there are: listUploads, startUpload, "):
        Fault("startUplaod", "reset")
    document = {"on": "startUplaod", "then": "reset"}
    message = client.storage.post(f"{server.origin}/_mock/faults", json=document).json()["message"]
    assert "there are: listUploads, startUpload, " in message
    for place in (*contract.load().operations, "putPart", "getBytes", "*"):
        assert place in message
        assert Fault(place, "reset").on == place


@pytest.mark.parametrize(
    "details",
    [{"part": 1}, {"times": 0}, {"times": -1}, {"after": -1}, {"status": 0}, {"seconds": -1}, {"after_bytes": -1}],
)
def test_a_fault_that_could_never_happen_is_refused(details: dict[str, int]) -> None:
    """For example a part number for an operation without parts, times=0, or an invalid status."""
    with pytest.raises(ValueError, match=r"\w"):
        Fault("listUploads", "status", **details)


def test_a_fault_needs_a_kind_that_exists() -> None:
    """A typing error in a test is an error that lists the kinds."""
    with pytest.raises(ValueError, match="no fault is called 'stal'; there are: status, reset"):
        Fault("putPart", "stal")


@pytest.mark.parametrize("on", ["listUploads", "putPart", "getBytes"])
@pytest.mark.parametrize("then", sorted(KINDS.keys() - {"slow", "delay", "stall"}))
def test_every_fault_that_is_taken_acts(client: Client, server: MockServer, on: str, then: str) -> None:
    """A kind that a place does not support is refused; any other makes its call fail. (Three only slow it down.)"""
    client.upload("done.bin", b"0123456789")
    upload_id = client.start("a.bin", size=10)["upload_id"]
    put = client.part_url(upload_id, 1)
    read = client.get(f"files/{server.files()[0]['id']}/download_info").json()["url"]
    calls: dict[str, Callable[[], httpx.Response]] = {
        "listUploads": lambda: client.get("upload/multipart"),
        "putPart": lambda: client.storage.put(put, content=b"0123456789"),
        "getBytes": lambda: client.storage.get(read),
    }

    def outcome() -> object:
        """The result of the call for the client and in the mock."""
        client.http.event_hooks = {"response": []}
        try:
            answer = calls[on]()
        except httpx.TransportError as error:
            return type(error).__name__
        return answer.status_code, answer.content, answer.headers.get("ETag"), server.uploads()[0]["stored_parts"]

    good = outcome()
    client.delete(f"upload/multipart/{upload_id}")
    put = client.part_url(client.start("a.bin", size=10)["upload_id"], 1)
    try:
        server.faults.add(Fault(on, then))
    except ValueError:
        assert then in STORAGE_ONLY
        assert on != "putPart"
        return
    assert outcome() != good


@pytest.mark.parametrize("then", sorted(KINDS))
def test_the_script_is_consumed_in_order(then: str) -> None:
    """Of two faults for one call the first is used up before the second."""
    faults = Faults([Fault("putPart", then, part=1), Fault("putPart", then, part=None, times=2)])
    taken = [faults.take("putPart", 1) for _ in range(4)]
    assert [None if fault is None else fault.part for fault in taken] == [1, None, None, None]
    assert [fault is None for fault in taken] == [False, False, False, True]


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until it is true; the timeout of the test ends the wait."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.005)


def connections(server: MockServer) -> int:
    """The number of connected clients, according to the server."""
    runner = server._running._runner
    assert runner is not None
    assert runner.server is not None
    return len(runner.server.connections)
