"""The reference page: one file without external resources, and each operation with code that runs."""

import copy
import hashlib
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
import yaml
from document import Document
from reference import Samples

from cavatica_mock import MockServer
from cavatica_mock import http as mock_http
from tests.toolbox.conftest import ROOT, Run

TEXT = (ROOT / "openapi.yaml").read_text()
OPERATIONS = [operation["operationId"] for _, _, operation in Document(TEXT).operations()]
CHROMIUM = shutil.which("chromium")
BYTES = b"GATTACA"
ETAG = hashlib.md5(BYTES, usedforsecurity=False).hexdigest()


@pytest.fixture(scope="module")
def page(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, newly made."""
    path = tmp_path_factory.mktemp("docs") / "reference.html"
    done = run("python", "tools/reference.py", path)
    assert done.returncode == 0, done.stderr
    return path


def test_the_same_bytes_twice(page, run, tmp_path):
    """The page has the same bytes every time."""
    assert run("python", "tools/reference.py", tmp_path / "again.html").returncode == 0
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_nothing_is_loaded_from_outside(page):
    """No script, style, font or picture is loaded from elsewhere."""
    found = []

    class Loads(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(v for k, v in attrs if k == "src" or (k == "href" and tag != "a"))

    Loads().feed(page.read_text())
    assert [value for value in found if value and "//" in value] == []
    assert "cdn.redoc" not in page.read_text()


def test_the_mock_serves_it(page, monkeypatch, cavatica_mock):
    """`cavatica-mock serve` has the page at /docs, or says how to make it."""
    monkeypatch.setattr(mock_http, "PAGE", page)
    found = httpx.get(f"{cavatica_mock.origin}/docs")
    assert (found.status_code, found.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert found.content == page.read_bytes()
    monkeypatch.setattr(mock_http, "PAGE", page.with_name("missing.html"))
    missing = httpx.get(f"{cavatica_mock.origin}/docs")
    assert missing.status_code == 404
    assert "make docs" in missing.text


def browse(page: Path, anchor: str, folder: Path, *options: str) -> str:
    """The page at an anchor as Chromium shows it, without DNS."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"]
    offline = ["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=20000"]
    address = f"{page.as_uri()}{anchor}"
    return subprocess.run(
        [*command, *offline, *options, "--dump-dom", address], check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_reached_by_its_link(page, name, tmp_path):
    """A deep link shows the operation, the fields of its body and its samples, without a network."""
    operation = next(found[2] for found in Document(TEXT).operations() if found[2]["operationId"] == name)
    dom = browse(page, f"#/{operation['tags'][0]}/{name.lower()}", tmp_path)
    shown = re.sub(r"<(script|style)\b.*?</\1>", "", dom, flags=re.DOTALL)
    text = re.sub(r"<[^>]+>", " ", shown)
    assert f'aria-label="link to {operation["summary"]}"' in dom, "the heading of its section, not of a menu"
    fields = {
        "startUpload": ["part_size", "parent", "md5"], "createFolder": ["parent"], "reportUploadedParts": ["parts"],
        "editFiles": ["file_id", "tags"],
    }  # fmt: skip
    for field in fields.get(name, []):
        assert re.search(rf"\b{field}\b", text), field
    assert "X-SBG-Auth-Token: $SB_AUTH_TOKEN" in text, "its sample for curl"


REPORT = {"part_number": 1, "response": {"headers": {"ETag": ETAG}}}


class World:
    """A mock with the objects of the samples: an upload with one part in storage, a file, an empty folder."""

    def __init__(self, mock: MockServer) -> None:
        http = httpx.Client(base_url=mock.base_url, headers={"X-SBG-Auth-Token": mock.token})
        self.upload = self._put(http, "sample-08.cram")
        done = self._put(http, "sample-07.cram")
        body = {"parts": [REPORT]}
        self.file = http.post(f"/upload/multipart/{done}/complete", json=body).raise_for_status().json()["id"]
        folder = {"name": "batch", "project": "mlin/rna-pilot", "type": "folder"}
        self.folder = http.post("/files", json=folder).raise_for_status().json()["id"]
        http.close()

    def _put(self, http: httpx.Client, name: str) -> str:
        body = {"project": "mlin/rna-pilot", "name": name, "size": len(BYTES)}
        started = http.post("/upload/multipart", json=body).raise_for_status().json()["upload_id"]
        url = http.get(f"/upload/multipart/{started}/part/1").raise_for_status().json()["url"]
        httpx.put(url, content=BYTES).raise_for_status()
        return str(started)

    def document(self, mock: MockServer, name: str) -> Document:
        """The document, with the objects of this mock in its examples."""
        spec = copy.deepcopy(yaml.safe_load(TEXT))
        spec["servers"][0]["url"] = mock.base_url
        for parameter in spec["components"]["parameters"].values():
            if parameter["name"] == "upload_id":
                parameter["schema"] = {"examples": [self.upload]}
            if parameter["name"] == "file_id":
                parameter["schema"] = {"examples": [self.folder if name == "listFolder" else self.file]}
        document = Document(yaml.safe_dump(spec, sort_keys=False))
        bodies = {
            "reportUploadedPart": REPORT,
            "reportUploadedParts": {"parts": [REPORT]},
            "completeUpload": {"parts": [REPORT]},
            "createFolder": {"name": "new", "parent": self.folder, "type": "FOLDER"},
            "editFiles": {"items": [{"id": self.file, "metadata": {"sample_id": "sample-07"}}]},
        }
        for _, _, operation in document.operations():
            if operation["operationId"] == name and name in bodies:
                media = operation["requestBody"]["content"]["application/json"]
                media["examples"] = {"real": {"value": bodies[name]}}
        return document


@pytest.mark.parametrize("way", ["curl", "generated client", "connect()"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_sample_runs(name, way, cavatica_mock, tmp_path, monkeypatch, capsys):
    """The code of each operation calls the mock with success."""
    document = World(cavatica_mock).document(cavatica_mock, name)
    path, method, operation = next(found for found in document.operations() if found[2]["operationId"] == name)
    code = Samples(document).of(path, method, operation)[way]
    monkeypatch.setenv("SB_AUTH_TOKEN", cavatica_mock.token)
    monkeypatch.setenv("SB_API_ENDPOINT", cavatica_mock.base_url)
    monkeypatch.setenv("CAVATICA_STATE_DIR", str(tmp_path))
    before = cavatica_mock.calls[name]
    if way == "curl":
        command = code.replace("curl ", "curl --silent --show-error --fail-with-body ", 1)
        done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"
    else:
        exec(code.replace("your authentication token", cavatica_mock.token), names := {})
        names["client"].get_httpx_client().close()
        assert "ApiError" not in capsys.readouterr().out
    assert cavatica_mock.calls[name] == before + 1
