"""The rate limit over a real socket."""

import httpx
from mock_client import Client, code

from cavatica_mock import MockServer


def test_the_limit_counts_down_refuses_and_starts_anew() -> None:
    """Every answer has the headers, calls over the limit get 429/1000, and a new window starts at the reset."""
    now = [1_700_000_000.25]
    with MockServer(rate_limit=(4, 10), clock=lambda: now[0]) as server:
        client = Client(server)
        upload_id = client.start(size=3)["upload_id"]
        url = client.part_url(upload_id, 1)
        for _ in range(5):
            status = client.get("rate_limit")
            assert status.json()["rate"] == {"limit": 4, "remaining": 2, "reset": 1_700_000_011}
            assert status.headers["X-RateLimit-Remaining"] == "2"
            assert client.storage.put(url, content=b"abc").status_code == 200
        missing = client.get("upload/multipart/unknown")
        assert (missing.status_code, missing.headers["X-RateLimit-Remaining"]) == (404, "1")
        assert client.get("upload/multipart").headers["X-RateLimit-Remaining"] == "0"
        refused = client.get("upload/multipart")
        assert code(refused) == (429, 1000)
        assert refused.headers["X-RateLimit-Remaining"] == "0"
        assert refused.headers["X-RateLimit-Reset"] == "1700000011"
        assert "Retry-After" not in refused.headers
        assert client.get("rate_limit").status_code == 200
        now[0] = 1_700_000_011
        assert client.get("upload/multipart").headers["X-RateLimit-Remaining"] == "3"
        client.close()


def test_a_call_without_a_token_costs_nobody_anything() -> None:
    """401 and 404 for an unknown path are not counted."""
    with MockServer(rate_limit=(5, 10)) as server:
        client = Client(server)
        httpx.get(f"{server.base_url}/upload/multipart", verify=False)
        client.get("nothing/here")
        assert client.get("rate_limit").json()["rate"]["remaining"] == 5
        client.close()


def test_without_a_limit_the_headers_are_there_and_nothing_is_counted(client: Client) -> None:
    """The headers say -1, so that no client waits."""
    for _ in range(3):
        headers = client.get("upload/multipart").headers
        assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("-1", str(2**63 - 1))
