"""Runs schemathesis' command line, as a user would, and reads the events that it wrote.

Two processes: examples, coverage and fuzzing in one, stateful in the other. Unit phases before it in the same process
make the stateful phase stop early more often, and it says success then; so its scenarios and links are counted too.
"""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tests.contract import document, rules
from tests.contract.answer import SHORT_TOKEN, TOKEN_HEADER, Answer, Request
from tests.contract.client import CallCounts
from tests.contract.findings import Finding, Outcome, layer_of
from tests.contract.server import Target, unproxied
from tests.contract.trace import Steps, from_json

UNIT: Final = ("examples", "coverage", "fuzzing")
STATEFUL: Final = ("stateful",)
LINKS: Final = re.compile(r"API Links:\s+(\d+) covered / (\d+) selected")

# Checks of schemathesis' that see what one of our rules sees: the rule names the cause, whoever finds it.
GENERAL: Final = frozenset({
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "error_body_conformance", "body_where_declared", "rate_limit_headers",
})  # fmt: skip
METHODS: Final = frozenset({"unsupported_method", "undeclared_method", "allow_header_conformance"})


def run(
    target: Target, phases: Sequence[str], seed: int, *, reports: Path | None = None, first: bool = False
) -> Outcome:
    """Run phases of schemathesis on a server. With `first`, stop at the first failure."""
    outcome = Outcome(f"schemathesis {'+'.join(phases)}", own=target.own)
    with tempfile.TemporaryDirectory(prefix="contract-") as folder, outcome.timed():
        events, facts = Path(folder, "events.ndjson"), Path(folder, "facts.json")
        command = [sys.executable, "-m", "schemathesis.cli"]
        command += ["run", str(document.PATH), "--url", target.base_url, "--no-color", "--phases", ",".join(phases)]
        command += ["--seed", str(seed), "--report-ndjson-path", str(events)]
        if reports is not None and len(target.token) >= SHORT_TOKEN:
            command += ["--report", "ndjson,html", "--report-html-path", str(reports / f"schemathesis-{phases[0]}")]
        else:
            command += ["--report", "ndjson"]
        if authorities := os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
            command += [f"--tls-verify={authorities}"]  # it does not read these variables
        command += ["--max-failures", "1", "--no-shrink"] if first else []
        environment = {
            **os.environ,
            **unproxied(target.base_url),
            "CONTRACT_TOKEN": target.token,
            "CONTRACT_TARGET": json.dumps(
                {
                    "url": target.base_url,
                    "project": target.project,
                    "run": target.run,
                    "own": target.own,
                    "facts": str(facts),
                }
            ),
        }
        done = subprocess.run(
            command, cwd=document.ROOT, env=environment, text=True, check=False, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if target.own else None,  # on any other server it says that it waits
            timeout=900 if target.own else None,
        )  # fmt: skip
        written: dict[str, Any] = {"counts": {"seen": [], "puts": 0}, "steps": {}}
        if facts.exists():
            written = json.loads(facts.read_text())
        outcome.counts = CallCounts.from_json(written["counts"])
        steps = {case: tuple(from_json(each)) for case, each in written["steps"].items()}
        prefix = urlsplit(target.base_url).path
        failures = _read(outcome, done.stdout, events, phases, steps, prefix)
        if done.returncode and not failures:
            text = (done.stdout + (done.stderr or "")).strip()
            outcome.found(
                "schemathesis ends without an error", Finding("schemathesis", f"{_reason(done.stdout)}: {text[-3000:]}")
            )
    return outcome


def _read(
    outcome: Outcome, printed: str, events: Path, phases: Sequence[str], steps: dict[str, Steps], prefix: str
) -> int:
    """Add the events to the outcome. Returns their number of failures, those of a gateway included."""
    operations, scenarios, failures = set(), 0, 0
    for event in _events(events):
        finished = event.get("ScenarioFinished")
        if finished is None:
            continue
        recorder = finished["recorder"]
        if finished["phase"] == "stateful":
            scenarios += bool(recorder.get("interactions"))
        else:
            operations.add((finished["phase"], finished.get("label") or recorder["label"]))
        for case, check, failure in _failures(recorder):
            failures += 1
            found = steps.get(case) or ()
            if not found:  # a request that the check sent by itself, after the one of its parent
                parent = recorder.get("cases", {}).get(case, {}).get("parent_id", "")
                sent = _recorded(recorder["interactions"].get(case), check, prefix)
                found = (*steps.get(parent, ())[:-1], *sent)
            outcome.found(f"{check} ({failure['operation']})", _finding(check, failure, found, own=outcome.own))
    for phase, label in sorted(operations):
        outcome.found(f"{phase}: {label}", None)
    if "stateful" in phases:
        links = LINKS.search(printed)
        outcome.facts["scenarios"] = scenarios
        outcome.facts["links"] = [int(number) for number in links.groups()] if links else [0, 0]
    else:
        outcome.facts["cases"] = _number(r"(\d+) generated", printed)
    return failures


def _finding(check: str, failure: dict[str, Any], steps: Steps, *, own: bool) -> Finding:
    """A failure as a finding. If a rule of ours is broken too, it gets the name of the rule."""
    wrong = f"{failure['title']}. {failure['message']}".strip()
    if not steps:
        return Finding(check, f"{failure['operation']}: {wrong}")
    answer = steps[-1]
    if check in METHODS and (broken := rules.other_method(answer)):
        check, wrong = broken
    elif check in GENERAL:
        check, wrong = next(iter(rules.breaches(answer, own=own)), (check, wrong))
    layer, kind = layer_of(answer, check)
    return Finding(check, wrong, answer, layer, steps, kind=kind)


def _events(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        with path.open() as lines:
            for line in lines:
                yield json.loads(line)


def _failures(recorder: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The id of the case, the check and the failure."""
    for case, checks in recorder.get("checks", {}).items():
        for check in checks:
            if check.get("failure_info"):
                failure = check["failure_info"]["failure"]
                yield failure.get("case_id") or case, check["name"], failure


def _recorded(interaction: dict[str, Any] | None, check: str, prefix: str) -> Steps:
    """A request that a check of schemathesis sent itself, without a token or with an invalid one."""
    if interaction is None:
        return ()
    sent, came = interaction["request"], interaction.get("response") or {}
    headers = {name: values[0] for name, values in sent.get("headers", {}).items()}
    if TOKEN_HEADER in headers and check == "ignored_auth":
        headers[TOKEN_HEADER] = "no-token-at-all"
    url = urlsplit(sent["uri"])
    target = url.path + (f"?{url.query}" if url.query else "")
    body = base64.b64decode(sent["body"]["$base64"]) if "body" in sent else None
    path = url.path.removeprefix(prefix)
    request = Request(sent["method"], f"{url.scheme}://{url.netloc}", target, path, headers, body)
    received = {name.lower(): ", ".join(values) for name, values in came.get("headers", {}).items()}
    content = base64.b64decode(came["content"]["$base64"]) if came.get("content") else b""
    return (Answer(request, document.find(request.method, path), came.get("status_code", 0), received, content),)


def _reason(printed: str) -> str:
    """What made schemathesis fail without a failed check: an error, or a warning that counts as one."""
    for line in printed.splitlines():
        if match := re.match(r"\s*(?:🚫|⚠️?|❌)\s+(.+?):? ?\d*$", line):
            return match[1][:60]
    return "schemathesis"


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match[1]) if match else 0
