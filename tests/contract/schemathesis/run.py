"""Runs schemathesis' command line, as a user would, and reads what it wrote.

Two processes: examples, coverage and fuzzing in one, stateful in the other. Unit phases before it in the same process
make the stateful phase stop early more often, and it says success then; so its scenarios and links are counted too.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tests.contract import document
from tests.contract.call_counts import CallCounts
from tests.contract.findings import Finding, Outcome
from tests.contract.server import Target

UNIT: Final = ("examples", "coverage", "fuzzing")
STATEFUL: Final = ("stateful",)
LINKS: Final = re.compile(r"API Links:\s+(\d+) covered / (\d+) selected")
ANSWER_TIME: Final = 10  # seconds


def run(
    target: Target,
    phases: Sequence[str],
    seed: int,
    *,
    reports: Path | None = None,
    first: bool = False,
    examples: int | None = None,
    config: Path | None = None,
) -> Outcome:
    """Run phases of schemathesis on a server. `first` stops at the first failure."""
    outcome = Outcome(f"schemathesis {'+'.join(phases)}")
    with tempfile.TemporaryDirectory(prefix="contract-") as folder, outcome.timed():
        events, counts = Path(folder, "events.ndjson"), Path(folder, "counts.json")
        formats = "ndjson,junit" if reports else "ndjson"
        command = [sys.executable, "-m", "schemathesis.cli"]
        command += ["--config-file", str(config)] if config else []
        command += ["run", str(document.PATH), "--url", target.base_url, "--no-color", "--phases", ",".join(phases)]
        command += ["--seed", str(seed), "--report", formats, "--report-ndjson-path", str(events)]
        if reports:
            command += ["--report-junit-path", str(reports / f"schemathesis-{phases[0]}.xml")]
        if first:
            command += ["--max-failures", "1", "--no-shrink"]
        if examples:
            command += ["--max-examples", str(examples)]
        environment = {
            **os.environ,
            **target.environment(),
            "CONTRACT_TALLY": str(counts),
            "PYTHONPATH": str(document.ROOT),
        }
        done = subprocess.run(
            command, cwd=document.ROOT, env=environment, capture_output=True, text=True, check=False, timeout=900
        )
        if counts.exists():
            outcome.counts = CallCounts.from_json(json.loads(counts.read_text()))
        _read(outcome, done.stdout, events, phases)
        if done.returncode and not outcome.findings:
            text = (done.stdout + done.stderr).strip()
            outcome.found("schemathesis ends well", Finding(_reason(done.stdout), text[-3000:], " ".join(command)))
    return outcome


def _read(outcome: Outcome, printed: str, events: Path, phases: Sequence[str]) -> None:
    operations, scenarios, seen = set(), 0, set()
    for event in _events(events):
        finished = event.get("ScenarioFinished")
        if finished is None:
            continue
        recorder = finished["recorder"]
        if finished["phase"] == "stateful":
            scenarios += bool(recorder.get("interactions"))
        else:
            operations.add((finished["phase"], finished.get("label") or recorder["label"]))
        for check, failure in _failures(recorder):
            key = check, failure["operation"], failure["title"]
            if key not in seen:
                seen.add(key)
                message = f"{failure['operation']}: {failure['title']}. {failure['message']}"
                outcome.found(f"{check} ({failure['operation']})", Finding(check, message, _shown(printed, failure)))
    for phase, label in sorted(operations):
        outcome.found(f"{phase}: {label}", None)
    if "stateful" in phases:
        links = LINKS.search(printed)
        outcome.facts["scenarios"] = scenarios
        outcome.facts["links"] = [int(number) for number in links.groups()] if links else [0, 0]
    else:
        outcome.facts["cases"] = _number(r"(\d+) generated", printed)


def _events(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        with path.open() as lines:
            for line in lines:
                yield json.loads(line)


def _failures(recorder: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for checks in recorder.get("checks", {}).values():
        for check in checks:
            if check.get("failure_info"):
                yield check["name"], check["failure_info"]["failure"]


def _shown(printed: str, failure: dict[str, Any]) -> str:
    """The commands that schemathesis printed for the first failure with this title."""
    _, _, rest = printed.partition(failure["title"])
    _, found, commands = rest.partition("Reproduce with:")
    return "\n".join(line.strip() for line in commands.strip().split("\n\n")[0].splitlines()) if found else ""


def _reason(printed: str) -> str:
    """What made schemathesis fail where no check did: an error, or a warning that counts as one."""
    for line in printed.splitlines():
        if match := re.match(r"\s*(?:🚫|⚠️?|❌)\s+(.+?):? ?\d*$", line):
            return match[1][:60]
    return "schemathesis"


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match[1]) if match else 0
