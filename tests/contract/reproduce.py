"""Sends the requests of a finding again: as lines for a shell, or by `python -m tests.contract replay NUMBER`.

For a shell, one request is a `curl`, or a `printf … | nc` if curl would change it. Several are a sequence that keeps
the ids of each answer in variables. Tokens stand as `$TOKEN`. A server that ran for the suite alone is started first.

`replay` reads `findings.json` of the last run and sends the requests with the ids that the server gives this time.
"""

import contextlib
import json
import re
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from tests.contract import rules
from tests.contract.answer import SHORT_TOKEN, TOKEN_HEADER, Answer, Broken, Request
from tests.contract.client import ApiClient
from tests.contract.findings import Cause
from tests.contract.options import Options, UsageError
from tests.contract.requests.client import CLAIMS, exchange
from tests.contract.requests.client import run as run_claims
from tests.contract.server import Target, started
from tests.contract.trace import GIVEN, Steps, encoded, from_json, given, repeats, text_of, to_json

PORT: Final = 8097  # of a server that is started again
MAX_STEPS: Final = 12
MAX_LENGTH: Final = 4000  # characters of a body or a head; longer ones are sent by `replay`
UNSENT: Final = frozenset(
    {"user-agent", "accept-encoding", "connection", "content-length", "x-schemathesis-testcaseid", "host"}
)
FIELD: Final = """field() { python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }"""
VARYING: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z?|https?://[^\"\s]+|[0-9A-Za-z]{20,}")
Names = Mapping[str, str]  # the variable of each value; an empty one stands for the server's address


def script(steps: Steps, target: Target) -> str | None:
    """A shell script that sends the steps and shows the last answer. None if no shell can."""
    if not steps or len(steps) > MAX_STEPS:
        return None
    lines: list[str] = []
    names = _token_names(target)
    if target.start:
        names[target.origin] = ""
        names[urlsplit(target.origin).netloc] = ""
        tokens = " ".join(f"{name}={shlex.quote(token)}" for token, name in target.tokens.items())
        lines += [f"export {tokens}  # of this server only"]
        lines += [f"{shlex.join(target.start)} --port {PORT} &"]
        lines += [f"curl -s -o /dev/null --retry 20 --retry-delay 1 --retry-connrefused {_address(target)}/"]
    for number, step in enumerate(steps, 1):
        command = _netcat(step.request, target, names) if step.request.sent else curl(step.request, target, names)
        if command is None:
            return None
        later = [text_of(each.request) for each in steps[number:]]
        kept = [value for value in given(step) if any(repeats(text, value) for text in later)]
        if number == len(steps):
            lines.append(command)
        elif not kept:
            lines.append(f"{command} -o /dev/null")
        else:
            if FIELD not in lines:
                lines.insert(0, FIELD)
            for value in kept:
                name = names[value] = f"{_key(step, value).upper()}_{number}"
                if value.isalnum():
                    names[encoded(value)] = f"""$(printf '%%%02X' "'${name}")${{{name}#?}}"""
            key, name = _key(step, kept[0]), names[kept[0]]
            lines.append(f"{name}=$({command.replace('curl -si', 'curl -s', 1)} | field {key})")
    return "\n".join(lines + (["kill $!"] if target.start else []))


def curl(request: Request, target: Target, names: Names | None = None) -> str | None:
    """One request for curl. None if curl cannot send it as it was."""
    names = _token_names(target) if names is None else names
    url = request.origin + request.target
    if not re.fullmatch(r"[\x21-\x7e]+", url) or len(url) > MAX_LENGTH or request.method == "CONNECT" or "#" in url:
        return None
    words = ["curl -si -g --path-as-is --max-time 30"]
    words += ["-I"] if request.method == "HEAD" else ["-X", shlex.quote(request.method)]
    words.append(_quoted(url, names, target))
    headers = {name: value for name, value in request.headers.items() if name.lower() not in UNSENT}
    for name, value in headers.items():
        if not re.fullmatch(r"[\x20-\x7e]*", value):
            return None
        if name.lower() == TOKEN_HEADER.lower() and value in target.tokens:
            words += ["-H", f'"{name}: ${target.tokens[value]}"']
        else:
            words += ["-H", _quoted(f"{name}: {value}" if value.strip() else f"{name};", names, target)]
    body = request.body if request.body is not None or request.method not in ("POST", "PUT") else b""
    if body is None:
        return " ".join(words)
    if len(body) > MAX_LENGTH:
        return None
    words += [] if "content-type" in map(str.lower, headers) else ["-H", "'Content-Type:'"]
    text = body.decode(errors="replace")
    if "\0" in text or text.encode() != body:
        return f"printf '%b' {shlex.quote(_escaped(body))} | {' '.join(words)} --data-binary @-"
    return f"{' '.join(words)} --data-raw {_quoted(text, names, target)}"


def _netcat(request: Request, target: Target, names: Names) -> str | None:
    """A request that was written by hand, byte for byte."""
    assert request.sent is not None
    if len(request.sent) > MAX_LENGTH:
        return None
    formats, words = [], []
    for piece, name in _split(request.sent.decode("latin-1"), {**names, **target.tokens}):
        formats.append("%s" if name else "%b")
        text = _address(target, piece) if name == "" else piece
        words.append(f'"${name}"' if name else shlex.quote(_escaped(text.encode("latin-1"))))
    parts = urlsplit(_address(target))
    if parts.scheme == "https":
        to = f"openssl s_client -quiet -connect {parts.hostname}:{parts.port or 443} 2>/dev/null"
    else:
        to = f"nc -w 10 {parts.hostname} {parts.port or 80}"
    return f"printf '{''.join(formats)}' {' '.join(words)} | {to}"


def _token_names(target: Target) -> dict[str, str]:
    return {token: name for token, name in target.tokens.items() if len(token) >= SHORT_TOKEN}


def _address(target: Target, like: str = "://") -> str:
    """The server's origin for the reader of the script, or its host and port alone if `like` has no scheme."""
    origin = f"http://127.0.0.1:{PORT}" if target.start else target.origin
    return origin if "://" in like else urlsplit(origin).netloc


def _quoted(text: str, names: Names, target: Target) -> str:
    """A word of a shell, with variables in the place of the values that have a name."""
    words = []
    for piece, name in _split(text, names):
        if name is None:
            words.append(shlex.quote(piece))
        elif name:
            words.append(f'"{name}"' if name.startswith("$(") else f'"${{{name}}}"')
        else:
            words.append(_address(target, piece))
    return "".join(words) or "''"


def _split(text: str, names: Names) -> list[tuple[str, str | None]]:
    """The text in pieces, each with the name of its value or None."""
    if not names:
        return [(text, None)]
    pieces = re.split(f"({_any_of(names)})", text)
    return [(piece, names[piece] if index % 2 else None) for index, piece in enumerate(pieces) if piece]


def _any_of(values: Mapping[str, str]) -> str:
    return "|".join(re.escape(value) for value in sorted(values, key=len, reverse=True))


def _key(step: Answer, value: str) -> str:
    return str(next(key for key, each in step.json().items() if each == value))


def _escaped(data: bytes) -> str:
    """Bytes for printf's %b."""
    known = {0x0D: "\\r", 0x0A: "\\n", 0x5C: "\\\\"}
    return "".join(known.get(byte, chr(byte) if 0x20 <= byte < 0x7F else f"\\0{byte:03o}") for byte in data)


def save(path: Path, causes: Sequence[Cause], target: Target) -> None:
    """Write every finding with its requests, for `replay`. Tokens are left out."""
    findings = [
        {
            "check": cause.shown.check,
            "wrong": cause.shown.wrong,
            "claim": cause.shown.claim,
            "steps": to_json(_without_short_token(step, target) for step in cause.shown.steps),
        }
        for cause in causes
    ]
    server = {"base_url": target.base_url, "start": target.start, "run": target.run}
    path.write_text(target.without_tokens(json.dumps({"server": server, "findings": findings}, indent=1)))


def _without_short_token(step: Answer, target: Target) -> Answer:
    headers = {name: "$TOKEN" if value == target.token else value for name, value in step.request.headers.items()}
    return attrs.evolve(step, request=attrs.evolve(step.request, headers=headers))


def replay(number: str, options: Options, say: Callable[[str], None] = print) -> int:
    """Send a finding's requests again. 0: the answer is right this time. 1: it is as wrong. Raises UsageError."""
    path = options.reports / "findings.json"
    server, findings = _saved(path)
    if not number.isdecimal() or not 1 <= int(number) <= len(findings):
        raise UsageError(f"{path} has the findings 1 to {len(findings)}, not {number}.")
    finding = findings[int(number) - 1]
    if not finding["steps"]:
        raise UsageError(f"Finding {number} has no requests: {finding['wrong'][:200]}")
    with _server(server, options) as target:
        say(f"{number}. {finding['check']}: {finding['wrong']}\n")
        text = json.dumps(finding["steps"]).replace("$OTHER_TOKEN", target.other_token or "0" * 32)
        steps = from_json(json.loads(text.replace("$TOKEN", target.token)))
        answer, names = _send(steps, target, server["run"], say)
        seen = same_fault(steps[-1], answer, names) or _fails_again(finding["claim"], finding["check"], target)
    shown = answer.body[:2000].decode("utf-8", "replace")
    say(f"\n{shown}\n\n{'Reproduced.' if seen else 'Not reproduced.'}")
    return 1 if seen else 0


def _saved(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What `save` wrote: the server and the findings. Raises UsageError."""
    try:
        saved = json.loads(path.read_text())
        server = {key: saved["server"][key] for key in ("base_url", "start", "run")}
        findings = [{key: each[key] for key in ("check", "wrong", "claim", "steps")} for each in saved["findings"]]
        for each in findings:
            from_json(each["steps"])
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist. Run `make contract` first.") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise UsageError(f"{path} was not written by this version. Run `make contract` again.") from None
    return server, findings


@contextlib.contextmanager
def _server(saved: dict[str, Any], options: Options) -> Iterator[Target]:
    """The server that BASE_URL names, the one of the run if it can be started again, or the one at its address."""
    if options.base_url is None and saved["start"]:
        with started([*saved["start"], "--port", "0"]) as target:
            yield target
        return
    if options.token is None:
        url = options.base_url or saved["base_url"]
        raise UsageError(f"TOKEN is needed for {url}: TOKEN=… python -m tests.contract replay NUMBER")
    yield attrs.evolve(options, base_url=options.base_url or saved["base_url"]).given_target()  # type: ignore[misc]


def _send(
    steps: Sequence[Answer], target: Target, old_run: str, say: Callable[[str], None]
) -> tuple[Answer, dict[str, str]]:
    """Send the steps to a server. The last answer, and what replaced each id."""
    old = steps[0].request.origin
    names = {old: target.origin, urlsplit(old).netloc: urlsplit(target.origin).netloc}
    if not target.own:  # the names of that run may be taken
        names[f"contract-{old_run}-"] = f"contract-{secrets.token_hex(3)}-"
    with contextlib.closing(target.api(judge=False)) as api:
        for step in steps:
            answer = _sent(_renamed(step.request, names), api)
            say(f"{step.request.method} {step.request.target[:100]} -> {answer.status} (then {step.status})")
            names.update(_replaced_ids(step, answer))
    return answer, names


def _sent(request: Request, api: ApiClient) -> Answer:
    try:
        return exchange(request, None) if request.sent is not None else api.replay(request)
    except Broken as broken:
        if broken.answer is None:
            raise
        return broken.answer


def _renamed(request: Request, names: Names) -> Request:
    url = _replaced(request.origin + request.target, names)
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    body, sent = (
        None if data is None else _replaced(data.decode("latin-1"), names).encode("latin-1")
        for data in (request.body, request.sent)
    )
    path = _replaced(request.path, names)
    return attrs.evolve(request, origin=origin, target=url.removeprefix(origin), path=path, body=body, sent=sent)


def _replaced(text: str, names: Names) -> str:
    return re.sub(_any_of(names), lambda match: names[match[0]], text) if names else text


def _replaced_ids(old: Answer, new: Answer) -> dict[str, str]:
    """The ids and URLs of an answer with those that the new answer has in their place."""
    try:
        before, now = json.loads(old.body), json.loads(new.body)
    except ValueError:
        return {}
    if not isinstance(before, dict) or not isinstance(now, dict):
        return {}
    keys = GIVEN & before.keys() & now.keys()
    pairs = {str(before[key]): str(now[key]) for key in keys if len(str(before[key])) > 7}
    return pairs | {encoded(old): encoded(new) for old, new in pairs.items() if old.isalnum()}


def same_fault(old: Answer, new: Answer, names: Names) -> bool:
    """Whether an answer is wrong in the same way as another. `names` has the ids that were replaced."""
    broken = next(iter(rules.breaches(old)), None)
    if broken is not None:
        return broken[0] in [name for name, _ in rules.breaches(new)]
    if old.status != new.status:
        return False
    total = "x-total-matching-query"
    return old.headers.get(total) == new.headers.get(total) and _plain(old, names) == _plain(new, {})


def _fails_again(claim: str, check: str, target: Target) -> bool:
    """Whether a claim of the raw requests, by the name of its function, fails with the same check."""
    found = [each for each in CLAIMS if each.__name__ == claim]
    return bool(found) and check in [finding.check for finding in run_claims(target, found).findings]


def _plain(answer: Answer, names: Names) -> str:
    """The body without what differs from run to run."""
    text = _replaced(answer.body.decode("utf-8", "replace"), names)
    return VARYING.sub("*", re.sub(r"contract-[0-9a-z]+-", "contract-", text))
