"""The reports of a run: a summary in Markdown, JUnit XML for CI, and the requests of findings for `replay`."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.contract import document, reproduce
from tests.contract.client import CallCounts
from tests.contract.findings import Cause, Outcome, causes, notes
from tests.contract.forced_statuses import UNREACHABLE
from tests.contract.server import Target


def write(folder: Path, outcomes: Sequence[Outcome], seed: int, target: Target, *, name: str = "contract") -> None:
    """Write the summary, the JUnit file and the requests: `contract.md`, `contract.xml`, `findings.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(hidden(markdown(outcomes, seed, target), target))
    xml = ET.tostring(junit(outcomes), encoding="unicode", xml_declaration=True)
    (folder / f"{name}.xml").write_text(hidden(xml, target), encoding="utf-8")
    if name == "contract":
        reproduce.save(folder / "findings.json", causes(outcomes), target)


def hidden(text: str, target: Target) -> str:
    """The text without tokens, unless they are those of a server that ran for the suite alone."""
    return text if target.start else target.without_tokens(text)


def describe(number: int, cause: Cause, target: Target, *, replayable: bool = True) -> str:
    """A finding for the terminal: what is wrong, how often and where, and lines that reproduce it."""
    shown = cause.shown
    times = "once" if cause.times == 1 else f"{cause.times} times"
    lines = [f"{number}. {shown.check}, {times}: {shown.wrong[:1000]}", f"   seen on: {cause.seen_on[:600]}"]
    if shown.answer is not None and shown.answer.status and shown.answer.by_gateway:
        lines.append(
            "   It looks as if a gateway answered, not the API: the body and the headers are not those of its errors."
        )
    script = reproduce.script(shown.steps, target)
    if script is None and shown.steps and replayable:
        script = f"python -m tests.contract replay {number}"
    moves = f"\n{shown.moves[:2500]}" if shown.moves else ""
    text = "\n".join(lines) + "".join(f"\n     {each}" for each in ((script or "") + moves).splitlines())
    return hidden(text, target)


def note_line(cause: Cause) -> str:
    """A note in one line."""
    return f"{cause.shown.kind}: {cause.shown.message[:160]}" + (f" ({cause.times} times)" if cause.times > 1 else "")


def markdown(outcomes: Sequence[Outcome], seed: int, target: Target) -> str:
    """The whole run on one page."""
    total = CallCounts.of(outcome.counts for outcome in outcomes)
    found, gateway = causes(outcomes), notes(outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    lives = total.lives
    lines = [
        "# Contract report",
        "",
        f"{'FAILED' if found else 'Passed'}: {target.base_url}, seed {seed}.",
        f"{total.calls} calls, {total.puts} puts, {seconds:.0f} s: {total.calls / max(seconds, 0.001):.0f} calls/s.",
        f"Uploads started {lives['started']}, completed {lives['completed']}, aborted {lives['aborted']}.",
        "",
        "| phase | cases | findings | calls | puts | seconds | calls/s | |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
        *(_phase(outcome) for outcome in outcomes),
        "",
    ]
    if found:
        lines += ["## Findings", ""]
        for number, cause in enumerate(found, 1):
            head, _, script = describe(number, cause, target).partition("\n     ")
            lines += [head, ""] + (
                ["```sh", *(each.strip() for each in script.splitlines()), "```", ""] if script else []
            )
    if gateway:
        lines += ["## Notes", "", "Requests that no client sends, which a gateway may answer in its own way.", ""]
        lines += [*(f"- {note_line(note)}" for note in gateway), ""]
    few = [f"- {outcome.phase}: {message}" for outcome in outcomes for message in outcome.too_few]
    lines += ["## Not tried enough", "", *few, ""] if few else []
    lines += [
        "## Operations",
        "",
        "| operation | calls | statuses seen | declared but not seen |",
        "|---|---:|---|---|",
    ]
    missing = total.never_seen()
    for operation in document.operations().values():
        seen = total.statuses(operation.id)
        shown = ", ".join(f"{status} x {count}" for status, count in seen.items())
        never = ", ".join(str(status) for name, status in missing if name == operation.id)
        lines.append(f"| {operation.id} | {sum(seen.values())} | {shown} | {never} |")
    lines += ["", "Declared statuses that cannot be seen, and why:"]
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
    """One test suite for each phase, one case for each claim."""
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
                failure.text = _clean(f"{finding.message}\n\n{finding.moves}".strip())
    return root


def _clean(text: str) -> str:
    """The text without characters that XML cannot contain."""
    return "".join(char if char in "\t\n" or " " <= char < "\ud800" or char > "\ue000" else "�" for char in text)
