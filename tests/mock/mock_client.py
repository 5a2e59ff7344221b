"""The client of the mock's tests: httpx, and a check of every answer against openapi.yaml."""

import hashlib
from collections.abc import Iterator
from typing import Any

import httpx

from cavatica_mock import MockServer, contract

RATE_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def check_answer(response: httpx.Response) -> None:
    """Check that the document declares the answer: its status, headers, type and schema."""
    request = response.request
    response.read()
    target = request.url.raw_path.decode("ascii").partition("?")[0]
    assert target.startswith("/v2")
    document = contract.load()
    match = document.match(target.removeprefix("/v2"))
    if match is None or request.method not in match[0]:
        return
    operation = match[0][request.method]
    item = document.document["paths"][operation.template]
    declared = item[operation.method.lower()]["responses"].get(str(response.status_code))
    assert declared is not None, f"{operation.id} answered {response.status_code}, which is not declared"
    declared = document.resolve(declared)
    for name, header in declared.get("headers", {}).items():
        header = document.resolve(header)
        assert name in response.headers or not header.get("required", False), f"{operation.id}: no {name}"
        if name in response.headers:
            document.compile(header["schema"]).validate(int(response.headers[name]))
    if "content" not in declared:
        assert response.content == b""
        return
    assert response.headers["Content-Type"] == "application/json"
    schema = declared["content"]["application/json"]["schema"]
    document.compile(schema, formats=True).validate(response.json())


class Client:
    """A user of the mock. Paths are relative to the base URL."""

    def __init__(self, server: MockServer, token: str | None = None, *, checked: bool = True) -> None:
        hooks: dict[str, Any] = {"response": [check_answer]} if checked else {}
        self.server = server
        # verify=False: no certificates are loaded, which is most of what making a client costs.
        self.http = httpx.Client(
            base_url=server.base_url + "/",
            headers={"X-SBG-Auth-Token": token or server.token},
            event_hooks=hooks,
            verify=False,
            timeout=None,
        )
        self.storage = httpx.Client(verify=False, timeout=None)

    def close(self) -> None:
        self.http.close()
        self.storage.close()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.http.post(path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.http.delete(path, **options)

    def start(self, name: str = "a.bam", *, overwrite: str | None = None, **body: Any) -> dict[str, Any]:
        """Start an upload into `mlin/pilot`, unless the body has another destination."""
        if "parent" not in body:
            body.setdefault("project", "mlin/pilot")
        query = {} if overwrite is None else {"overwrite": overwrite}
        response = self.post("upload/multipart", json={"name": name, **body}, params=query)
        assert response.status_code == 200, response.text
        return dict(response.json())

    def part_url(self, upload_id: str, number: int) -> str:
        response = self.get(f"upload/multipart/{upload_id}/part/{number}")
        assert response.status_code == 200, response.text
        return str(response.json()["url"])

    def put(self, upload_id: str, number: int, data: bytes) -> httpx.Response:
        return self.storage.put(self.part_url(upload_id, number), content=data)

    def put_all(self, upload_id: str, data: bytes, part_size: int) -> list[dict[str, Any]]:
        """Put every part; return their reports."""
        reports = []
        for number, block in blocks(data, part_size):
            response = self.put(upload_id, number, block)
            assert response.status_code == 200, response.text
            reports.append(report(number, response.headers["ETag"]))
        return reports

    def complete(self, upload_id: str, reports: list[dict[str, Any]] | None = None) -> httpx.Response:
        options: dict[str, Any] = {} if reports is None else {"json": {"parts": reports}}
        return self.post(f"upload/multipart/{upload_id}/complete", **options)

    def upload(self, name: str, data: bytes, part_size: int | None = None, **body: Any) -> dict[str, Any]:
        """Upload a file; return the answer of its completion."""
        started = self.start(name, size=len(data), **({} if part_size is None else {"part_size": part_size}), **body)
        reports = self.put_all(started["upload_id"], data, started["part_size"])
        response = self.complete(started["upload_id"], reports)
        assert response.status_code == 201, response.text
        return dict(response.json())

    def reported(self, upload_id: str) -> dict[int, str]:
        """The ETags by part number, as `list_parts` shows them."""
        response = self.get(f"upload/multipart/{upload_id}", params={"list_parts": "true"})
        assert response.status_code == 200, response.text
        shown = response.json()
        assert shown["uploaded_parts_count"] == len(shown["parts"])
        return {part["part_number"]: part["response"]["headers"]["ETag"] for part in shown["parts"]}


def blocks(data: bytes, size: int) -> Iterator[tuple[int, bytes]]:
    """Parts with their numbers; an empty file is one empty part."""
    for number, start in enumerate(range(0, max(1, len(data)), size), start=1):
        yield number, data[start : start + size]


def report(number: int, etag: str) -> dict[str, Any]:
    return {"part_number": number, "response": {"headers": {"ETag": etag}}}


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def code(response: httpx.Response) -> tuple[int, int]:
    """Status and platform code; the body repeats the status and has the platform's four keys."""
    body = response.json()
    assert set(body) == {"status", "code", "message", "more_info"}
    assert body["status"] == response.status_code
    assert body["more_info"].endswith(f"#{body['code']}")
    return response.status_code, body["code"]
