"""Files that an earlier run brought to the platform: their receipts say so, and they are not sent again."""

import os
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from cavatica_upload.clock import epoch_seconds
from cavatica_upload.destination import Destination
from cavatica_upload.errors import SourceError
from cavatica_upload.receipt import Receipt, read
from cavatica_upload.verification import verify

_RECEIPT = re.compile(r"[0-9TZ.]+-(?P<name>.*)-[^-]*\.json")
_RENAMED = re.compile(r"_[0-9]+_(?P<name>.*)", re.DOTALL)
_FIT = re.compile(r"[^A-Za-z0-9]+")


class ReceiptIndex:
    """Looks files up among the receipts that are in a folder now. Only those of files of the same name are opened."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self._endpoint = endpoint
        self._paths: defaultdict[str, list[Path]] = defaultdict(list)
        for path in sorted(folder.glob("*.json"), reverse=True) if folder.is_dir() else ():
            found = _RECEIPT.fullmatch(path.name)
            if found:
                self._paths[_key(found["name"])].append(path)

    def find(
        self,
        source: str,
        size: int | None,
        name: str,
        destination: Destination,
        *,
        is_there: Callable[[Receipt], bool],
        renamed: bool = False,
        before_reading: Callable[[], None] | None = None,
    ) -> Receipt | None:
        """Return the receipt of this very file of `size` bytes, under this name at this destination.

        With `renamed`, also where its name was taken and it got the next free one (`_1_name`). `is_there` tells whether
        the platform still has the file of a receipt. The file must be what it was: nothing changed it since the upload
        began. Where something may have, it is read and compared with the receipt's MD5s, after `before_reading` was
        called; without that, it is another file.
        """
        for path in self._paths.get(_key(name), ()):
            try:
                receipt = read(path)
            except SourceError:
                continue
            if (
                self._fits(receipt, name, destination, renamed)
                and receipt.size == size
                and os.path.realpath(receipt.source) == os.path.realpath(source)
                and _unchanged(receipt, source, before_reading)
                and is_there(receipt)
            ):
                return receipt
        return None

    def _fits(self, receipt: Receipt, name: str, destination: Destination, renamed: bool) -> bool:
        asked = _RENAMED.fullmatch(receipt.name) if renamed else None
        return (
            name in (receipt.name, asked and asked["name"])
            and receipt.endpoint == self._endpoint
            and receipt.parent == destination.parent
            and destination.project in (None, receipt.project)
        )


def _unchanged(receipt: Receipt, source: str, before_reading: Callable[[], None] | None) -> bool:
    try:
        found = Path(source).stat()
        if max(found.st_mtime, found.st_ctime) < epoch_seconds(receipt.started):
            return True
        if before_reading is None:
            return False
        before_reading()
        return verify(receipt, source).ok
    except (OSError, ValueError, SourceError):
        return False


def _key(name: str) -> str:
    renamed = _RENAMED.fullmatch(name)
    return _FIT.sub("_", renamed["name"] if renamed else name)[:60]
