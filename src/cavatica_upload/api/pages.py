"""Lists that come in pages."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, urlsplit

import attrs

from cavatica_upload.api.answers import Answer
from cavatica_upload.api.fields import Fields, whole
from cavatica_upload.errors import UnexpectedAnswer

PAGE = 100
"""The most items of a page (docs.sevenbridges.com, List files)."""
SMALLEST_PAGE = 25
"""The fewest items that a server takes for a full page: a page may be smaller than it was asked to be."""
MOST_PAGES = 1000
"""After so many a list is taken for one without an end: they are all the calls of a window."""

Item = TypeVar("Item")


@attrs.frozen
class Page(Generic[Item]):
    """A page of a list: the items that can be used, how many came, and what the server says of the pages after it.

    `more` is whether there is a link to the next page, which is `following`; None if there are no links. `total` is
    the number of items on all pages, None if the server did not say.
    """

    items: tuple[Item, ...]
    length: int
    more: bool | None = None
    following: int = 0
    total: int | None = None


def page_of(answer: Answer, read: Callable[[Any], Item | None]) -> Page[Item]:
    """Read a page, leaving out items that cannot be read; raises UnexpectedAnswer if there is no list."""
    fields = Fields(answer.json)
    items = answer.json if isinstance(answer.json, list) else fields.items("items")
    if items is None:
        raise answer.unexpected("without a list of items")
    links = fields.items("links")
    more, following = None, 0
    if links is not None:
        hrefs = [Fields(link) for link in links]
        found = next((link.text("href") or "" for link in hrefs if (link.text("rel") or "").lower() == "next"), None)
        more, following = found is not None, _offset(found or "")
    return Page(
        items=tuple(item for one in items if (item := read(one)) is not None),
        length=len(items),
        more=more,
        following=following,
        total=whole(answer.headers.get("X-Total-Matching-Query")),
    )


class Pages(Generic[Item]):
    """Follows the pages of a list: ask for the page at `offset` and `take` it, until `over`.

    Ends at a page without a next one. A server that ignores the offset, or links in a circle, is noticed by a page
    that brings nothing new. A link's host is never followed, only its offset. `key` tells items apart.
    """

    def __init__(self, key: Callable[[Item], str]) -> None:
        self._key = key
        self._seen: set[str] = set()
        self._count = 0
        self.offset = 0
        self.over = False

    def take(self, page: Page[Item]) -> list[Item]:
        """Return the items of a page that are new; raises UnexpectedAnswer for a list without an end."""
        new = {self._key(item): item for item in page.items if self._key(item) not in self._seen}
        self._seen.update(new)
        self._count += 1
        self.offset = max(self.offset + page.length, page.following)
        if page.more is None and page.total is None:
            more = page.length >= SMALLEST_PAGE
        else:
            more = bool(page.more) or (page.total is not None and self.offset < page.total)
        self.over = not new or not more
        if not self.over and self._count >= MOST_PAGES:
            raise UnexpectedAnswer(
                f"The server's list does not end: {len(self._seen):,} items came on {self._count:,} pages.",
                "Ask the platform's support.",
                status=200,
            )
        return list(new.values())


def _offset(href: str) -> int:
    try:
        return int(parse_qs(urlsplit(href).query).get("offset", ["0"])[0])
    except ValueError:
        return 0
