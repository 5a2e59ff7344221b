"""What a run leaves in reports/: a summary in Markdown, and JUnit XML for CI."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.contract import document
from tests.contract.call_counts import CallCounts
from tests.contract.findings import Outcome
from tests.contract.forced_statuses import UNREACHABLE


def write(folder: Path, outcomes: Sequence[Outcome], seed: int, server: str, *, name: str = "contract") -> None:
    """Write the summary and the JUnit file, `contract.md` and `contract.xml`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(markdown(outcomes, seed, server))
    ET.ElementTree(junit(outcomes)).write(folder / f"{name}.xml", encoding="utf-8", xml_declaration=True)


def markdown(outcomes: Sequence[Outcome], seed: int, server: str) -> str:
    """The whole run on one page."""
    total = CallCounts.of(outcome.counts for outcome in outcomes)
    findings = [finding for outcome in outcomes for finding in outcome.findings]
    seconds = sum(outcome.seconds for outcome in outcomes)
    lives = total.lives
    lines = [
        "# Contract report",
        "",
        f"{'FAILED' if findings else 'Passed'}: {server}, seed {seed}.",
        f"{total.calls} calls, {total.puts} puts, {seconds:.0f} s: {total.calls / max(seconds, 0.001):.0f} calls/s.",
        f"Uploads started {lives['started']}, completed {lives['completed']}, aborted {lives['aborted']}.",
        "",
        "| phase | cases | findings | calls | puts | seconds | calls/s | |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
        *(_phase(outcome) for outcome in outcomes),
        "",
    ]
    if findings:
        lines += ["## Findings", ""]
        for finding in findings:
            lines += [f"### {finding.check}", "", finding.message, ""]
            lines += ["```sh", finding.reproduce, "```", ""] if finding.reproduce else []
    lines += ["## Operations", "", "| operation | calls | statuses seen | declared, never seen |", "|---|---:|---|---|"]
    missing = total.never_seen()
    for operation in document.operations().values():
        seen = total.statuses(operation.id)
        shown = ", ".join(f"{status} x {count}" for status, count in seen.items())
        never = ", ".join(str(status) for name, status in missing if name == operation.id)
        lines.append(f"| {operation.id} | {sum(seen.values())} | {shown} | {never} |")
    lines += ["", "Never seen, and why: "]
    lines += [f"- {name} {status}: {why}." for (name, status), why in UNREACHABLE.items() if (name, status) in missing]
    return "\n".join(lines) + "\n"


def _phase(outcome: Outcome) -> str:
    calls, seconds = outcome.counts.calls, outcome.seconds
    facts = ", ".join(_fact(name, value) for name, value in outcome.facts.items())
    cells = (
        outcome.phase, len(outcome.claims), len(outcome.findings), calls, outcome.counts.puts, f"{seconds:.1f}",
        f"{calls / max(seconds, 0.001):.0f}", facts,
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def _fact(name: str, value: object) -> str:
    if name == "links" and isinstance(value, list):
        return f"{value[0]} of {value[1]} links"
    if isinstance(value, dict):
        return f"{len(value)} kinds of {'outcome' if name == 'reached' else name} reached"
    return f"{value} {name}"


def junit(outcomes: Sequence[Outcome]) -> ET.Element:
    """One suite a phase, one case a claim."""
    root = ET.Element("testsuites", name="contract")
    for outcome in outcomes:
        suite = ET.SubElement(
            root, "testsuite", name=outcome.phase, tests=str(len(outcome.claims)), errors="0",
            failures=str(len(outcome.findings)), time=f"{outcome.seconds:.3f}",
        )  # fmt: skip
        for name, finding in outcome.claims:
            case = ET.SubElement(suite, "testcase", classname=f"contract.{outcome.phase}", name=_clean(name))
            if finding is not None:
                failure = ET.SubElement(case, "failure", type=finding.check, message=_clean(finding.message[:500]))
                failure.text = _clean(f"{finding.message}\n\n{finding.reproduce}")
    return root


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return "".join(char if char in "\t\n" or " " <= char < "\ud800" or char > "\ue000" else "�" for char in text)
