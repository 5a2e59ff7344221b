"""What openapi.yaml describes, and how."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_spec_validator import validate

from cavatica_mock.errors import CODES

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
    """Yield every schema below `node` with its path, without following references."""
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
    """The operations of an upload are in the document."""
    assert set(operations) >= {*LIFE_OF_AN_UPLOAD, "getRateLimit", "getFile"}


def test_paths_follow_the_life_of_an_upload(operations):
    """The operations on uploads come first, in the order of an upload's life."""
    assert list(operations)[: len(LIFE_OF_AN_UPLOAD)] == LIFE_OF_AN_UPLOAD


def test_the_document_asks_for_the_token(document):
    """The document as a whole requires the token; house rules check that each operation does too."""
    assert document["security"] == [{"authToken": []}]


def test_errors_are_named_responses(operations, document):
    """Every error is a named response, and its examples have its status and a matching code."""
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            if status >= "400":
                assert list(response) == ["$ref"], f"{name} {status}"
                named = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
                for example in named["content"]["application/json"]["examples"].values():
                    assert str(example["value"]["status"]) == status, f"{name} {status}"
                    assert CODES[example["value"]["code"]][0] == int(status), f"{name} {status}"
    for name, response in document["components"]["responses"].items():
        media = response["content"]["application/json"]
        assert media["schema"] == {"$ref": "#/components/schemas/ApiError"}, name
        assert media["examples"], name


def test_an_error_is_shown_where_it_happens(operations, resolved):
    """The examples of an error fit its operation: operations on files show no error of uploads."""
    families = {"uploads": {8, 5, 3, 90}, "files": {5, 3, 90}, "projects": {3, 90}, "rate-limit": {90}}
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            tag = operation["tags"][0]
            if status < "400" or status in ("429", "503") or tag not in families:
                continue
            for example in resolved(response)["content"]["application/json"]["examples"].values():
                code = example["value"]["code"]
                assert code // 1000 in families[tag], f"{name} {status} shows {code}, which no operation of {tag} gives"


def test_schema_of_a_body_has_no_example(operations, resolved):
    """Each JSON has examples at its operation and status, and none in its schema, which mock servers would prefer."""
    for name, operation in operations.items():
        for body in (operation.get("requestBody", {}), *operation["responses"].values()):
            media = resolved(body).get("content", {}).get("application/json")
            if media is None:
                continue
            assert media["examples"], name
            for choice in media["schema"].get("anyOf", [media["schema"]]):
                assert "examples" not in resolved(choice), name


def test_a_list_shows_the_link_to_its_next_page(operations):
    """The example of a list has a `next` link with an address."""
    pages = operations["listFiles"]["responses"]["200"]["content"]["application/json"]["examples"]
    (link,) = next(iter(pages.values()))["value"]["links"]
    assert link["rel"] == "next"
    assert "offset=2" in link["href"]


def test_every_counted_answer_declares_the_rate_limit(operations, resolved):
    """Each answer except 401 declares the three rate-limit headers.

    They are required in successes and in 429, and optional in errors that a gateway or a maintenance page may send.
    """
    headers = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}
    for name, operation in operations.items():
        for status, response in operation["responses"].items():
            if status == "401":
                continue
            for header in headers:
                required = resolved(resolved(response)["headers"][header]).get("required", False)
                assert required == (status < "300" or status == "429"), f"{name} {status}"


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


def test_every_schema_has_a_description(document):
    """Each named schema has a description, and one without named properties has an example."""
    for name, schema in document["components"]["schemas"].items():
        assert schema.get("description"), name
        assert schema.get("examples") or "properties" in schema, name


def test_every_scalar_has_a_description_and_an_example(document):
    """Each scalar has a description and an example."""
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
        ("PartSize", {"minimum": 1, "maximum": 5 * 2**30, "format": "int64"}),
    ],
)
def test_known_limits_are_written_down(document, schema, limits):
    """The known limits of the platform are in the schemas."""
    assert limits.items() <= document["components"]["schemas"][schema].items()


def test_servers(document):
    """CAVATICA is the first server and the mock the last; each path has the version."""
    urls = [server["url"] for server in document["servers"]]
    assert urls[0] == "https://cavatica-api.sbgenomics.com/v2"
    assert urls[-1] == "http://127.0.0.1:8080/v2"
    assert all(url.endswith("/v2") for url in urls)


def descriptions(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every description below `node` with its path."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from descriptions(item, f"{path}/{index}")
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "description" and isinstance(value, str):
                yield path, value
            elif key not in ("examples", "example"):
                yield from descriptions(value, f"{path}/{key}")


def labelled(document: Any, label: str) -> str:
    """All paragraphs of all descriptions that start with a label."""
    return "\n".join(
        " ".join(paragraph.split())
        for _, text in descriptions(document)
        for paragraph in text.split("\n\n")
        if paragraph.startswith(f"**{label}:**")
    )


@pytest.mark.parametrize(
    "point",
    [
        "201",
        "A name that is taken",
        "`application_json`",
        "a slash at the end of the path",
        "Python client sends `id`",
        "The CAVATICA page sends `FOLDER`",
        "The vendor's OpenAPI answers 200, without `project`",
        "only forbids two underscores",
        "keeps 5 MiB",
        "stay as they are",
        "require `project`",
        "`success_codes`",
        "ISO 8601 string",
        "double quotes",
        "The default is 50",
        "5 minutes on most pages",
        "milliseconds",
        "8004 and 8005",
        "int32",
    ],
)
def test_disagreements_of_the_sources_are_named(document, point):
    """The descriptions name each point on which the sources disagree."""
    assert point in labelled(document, "Sources disagree")


@pytest.mark.parametrize(
    "point",
    [
        "the last report counts",
        "Every part but the last has exactly",
        "the upload stays open",
        "Nothing is visible in the project",
        "completed or aborted upload is not found",
        "takes all reports or none",
        "follow from their meanings",
    ],
)
def test_what_is_inferred_is_marked(document, point):
    """The descriptions mark what no source says."""
    assert point in labelled(document, "Inferred")
    for path, text in descriptions(document):
        for paragraph in text.split("\n\n"):
            if point in " ".join(paragraph.split()):
                assert paragraph.startswith("**Inferred:**"), path


@pytest.mark.parametrize(
    ("schema", "point"),
    [
        ("Md5", "never checks it"),
        ("PartReportResponse", "double quotes"),
        ("PartNumber", "for an empty file it is 1"),
        ("PreferredPartSize", "replaces a value that does not suit it"),
    ],
)
def test_what_client_authors_need_is_described(document, schema, point):
    """What a client author has to know is in a description, which every tool shows."""
    found = [" ".join(text.split()) for _, text in descriptions(document["components"]["schemas"][schema])]
    assert any(point in text for text in found)


def test_every_language_can_read_the_patterns_and_numbers(document):
    """There is no lookaround (for Go and RE2), no number that JavaScript rounds, and no YAML alias."""

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("pattern"), str):
                assert not re.search(r"\(\?[=!<]", node["pattern"]), node
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
        elif isinstance(node, int):
            assert abs(node) < 2**53

    walk(document)
    text = (Path(__file__).resolve().parents[2] / "openapi.yaml").read_text()
    assert not [event for event in yaml.parse(text) if isinstance(event, yaml.AliasEvent)], (
        "SnakeYAML allows few aliases"
    )


def test_no_component_is_unused(document):
    """Every component is used."""
    text = str(document)
    for kind in ("schemas", "parameters", "headers", "responses"):
        for name in document["components"][kind]:
            assert f"#/components/{kind}/{name}'" in text, f"{kind}/{name}"


def test_contact(document):
    """The document names a contact."""
    assert document["info"]["contact"]["url"].startswith("https://")
