"""Files that an earlier run brought to the platform: their receipts say so, and they are not sent again."""

import os
import re
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cavatica_upload.batch.files import STDIN, Item
from cavatica_upload.destination import Destination
from cavatica_upload.errors import SourceError
from cavatica_upload.receipt import Receipt, read
from cavatica_upload.sources.remote import is_url
from cavatica_upload.verification import verify

_RECEIPT = re.compile(r"[0-9TZ.]+-(?P<name>.*)-[^-]*\.json")
_RENAMED = re.compile(r"_[0-9]+_(?P<name>.*)", re.DOTALL)
_FIT = re.compile(r"[^A-Za-z0-9]+")


class Arrivals:
    """Looks files up among the receipts in a folder. Only receipts of files of the same name are opened.

    `say` is told when a file has to be read for it. `is_there` tells whether a folder (its path below the destination)
    still has the file with an id.
    """

    def __init__(
        self,
        folder: Path,
        endpoint: str,
        is_there: Callable[[str, str], bool],
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._say = say
        self._endpoint = endpoint
        self._is_there = is_there
        self._paths: defaultdict[str, list[Path]] = defaultdict(list)
        for path in sorted(folder.glob("*.json"), reverse=True) if folder.is_dir() else ():
            found = _RECEIPT.fullmatch(path.name)
            if found:
                self._paths[_key(found["name"])].append(path)

    def find(self, item: Item, destination: Destination, *, renamed: bool = False) -> Receipt | None:
        """Return the receipt of this very file at this destination, if it is still there.

        With `renamed`, also where its name was taken and it got the next free one (`_1_name`).
        The file must be what it was: nothing changed it since the upload began, or else its bytes agree with the
        receipt's MD5s, for which it is read.
        """
        if item.source == STDIN or is_url(item.source):
            return None
        for path in self._paths.get(_key(item.name), ()):
            try:
                receipt = read(path)
            except SourceError:
                continue
            if (
                self._fits(receipt, item, destination, renamed)
                and self._unchanged(receipt, item)
                and self._is_there(item.folder, receipt.file_id)
            ):
                return receipt
        return None

    def _fits(self, receipt: Receipt, item: Item, destination: Destination, renamed: bool) -> bool:
        asked = _RENAMED.fullmatch(receipt.name) if renamed else None
        return (
            item.name in (receipt.name, asked and asked["name"])
            and receipt.endpoint == self._endpoint
            and receipt.parent == destination.parent
            and destination.project in (None, receipt.project)
            and receipt.size == item.size
            and os.path.realpath(receipt.source) == os.path.realpath(item.source)
        )

    def _unchanged(self, receipt: Receipt, item: Item) -> bool:
        try:
            found = Path(item.source).stat()
            if max(found.st_mtime, found.st_ctime) < datetime.fromisoformat(receipt.started).timestamp():
                return True
            self._say(f"{item.source}: touched since it was uploaded; comparing it with the receipt")
            return verify(receipt, item.source).ok
        except (OSError, ValueError, SourceError):
            return False


def _key(name: str) -> str:
    renamed = _RENAMED.fullmatch(name)
    return _FIT.sub("_", renamed["name"] if renamed else name)[:60]
