"""`make upstream-diff` reports what the vendor changed, without the known mistakes of its exports."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.toolbox.conftest import ROOT, Run

VENDOR = ROOT / "tests" / "toolbox" / "vendor"
GROUPS = ("upload", "files", "rate_limit")
LEFT_OUT = {
    "PATCH /files/{}: the vendor has it (update-file-details), this document does not",
    "PUT /files/{}/metadata: the vendor has it (overwrite-a-files-metadata), this document does not",
    "POST /files/{}/actions/copy: the vendor has it (copy-a-file), this document does not",
    "listFiles: parameter metadata.{field} is only in the vendor's (optional)",
    "listFiles: parameter origin.task is only in the vendor's (optional)",
    "listFiles: parameter tag is only in the vendor's (optional)",
}
"""What this contract leaves out on purpose: it is about uploads."""


def told(output: str) -> set[str]:
    """The printed differences, without the known ones."""
    return {line for line in output.splitlines() if line and not line.startswith("(")}


def test_known_mistakes_are_counted(run: Run) -> None:
    """For the vendor's exports only what this contract leaves out is reported, and every known mistake occurs."""
    done = run("python", "tools/upstream_diff.py", *(VENDOR / f"{group}.yaml" for group in GROUPS))
    assert done.returncode == 1, done.stderr
    unchanged = {f"{VENDOR / group}.yaml: nothing differs." for group in ("upload", "rate_limit")}
    assert told(done.stdout) == LEFT_OUT | unchanged
    reasons = set(re.findall(r"(?m)^\(\d+ left out: (.+)\)$", done.stdout))
    source = (ROOT / "tools" / "upstream_diff.py").read_text()
    known = source[source.index("KNOWN = {") : source.index('"""Differences that are mistakes')]
    assert len(reasons) == known.count('    r"')
    assert all(reason in known for reason in reasons)


def body(spec: Any) -> Any:
    """The keys of the body of startUpload."""
    operation = spec["paths"]["/upload/multipart"]["post"]
    return operation["requestBody"]["content"]["application/json"]["schema"]["properties"]


def answer(spec: Any, path: str, method: str) -> Any:
    """The keys of an answer."""
    return spec["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]["properties"]


COMPLETE = "/upload/multipart/{upload_id}/complete"
CHANGES: list[tuple[Callable[[Any], object], str]] = [
    (lambda s: body(s).update(storage_class={"type": "string"}),
     "startUpload: body key storage_class is only in the vendor's (string)"),
    (lambda s: body(s)["size"].update(type="string", format="decimal"),
     "startUpload: body key size is string in the vendor's, integer (int64) here"),
    (lambda s: body(s).pop("md5"), "startUpload: body key md5 is only here"),
    (lambda s: answer(s, COMPLETE, "post").update(checksum={"type": "string"}),
     "completeUpload: answer 200 key checksum is only in the vendor's (string)"),
    (lambda s: answer(s, COMPLETE, "post")["size"].update(type="string"),
     "completeUpload: answer 200 key size is string in the vendor's, integer (int64) here"),
    (lambda s: s["paths"]["/upload/multipart"]["get"]["parameters"].append(
        {"name": "project", "in": "query", "required": True, "schema": {"type": "string"}}),
     "listUploads: parameter project is only in the vendor's (required)"),
    (lambda s: s["paths"]["/upload/multipart"]["post"]["responses"].update({"202": {"description": "202"}}),
     "startUpload: answer 202 is only in the vendor's (declared)"),
    (lambda s: s["paths"].update({"/upload/multipart/{upload_id}/pause": {"post": {"operationId": "pause"}}}),
     "POST /upload/multipart/{}/pause: the vendor has it (pause), this document does not"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), CHANGES, ids=[sentence for _, sentence in CHANGES])
def test_changes_of_the_vendor_are_reported(
    change: Callable[[Any], object], sentence: str, run: Run, tmp_path: Path
) -> None:
    """One change in an export, as JSON, is one sentence."""
    spec = yaml.safe_load((VENDOR / "upload.yaml").read_text())
    spec = json.loads(json.dumps(spec))  # without anchors, so that a change applies in one place
    change(spec)
    path = tmp_path / "vendor.json"
    path.write_text(json.dumps(spec))
    done = run("python", "tools/upstream_diff.py", path)
    assert done.returncode == 1, done.stderr
    assert told(done.stdout) == {sentence}
