"""Prints what a finding takes to be seen again, as lines for a shell.

One request is a `curl`, or a `printf … | nc` if curl would tidy it up. Several are a sequence that keeps the ids of
each answer in variables. A server that ran for the suite alone is started first. Tokens stand as `$TOKEN`.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import attrs

from tests.contract.answer import TOKEN_HEADER, Answer, Request
from tests.contract.trace import Steps, encoded, given, repeats

PORT: Final = 8097  # of a server that is started again
MOST_STEPS: Final = 12
LONGEST: Final = 4000  # characters of a body or a head; longer ones are sent by `replay`
SHORT_TOKEN: Final = 8  # characters; a shorter one may be part of any word
UNSENT: Final = frozenset(
    {"user-agent", "accept-encoding", "connection", "content-length", "x-schemathesis-testcaseid", "host"}
)
FIELD: Final = """field() { python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }"""


@attrs.frozen
class Scene:
    """Where a finding was made: the origin, the tokens with their variables, and how to start the server again."""

    origin: str
    tokens: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    start: tuple[str, ...] = ()

    @property
    def served(self) -> str:
        """The origin for who sees it again."""
        return f"http://127.0.0.1:{PORT}" if self.start else self.origin


def lines(steps: Steps, scene: Scene) -> str | None:
    """A shell script that sends the steps, the last one with its answer shown. None if no shell can."""
    if not steps or len(steps) > MOST_STEPS:
        return None
    script: list[str] = []
    names = {token: name for token, name in scene.tokens.items() if len(token) >= SHORT_TOKEN}
    if scene.start:
        names[scene.origin] = ""
        names[urlsplit(scene.origin).netloc] = ""
        tokens = " ".join(f"{name}={shlex.quote(token)}" for token, name in scene.tokens.items())
        script += [f"export {tokens}  # of this server only"] if tokens else []
        script += [f"{shlex.join(scene.start)} --port {PORT} &"]
        script += [f"curl -s -o /dev/null --retry 20 --retry-delay 1 --retry-connrefused {scene.served}/"]
    for number, step in enumerate(steps, 1):
        last = number == len(steps)
        command = _netcat(step.request, scene, names) if step.request.sent else curl(step.request, scene, names)
        if command is None:
            return None
        later = [each.request for each in steps[number:]]
        kept = [value for value in given(step) if any(_repeats(request, value) for request in later)]
        if last:
            script.append(command)
        elif not kept:
            script.append(f"{command} -o /dev/null")
        else:
            if FIELD not in script:
                script.insert(0, FIELD)
            for value in kept:
                name = names[value] = f"{_key(step, value).upper()}_{number}"
                if value.isalnum():
                    names[encoded(value)] = f"""$(printf '%%%02X' "'${name}")${{{name}#?}}"""
            key, name = _key(step, kept[0]), names[kept[0]]
            script.append(f"{name}=$({command.replace('curl -si', 'curl -s', 1)} | field {key})")
    if scene.start:
        script.append("kill $!")
    return "\n".join(script)


def curl(request: Request, scene: Scene, names: Mapping[str, str] | None = None) -> str | None:
    """One request for curl. None if curl cannot send it as it was."""
    if names is None:
        names = {token: name for token, name in scene.tokens.items() if len(token) >= SHORT_TOKEN}
    url = request.origin + request.target
    if not re.fullmatch(r"[\x21-\x7e]+", url) or len(url) > LONGEST or request.method == "CONNECT" or "#" in url:
        return None
    words = ["curl -si -g --path-as-is --max-time 30"]
    words += ["-I"] if request.method == "HEAD" else ["-X", shlex.quote(request.method)]
    words.append(quoted(url, names, scene))
    present = set()
    for name, value in request.headers.items():
        if name.lower() in UNSENT:
            continue
        if not re.fullmatch(r"[\x20-\x7e]*", value):
            return None
        present.add(name.lower())
        if name.lower() == TOKEN_HEADER.lower() and value in scene.tokens:
            words += ["-H", f'"{name}: ${scene.tokens[value]}"']
        else:
            words += ["-H", quoted(f"{name}: {value}" if value.strip() else f"{name};", names, scene)]
    body = request.body if request.body is not None or request.method not in ("POST", "PUT") else b""
    if body is None:
        return " ".join(words)
    if len(body) > LONGEST:
        return None
    words += [] if "content-type" in present else ["-H", "'Content-Type:'"]
    text = body.decode(errors="replace")
    if "\0" in text or text.encode() != body:
        return f"printf '%b' {shlex.quote(_escaped(body))} | {' '.join(words)} --data-binary @-"
    return f"{' '.join(words)} --data-raw {quoted(text, names, scene)}"


def quoted(text: str, names: Mapping[str, str], scene: Scene) -> str:
    """A word of a shell, with variables in the place of the values that have a name."""
    words = []
    for piece, name in _split(text, names):
        if name is None:
            words.append(shlex.quote(piece) if piece else "")
        elif name:
            words.append(f'"{name}"' if name.startswith("$(") else f'"${{{name}}}"')
        else:
            words.append(scene.served if "://" in piece else urlsplit(scene.served).netloc)
    return "".join(words) or "''"


def _netcat(request: Request, scene: Scene, names: Mapping[str, str]) -> str | None:
    """A request that was written by hand, byte for byte."""
    assert request.sent is not None
    if len(request.sent) > LONGEST:
        return None
    names = {**names, **scene.tokens}
    formats, words = [], []
    for piece, name in _split(request.sent.decode("latin-1"), names):
        formats.append("%s" if name else "%b")
        if name == "":
            piece = scene.served if "://" in piece else urlsplit(scene.served).netloc
        words.append(f'"${name}"' if name else shlex.quote(_escaped(piece.encode("latin-1"))))
    parts = urlsplit(scene.served)
    if parts.scheme == "https":
        to = f"openssl s_client -quiet -connect {parts.hostname}:{parts.port or 443} 2>/dev/null"
    else:
        to = f"nc -w 10 {parts.hostname} {parts.port or 80}"
    return f"printf '{''.join(formats)}' {' '.join(words)} | {to}"


def _split(text: str, names: Mapping[str, str]) -> list[tuple[str, str | None]]:
    """The text in pieces, each with the name of its value or None."""
    if not names:
        return [(text, None)]
    pattern = "|".join(re.escape(value) for value in sorted(names, key=len, reverse=True))
    pieces: list[tuple[str, str | None]] = []
    for index, piece in enumerate(re.split(f"({pattern})", text)):
        if piece:
            pieces.append((piece, names[piece] if index % 2 else None))
    return pieces


def _repeats(request: Request, value: str) -> bool:
    body = request.body.decode("utf-8", "replace") if request.body else ""
    sent = request.sent.decode("latin-1") if request.sent else ""
    return repeats(f"{request.origin}{request.target} {body} {sent}", value)


def _key(step: Answer, value: str) -> str:
    shown = step.json()
    return str(next(key for key, each in shown.items() if each == value))


def _escaped(data: bytes) -> str:
    """Bytes for printf's %b."""
    known = {0x0D: "\\r", 0x0A: "\\n", 0x5C: "\\\\"}
    return "".join(known.get(byte, chr(byte) if 0x20 <= byte < 0x7F else f"\\0{byte:03o}") for byte in data)
