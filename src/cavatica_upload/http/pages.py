"""Lists that come in pages, as one lazy iterator."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

PAGE = 100
"""The most items of a page (docs.sevenbridges.com, List files)."""

Item = TypeVar("Item")


class Link(Protocol):
    """A link to another page."""

    href: str
    rel: str


def all_items(
    page: Callable[[int], tuple[Sequence[Item], Iterable[Link] | None]], key: Callable[[Item], str]
) -> Iterator[Item]:
    """Yield the items of all pages, asking for a page when it is needed.

    `page` returns the items and the links (None where the server sends none) of the page at an offset; `key` tells
    items apart. Ends at a page without a next one. A server that ignores the offset, or links in a circle, is noticed
    by a page that brings nothing new. A link's host is never followed, only its offset.
    """
    offset = 0
    seen: set[str] = set()
    while True:
        items, links = page(offset)
        new = {key(item): item for item in items if key(item) not in seen}
        seen.update(new)
        yield from new.values()
        if not new:
            return
        following = offset + len(items)
        if links is None:
            if len(items) < PAGE:
                return
        else:
            href = next((link.href for link in links if link.rel.lower() == "next"), None)
            if href is None:
                return
            following = max(following, _offset(href))
        offset = following


def _offset(href: str) -> int:
    try:
        return int(parse_qs(urlsplit(href).query).get("offset", ["0"])[0])
    except ValueError:
        return 0
