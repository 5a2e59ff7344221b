"""`make spec-lint` checks the house rules of openapi.yaml, and the traps of the generator."""

import re
from pathlib import Path

import pytest

from tests.toolbox.conftest import ROOT, Run

TEXT = (ROOT / "openapi.yaml").read_text()
HEADERS = r"headers:\n(?: +X-RateLimit-.*\n +\$ref.*\n)+"
OPERATION = r"(operationId: startUpload\n(?:.*\n)*?)"
BROKEN = [
    (r"      externalDocs:\n(?: {8}.*\n)+", "", "Add `externalDocs`"),
    (rf"{OPERATION}        url: https://docs\.", r"\1        url: https://", "The url of `externalDocs`"),
    (rf"{OPERATION}        description: .*\n", r"\1", "Give `externalDocs` a description"),
    (r"operationId: startUpload", "operationId: start_upload", "a verb and a noun in camelCase"),
    (r"      operationId: startUpload\n", "", "Give the operation an operationId"),
    (r"      security:\n        - authToken: \[\]\n", "", "Add `security"),
    (r"      security:\n        - authToken: \[\]\n", "      security: []\n", "Add `security"),
    (r"        - authToken: \[\]\n", "        - {}\n", "every operation needs the token"),
    (r"tags: \[uploads\]", "tags: [unheard]", "defined in global tags"),
    (r"      tags: \[uploads\]\n", "", "one of the tags"),
    (r"      summary: (.*)\n", r"      summary: \1.\n", "without a full stop"),
    (rf"{OPERATION}      description: [|](?:\n {{8}}.*|\n)+\n {{6}}(?=\S)", r"\1      ", "Give the operation a desc"),
    (rf"{OPERATION}        '403':\n.*\n", r"\1", "Declare the answers that every call can get. 403"),
    (rf"{OPERATION}        '415':\n.*\n", r"\1", "Declare the answers that every call with a body can get. 415"),
    (rf"{OPERATION}        '429':\n.*\n", r"\1", "Declare the answer 429"),
    (rf"{OPERATION}        '403':\n", r"\1        default:\n", "Replace this answer by statuses"),
    (rf"{OPERATION}        '403':\n.*\n", r"\1        '403':\n          description: No.\n", "Move this answer"),
    (r"responses/UploadNotFound'", "responses/Nowhere'", "Can't resolve"),
    (r"(requestBody:\n) .*\n(.*\n)", r"\1\2          text/plain: { schema: { type: string } }\n", "A body of several"),
    (r"(requestBody:\n(?:.*\n)*?) {12}examples:\n(?: {14}.*\n)+", r"\1", "Give the body `examples`"),
    (rf"{OPERATION} +{HEADERS}", r"\1", "Declare the headers X-RateLimit-*"),
    (rf"(\n    UploadNotFound:\n.*\n) +{HEADERS}", r"\1", "Declare the headers X-RateLimit-*"),
    (r"(\n    UploadNotFound:\n(?:.*\n)*?) +X-RateLimit-Reset:\n.*\n", r"\1", "Declare the headers X-RateLimit-*"),
]


@pytest.fixture(scope="module")
def findings(run: Run, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A line for each finding, with file and line; one command lints every broken document."""
    folder = tmp_path_factory.mktemp("broken")
    for number, (old, new, _) in enumerate(BROKEN):
        (folder / f"{number}.yaml").write_text(re.sub(old, new, TEXT, count=1))
    options = ("--config", ROOT / "tools" / "redocly.yaml", "--format", "github-actions", "--max-problems", "1000")
    return run("redocly", "lint", *folder.iterdir(), *options).stdout.splitlines()


@pytest.mark.parametrize("number", range(len(BROKEN)), ids=[told for _, _, told in BROKEN])
def test_a_broken_rule_is_a_sentence(findings: list[str], number: int) -> None:
    """A broken rule is reported with its line and what to do."""
    old, new, told = BROKEN[number]
    broken = re.sub(old, new, TEXT, count=1)
    assert broken != TEXT
    own = [text for text in findings if f"/{number}.yaml," in text]
    found = [line for text in own if told in text for line in re.findall(r"^::error .*,line=(\d+),", text)]
    assert found, own
    assert 1 < int(found[0]) <= broken.count("\n")


def test_an_enum_in_an_answer_is_found(run: Run, tmp_path: Path) -> None:
    """An answer that allows only some values is reported with its line."""
    start = TEXT.index("      properties:\n", TEXT.index("\n    FileDetails:")) + len("      properties:\n")
    path = tmp_path / "openapi.yaml"
    path.write_text(f"{TEXT[:start]}        kind: {{ enum: [a] }}\n{TEXT[start:]}")
    done = run("spectral", "lint", path, "--ruleset", "tools/spectral.yaml", "--fail-severity", "hint")
    assert done.returncode == 1
    line = TEXT[:start].count("\n") + 1
    assert re.search(rf" {line}:\d+ +error .*An answer's `enum` breaks old clients", done.stdout), done.stdout


def test_house_rules(run: Run) -> None:
    """openapi.yaml breaks no rule."""
    done = run("make", "--assume-old=install", "--assume-old=toolbox", "spec-lint")
    assert done.returncode == 0, done.stdout + done.stderr
