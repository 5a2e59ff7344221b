"""The requests of a run in their order, so that a finding can show what led to it.

A request depends on others if it repeats an id or a URL of their answers, or a name that the suite made. `Trace.before`
finds those, and everything that changed the same thing in between.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

import attrs

from tests.contract import document
from tests.contract.answer import Answer, Request

GIVEN: Final = frozenset({"upload_id", "id", "url"})  # keys of answers whose values later requests repeat
# A list shows what was started or created, without naming it in the request.
LISTED: Final = {
    "listUploads": frozenset({"startUpload", "completeUpload", "abortUpload"}),
    "listFiles": frozenset({"createFolder", "completeUpload", "deleteFile", "editFiles"}),
}
MOST_LISTED: Final = 10
RECENT: Final = 6  # requests; of those before, only what the server took can matter
SHOWN: Final = 4096  # bytes of an answer that are kept
Steps = tuple[Answer, ...]


@attrs.define
class Trace:
    """Every exchange since the last reset of the server."""

    answers: list[Answer] = attrs.field(factory=list)

    def add(self, answer: Answer) -> None:
        self.answers.append(answer)

    def clear(self) -> None:
        self.answers.clear()

    def before(self, last: Answer) -> Steps:
        """The requests that `last` depends on, and `last` itself."""
        try:
            end = max(index for index, answer in enumerate(self.answers) if answer is last)
        except ValueError:
            return (last,)
        steps = self.answers[:end]
        texts = [text_of(answer.request) for answer in steps]
        givers: dict[str, int] = {}
        for index, answer in enumerate(steps):
            for value in given(answer):
                givers.setdefault(value, index)
        chosen: set[int] = set()
        if last.operation is not None and last.operation.id in LISTED:
            kinds = LISTED[last.operation.id]
            listed = [i for i in _changes(steps) if (found := steps[i].operation) is not None and found.id in kinds]
            chosen |= set(listed[-MOST_LISTED:])
        names = {name: index for index, answer in enumerate(steps) for name in _names(answer.request)}
        wanted, known = [text_of(last.request), *(texts[index] for index in chosen)], set[str]()
        while wanted:
            text = wanted.pop()
            for value in [each for each in (*givers, *names) if each not in known and repeats(text, each)]:
                known.add(value)
                first = givers.get(value, 0)
                related = {index for index in _changes(steps) if index > first and value in texts[index]}
                related |= {givers[value]} if value in givers else set()
                if value in givers:  # the bytes that were sent to a URL given for this
                    urls = {url for url, giver in givers.items() if url.startswith("http") and value in texts[giver]}
                    related |= {i for i in _changes(steps) if any(_is_url(steps[i].request, url) for url in urls)}
                for index in related - chosen:
                    chosen.add(index)
                    wanted.append(texts[index])
        return (*(steps[index] for index in sorted(chosen)), last)


def given(answer: Answer) -> Iterator[str]:
    """The ids and URLs that an answer gave."""
    if not 200 <= answer.status < 300 or not answer.body.startswith((b"{", b"[")):
        return
    try:
        shown = json.loads(answer.body)
    except ValueError:
        return
    for key in GIVEN & shown.keys() if isinstance(shown, dict) else ():
        if isinstance(shown[key], str) and len(shown[key]) > 7:
            yield shown[key]


def encoded(value: str) -> str:
    """An id with its first character percent-encoded, which is still the same id."""
    return f"%{ord(value[0]):02X}{value[1:]}"


def repeats(text: str, value: str) -> bool:
    """Whether the text of a request contains a value."""
    return value in text or (value.isalnum() and encoded(value) in text)


def text_of(request: Request) -> str:
    """The parts of a request that can repeat an id: its URL, its body, and the bytes that were written by hand."""
    body = request.body.decode("utf-8", "replace") if request.body else ""
    sent = request.sent.decode("latin-1") if request.sent else ""
    return f"{request.origin}{request.target} {body[:20000]} {sent[:20000]}"


def _changes(steps: list[Answer]) -> list[int]:
    """The indexes of changes, and of attempts among the most recent requests."""
    recent = len(steps) - RECENT
    return [
        index
        for index, answer in enumerate(steps)
        if answer.request.method != "GET" and (200 <= answer.status < 300 or index >= recent)
    ]


def _is_url(request: Request, url: str) -> bool:
    return request.origin + request.target == url


def _names(request: Request) -> Iterator[str]:
    try:
        body = json.loads(request.body or b"")
    except (ValueError, RecursionError):
        return
    name = body.get("name") if isinstance(body, dict) else None
    if isinstance(name, str) and name.startswith("contract-"):
        yield name


def to_json(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    """As plain data; bytes become text in Latin-1."""
    return [
        {
            "request": {
                **attrs.asdict(each.request), "body": _text(each.request.body), "sent": _text(each.request.sent),
            },
            "status": each.status, "headers": dict(each.headers), "body": _text(each.body[:SHOWN]),
        }
        for each in answers
    ]  # fmt: skip


def from_json(data: Iterable[dict[str, Any]]) -> list[Answer]:
    found = []
    for each in data:
        fields = each["request"]
        request = Request(**{**fields, "body": _bytes(fields["body"]), "sent": _bytes(fields["sent"])})
        operation = document.find(request.method, request.path)
        found.append(Answer(request, operation, each["status"], each["headers"], _bytes(each["body"]) or b""))
    return found


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("latin-1")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")
