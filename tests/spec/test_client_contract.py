"""The uploader uses the operations and shapes of the document, and new operations break nothing."""

import copy
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from document import Document
from generate import contract

import cavatica_upload
from cavatica_mock import MockServer

ROOT = Path(__file__).resolve().parents[2]
SHA256 = hashlib.sha256((ROOT / "openapi.yaml").read_bytes()).hexdigest()
SHIPPED = ROOT / "src" / "cavatica_upload" / "api" / "contract.json"

NEW = {
    "/upload/raw/{upload_id}": {
        "parameters": [{"name": "upload_id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "put": {
            "operationId": "putRaw",
            "tags": ["uploads"],
            "requestBody": {
                "required": True,
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            },
            "responses": {"200": {"description": "x", "content": {"text/csv": {"schema": {"type": "string"}}}}},
        },
    },
    "/upload/form": {
        "post": {
            "operationId": "postForm",
            "tags": ["uploads"],
            "requestBody": {
                "required": True,
                "content": {
                    "multipart/form-data": {
                        "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
                    }
                },
            },
            "responses": {"2XX": {"description": "x"}},
        },
    },
    "/upload/many": {
        "post": {
            "operationId": "postMany",
            "tags": ["uploads"],
            "parameters": [
                {
                    "name": "kind",
                    "in": "query",
                    "required": True,
                    "schema": {"$ref": "#/components/schemas/KindOfThing"},
                }
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "array", "items": {"type": "string"}}}},
            },
            "responses": {
                "200": {
                    "description": "x",
                    "content": {
                        "application/json": {
                            "schema": {"type": "array", "items": {"$ref": "#/components/schemas/KindOfThing"}}
                        }
                    },
                }
            },
        },
    },
}


def contract_of(document: dict) -> dict:
    """The contract that `make generate` writes for a document."""
    return json.loads(contract(Document(yaml.safe_dump(document, sort_keys=False)), SHA256))


def test_every_operation_is_known(operations):
    """The uploader knows the method, path and success statuses of each operation of the document."""
    shipped = {operation["name"]: operation for operation in json.loads(SHIPPED.read_text())["operations"]}
    assert shipped.keys() == operations.keys()
    for name, operation in operations.items():
        assert shipped[name]["successes"].keys() == {status for status in operation["responses"] if status < "300"}


def test_what_is_shipped_is_what_the_document_makes(document):
    """`contract.json` is what `make generate` writes now."""
    assert contract_of(document) == json.loads(SHIPPED.read_text())


def test_operations_of_every_kind_break_no_upload(document, tmp_path):
    """An upload runs if the document has binary, multipart and array bodies and a required enum parameter."""
    document = copy.deepcopy(document)
    document["paths"] |= NEW
    document["components"]["schemas"]["KindOfThing"] = {"type": "string", "enum": ["one", "two"]}
    package = tmp_path / "cavatica_upload"
    shutil.copytree(Path(cavatica_upload.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    made = contract_of(document)
    assert {"putRaw", "postForm", "postMany"} <= {operation["name"] for operation in made["operations"]}
    (package / "api" / "contract.json").write_text(json.dumps(made))
    (tmp_path / "openapi.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    generate = [
        str(Path(sys.executable).with_name("openapi-python-client")),
        *("generate", "--path", tmp_path / "openapi.yaml", "--config", ROOT / "generator-config.yml"),
        *("--meta", "none", "--output-path", tmp_path / "cavatica_client", "--fail-on-warning"),
    ]
    subprocess.run(generate, check=True, capture_output=True, env={"PATH": str(Path(sys.executable).parent)})
    (tmp_path / "small.txt").write_bytes(b"a few bytes")
    with MockServer() as mock:
        done = subprocess.run(
            [sys.executable, "-m", "cavatica_upload", "upload", "small.txt", "--project", "mlin/rna-pilot"],
            cwd=tmp_path,
            env={
                "PYTHONPATH": str(tmp_path),
                "HOME": str(tmp_path),
                "SB_AUTH_TOKEN": mock.token,
                "SB_API_ENDPOINT": mock.base_url,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert [file["name"] for file in mock.files()] == ["small.txt"]
