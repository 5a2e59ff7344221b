"""The house rules of openapi.yaml, and the traps of the generator."""

import re
from pathlib import Path

import pytest
from house_rules import findings

TEXT = (Path(__file__).resolve().parents[2] / "openapi.yaml").read_text()


def test_house_rules():
    """openapi.yaml breaks no house rule."""
    told = "\n".join(f"openapi.yaml:{finding.line}: {finding.text}" for finding in findings(TEXT))
    assert not told, told


BODIES = "        required: true\n        content:\n          text/plain: { schema: { type: string } }\n"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (r"      externalDocs:\n(?: {8}.*\n)+", "", "startUpload: add `externalDocs`"),
        (r"operationId: startUpload", "operationId: start_upload", "start_upload: give it an operationId"),
        (r"      security:\n        - authToken: \[\]\n", "", "startUpload: add `security"),
        (r"tags: \[uploads\]", "tags: [unheard]", "startUpload: give it one of the tags"),
        (r"        '403':\n.*\n", "", "startUpload: declare the answers 403"),
        (r"        '403':\n", "        default:\n", "startUpload: replace the answer default"),
        (r"responses/UploadNotFound'", "responses/Nowhere'", "leads nowhere"),
        (r"        required: true\n        content:\n", BODIES.replace("true", "false"), "a body of several types"),
        (
            r"(\n    FileDetails:\n(?:.*\n)*?      properties:\n)",
            r"\1        kind: { enum: [a] }\n",
            "an answer's `enum`",
        ),
        (r"          headers:\n(?: {12}.*\n(?: {14}.*\n)*)+", "", "declare the headers X-RateLimit-*"),
    ],
)
def test_a_broken_rule_is_a_sentence(old, new, told):
    """A broken rule is reported with operation, line and what to do."""
    broken = re.sub(old, new, TEXT, count=1)
    assert broken != TEXT
    found = [finding for finding in findings(broken) if told in finding.text]
    assert found, findings(broken)
    assert 1 < found[0].line <= broken.count("\n")
