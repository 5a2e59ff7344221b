"""Sends the requests of a finding again, with the ids that the server gives this time.

    python -m tests.contract replay NUMBER

reads `findings.json` of the last run. A server that ran for the suite alone is started again; for any other, BASE_URL
may name a new one and TOKEN is needed.
"""

import contextlib
import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from tests.contract import rules
from tests.contract.answer import Answer, Broken, Request
from tests.contract.client import ApiClient
from tests.contract.findings import Cause
from tests.contract.options import Options, UsageError
from tests.contract.reproduce import SHORT_TOKEN
from tests.contract.requests import CLAIMS
from tests.contract.requests import client as raw_client
from tests.contract.requests.client import exchange
from tests.contract.server import Target, started
from tests.contract.trace import GIVEN, encoded, from_json, to_json

HIDDEN: Final = {"token": "{{TOKEN}}", "other_token": "{{OTHER_TOKEN}}"}
VARYING: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z?|https?://[^\"\s]+|[0-9A-Za-z]{20,}")


def save(path: Path, causes: Sequence[Cause], target: Target) -> None:
    """Write every finding with its requests. Tokens are left out."""
    entries = [
        {
            "check": cause.shown.check,
            "wrong": _without_tokens(cause.shown.wrong, target),
            "claim": cause.shown.claim,
            "steps": json.loads(_without_tokens(json.dumps(_readable(cause.shown.steps, target)), target)),
        }
        for cause in causes
    ]
    server = {"base_url": target.base_url, "start": target.start, "run": target.run}
    path.write_text(json.dumps({"server": server, "findings": entries}, indent=1))


def run(number: str, options: Options, say: Callable[[str], None] = print) -> int:
    """Send a finding's requests again. 0: it is not seen any more. 1: it is. Raises UsageError."""
    path = options.reports / "findings.json"
    try:
        saved = json.loads(path.read_text())
    except FileNotFoundError:
        raise UsageError(f"{path} is not there: run `make contract` first.") from None
    findings = saved["findings"]
    if not number.isdigit() or not 1 <= int(number) <= len(findings):
        raise UsageError(f"{path} has the findings 1 to {len(findings)}; {number} is none of them.")
    finding = findings[int(number) - 1]
    if not finding["steps"]:
        raise UsageError(f"Finding {number} is not about one answer: {finding['wrong'][:200]}")
    with _server(saved["server"], options) as target:
        say(f"{number}. {finding['check']}: {finding['wrong']}\n")
        steps = from_json(_with_tokens(finding["steps"], target))
        answer, names = send(steps, target, saved["server"]["run"], say)
        seen = same_fault(steps[-1], answer, names) or fails_again(finding["claim"], finding["check"], target)
    shown = answer.body[:2000].decode("utf-8", "replace")
    say(f"\n{shown}\n\n{'Seen again.' if seen else 'Not seen again.'}")
    return 1 if seen else 0


def send(
    steps: Sequence[Answer], target: Target, old_run: str, say: Callable[[str], None] = lambda _: None
) -> tuple[Answer, dict[str, str]]:
    """Send the steps to a server. The last answer, and what took the place of each id."""
    parts = urlsplit(target.base_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    names = {steps[0].request.origin: origin, urlsplit(steps[0].request.origin).netloc: parts.netloc}
    if not target.own:  # the names of that run may be taken
        names[f"contract-{old_run}-"] = f"contract-{secrets.token_hex(3)}-"
    with contextlib.closing(target.api(judge=False)) as api:
        for step in steps:
            answer = _sent(_renamed(step.request, names), api)
            say(f"{step.request.method} {step.request.target[:100]} -> {answer.status} (then {step.status})")
            names.update(_given(step, answer))
    return answer, names


def same_fault(old: Answer, new: Answer, names: dict[str, str]) -> bool:
    """Whether an answer is wrong in the way that another was."""
    broken = next(iter(rules.breaches(old)), None)
    if broken is not None:
        return broken[0] in [name for name, _ in rules.breaches(new)]
    if old.status != new.status:
        return False
    total = "x-total-matching-query"
    return old.headers.get(total) == new.headers.get(total) and _plain(old, names) == _plain(new, {})


def fails_again(claim: str, check: str, target: Target) -> bool:
    """Whether a claim of the raw requests, by the name of its function, is broken in the way that it was."""
    found = [each for each in CLAIMS if each.__name__ == claim]
    return check in [finding.check for finding in raw_client.run(target, found).findings] if found else False


def _sent(request: Request, api: ApiClient) -> Answer:
    try:
        return exchange(request, None) if request.sent is not None else api.replay(request)
    except Broken as broken:
        if broken.answer is None:
            raise
        return broken.answer


def _renamed(request: Request, names: dict[str, str]) -> Request:
    url = _replaced(request.origin + request.target, names)
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    body, sent = (
        None if data is None else _replaced(data.decode("latin-1"), names).encode("latin-1")
        for data in (request.body, request.sent)
    )
    path = _replaced(request.path, names)
    return attrs.evolve(request, origin=origin, target=url.removeprefix(origin), path=path, body=body, sent=sent)


def _replaced(text: str, names: dict[str, str]) -> str:
    if not names:
        return text
    pattern = "|".join(re.escape(each) for each in sorted(names, key=len, reverse=True))
    return re.sub(pattern, lambda match: names[match[0]], text)


def _given(old: Answer, new: Answer) -> dict[str, str]:
    try:
        before, now = json.loads(old.body), json.loads(new.body)
    except ValueError:
        return {}
    if not isinstance(before, dict) or not isinstance(now, dict):
        return {}
    keys = GIVEN & before.keys() & now.keys()
    pairs = {str(before[key]): str(now[key]) for key in keys if len(str(before[key])) > 7}
    return pairs | {encoded(old): encoded(new) for old, new in pairs.items() if old.isalnum()}


def _plain(answer: Answer, names: dict[str, str]) -> str:
    """The body without what differs from run to run."""
    text = _replaced(answer.body.decode("utf-8", "replace"), names)
    text = re.sub(r"contract-[0-9a-z]+-", "contract-", text)
    return VARYING.sub("*", text)


@contextlib.contextmanager
def _server(saved: dict[str, Any], options: Options) -> Iterator[Target]:
    given = options.given_target()
    if given is not None:
        yield given
    elif saved["start"]:
        with started([*saved["start"], "--port", "0"]) as target:
            yield target
    elif options.token is None:
        raise UsageError(
            f"The finding is of {saved['base_url']}: give TOKEN, as in TOKEN=… python -m tests.contract replay 1"
        )
    else:
        yield attrs.evolve(options, base_url=saved["base_url"]).given_target()  # type: ignore[misc]


def _readable(steps: Sequence[Answer], target: Target) -> list[dict[str, Any]]:
    """The steps with the tokens' places marked, within bodies too."""
    marks = _marks(target)

    def marked(data: bytes | None) -> bytes | None:
        for token, mark in marks.items():
            data = None if data is None else data.replace(token.encode(), mark.encode())
        return data

    hidden = []
    for step in steps:
        headers = {name: _mark(value, marks, target) for name, value in step.request.headers.items()}
        request = attrs.evolve(
            step.request, headers=headers, body=marked(step.request.body), sent=marked(step.request.sent)
        )
        hidden.append(attrs.evolve(step, request=request, body=marked(step.body) or b""))
    return to_json(hidden)


def _marks(target: Target) -> dict[str, str]:
    tokens = {target.token: HIDDEN["token"], target.other_token or "": HIDDEN["other_token"]}
    return {token: mark for token, mark in tokens.items() if len(token) >= SHORT_TOKEN}


def _mark(value: str, marks: dict[str, str], target: Target) -> str:
    if value == target.token:
        return HIDDEN["token"]
    for token, mark in marks.items():
        value = value.replace(token, mark)
    return value


def _without_tokens(text: str, target: Target) -> str:
    for token, mark in _marks(target).items():
        text = text.replace(token, mark)
    return text


def _with_tokens(steps: list[dict[str, Any]], target: Target) -> list[dict[str, Any]]:
    marks = {HIDDEN["token"]: target.token, HIDDEN["other_token"]: target.other_token or "0" * 32}
    found = []
    for step in from_json(steps):
        body, sent = (
            None if data is None else _replaced(data.decode("latin-1"), marks).encode("latin-1")
            for data in (step.request.body, step.request.sent)
        )
        headers = {name: _replaced(value, marks) for name, value in step.request.headers.items()}
        target_ = _replaced(step.request.target, marks)
        request = attrs.evolve(step.request, headers=headers, body=body, sent=sent, target=target_)
        found.append(attrs.evolve(step, request=request))
    return to_json(found)
