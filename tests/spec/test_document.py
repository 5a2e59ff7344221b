"""openapi.yaml keeps its own house rules."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

LIFE_OF_AN_UPLOAD = [
    "startUpload",
    "listUploads",
    "getPartUrl",
    "reportUploadedPart",
    "getUpload",
    "reportUploadedParts",
    "abortUpload",
    "completeUpload",
]


def schemas_within(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below `node`, with the path that leads to it; references are not followed."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from schemas_within(item, f"{path}/{index}")
        return
    if not isinstance(node, dict):
        return
    if "type" in node and isinstance(node["type"], str | list):
        yield path, node
    for key, value in node.items():
        if key not in ("example", "examples", "const", "enum"):
            yield from schemas_within(value, f"{path}/{key}")


def test_the_document_is_valid(document):
    """The document is OpenAPI 3.1 by the official meta-schema."""
    assert document["openapi"].startswith("3.1.")
    validate(document)


def test_the_operations_of_the_protocol_are_there(operations):
    """The nine operations that the project began with are in the document, and the file they lead to."""
    assert set(operations) >= {*LIFE_OF_AN_UPLOAD, "getRateLimit", "getFile"}


def test_paths_follow_the_life_of_an_upload(operations):
    """The document reads top-down: the operations on uploads come first, in the order of an upload's life."""
    assert list(operations)[: len(LIFE_OF_AN_UPLOAD)] == LIFE_OF_AN_UPLOAD


def test_every_operation_is_told(operations, document):
    """An operation has a camelCase verb-noun id, a summary without full stop, a description, a tag that is declared."""
    tags = {tag["name"] for tag in document["tags"]}
    for name, operation in operations.items():
        assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", name), name
        assert operation["summary"], name
        assert not operation["summary"].endswith("."), name
        assert operation["description"].strip(), name
        assert set(operation["tags"]) <= tags, name
        assert operation["externalDocs"]["url"].startswith("https://docs."), name


def test_every_operation_asks_for_the_token_itself(operations, document):
    """The token is asked for by each operation too, since the generator overlooks the document's own `security`."""
    assert document["security"] == [{"authToken": []}]
    for name, operation in operations.items():
        assert operation["security"] == [{"authToken": []}], name


def test_every_operation_lists_its_errors(operations):
    """Every call can meet a bad token, a missing right and a service that is down; a counted one the rate limit."""
    for name, operation in operations.items():
        expected = {"401", "403", "503"} | ({"429"} if name != "getRateLimit" else set())
        expected |= {"400", "415"} if "requestBody" in operation else set()
        assert expected <= set(operation["responses"]), name


def test_no_default_responses(operations):
    """No `default:` response, which would hide an undocumented status from every check."""
    for name, operation in operations.items():
        assert all(re.fullmatch(r"[1-5]\d\d", status) for status in operation["responses"]), name


def test_errors_are_named_responses(operations, document):
    """Every error of every operation is one of the named responses, each with an example that carries a code."""
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            if status >= "400":
                assert list(response) == ["$ref"], f"{name} {status}"
    for name, response in document["components"]["responses"].items():
        media = response["content"]["application/json"]
        assert media["schema"] == {"$ref": "#/components/schemas/ApiError"}, name
        assert all("code" in example["value"] for example in media["examples"].values()), name


def test_every_counted_answer_declares_the_rate_limit(operations, document):
    """Each answer to a token declares the three rate-limit headers."""
    headers = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            if "$ref" in response:
                response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
            if status != "401":
                assert headers <= set(response["headers"]), f"{name} {status}"


def test_links_lead_somewhere(operations):
    """Every link names an operation, says when to follow it, and gives parameters of that operation as strings."""
    links = [
        (name, link)
        for name, operation in operations.items()
        for response in operation["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert {target["operationId"] for source, target in links if source == "startUpload"} == {
        "getPartUrl",
        "reportUploadedPart",
        "reportUploadedParts",
        "getUpload",
        "completeUpload",
        "abortUpload",
    }
    for source, link in links:
        assert link["operationId"] in operations, source
        assert link["description"].startswith("Follow it"), source
        assert all(isinstance(value, str) for value in link["parameters"].values()), source


def test_every_schema_has_a_description_and_an_example(document):
    """Each named schema is described and shown."""
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name
        assert schema.get("examples"), name


def test_every_scalar_has_a_description_and_an_example(document):
    """Each scalar that the document spells out is described and shown, wherever it stands."""
    scalars = {"string", "integer", "boolean", "number"}
    for path, schema in schemas_within(document["components"]):
        kinds = {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
        if kinds & scalars and "/anyOf/" not in path and "/securitySchemes/" not in path:
            assert schema.get("description"), path
            assert schema.get("examples"), path


@pytest.mark.parametrize(
    ("schema", "limits"),
    [
        ("FileName", {"minLength": 1, "maxLength": 255, "pattern": "^[^/]+$"}),
        ("PartNumber", {"minimum": 1, "maximum": 10_000}),
        ("FileSize", {"minimum": 0, "maximum": 5 * 2**40, "format": "int64"}),
        ("PreferredPartSize", {"minimum": 5 * 2**20, "maximum": 5 * 2**30, "format": "int64"}),
    ],
)
def test_known_limits_are_written_down(document, schema, limits):
    """The limits that the platform is known to have stand in the schema."""
    assert limits.items() <= document["components"]["schemas"][schema].items()


def test_servers(document):
    """CAVATICA comes first and the mock last; the version is in the path of each."""
    urls = [server["url"] for server in document["servers"]]
    assert urls[0] == "https://cavatica-api.sbgenomics.com/v2"
    assert urls[-1] == "http://127.0.0.1:8080/v2"
    assert all(url.endswith("/v2") for url in urls)


def test_disagreements_of_the_sources_are_named():
    """The points on which the sources disagree are marked where they matter."""
    text = (Path(__file__).resolve().parents[2] / "openapi.yaml").read_text()
    assert text.count("# Sources disagree") >= 12


def test_no_component_is_unused(document):
    """Nothing is defined that nothing refers to."""
    text = str(document)
    for kind in ("schemas", "parameters", "headers", "responses", "examples"):
        for name in document["components"][kind]:
            assert f"#/components/{kind}/{name}'" in text, f"{kind}/{name}"
