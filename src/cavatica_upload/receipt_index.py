"""Finds files that an earlier run uploaded by their receipts, so that they are not sent again."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from cavatica_upload.destination import Destination
from cavatica_upload.disk import json_files
from cavatica_upload.errors import SourceError
from cavatica_upload.identity import Identity
from cavatica_upload.receipt import Receipt, letters_of, read
from cavatica_upload.sources.local import identity_of
from cavatica_upload.verification import verify

_RECEIPT = re.compile(r"[0-9TZ.]+-(?P<name>.*)-[^-]*\.json")
_RENAMED = re.compile(r"_[0-9]{1,6}_(?P<name>.*)", re.DOTALL)

_COMPARED: dict[tuple[Receipt, Identity], bool | None] = {}
"""Results of comparing whole files, kept because reading 300 GB takes long."""


class ReceiptIndex:
    """Finds receipts in a folder. Only receipts of files with the same name are opened."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self._endpoint = endpoint
        self._paths: defaultdict[str, list[Path]] = defaultdict(list)
        for path in reversed(json_files(folder)):
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
        """Return the receipt of this file, uploaded under this name to this destination; None if there is none.

        With `renamed`, a name like `_1_name` fits as well. `is_there` tells whether the platform still has the file of
        a receipt. If the file was touched since its upload, `before_reading` is called, and the file is read and
        compared with the MD5s of the receipt.
        """
        for receipt in self._of_name(name):
            if (
                self._fits(receipt, name, destination, renamed)
                and receipt.size == size
                and os.path.realpath(receipt.source) == os.path.realpath(source)
                and is_there(receipt)
                and self.compare(receipt, source, before_reading)
            ):
                return receipt
        return None

    def of_file(self, file_id: str, name: str) -> Receipt | None:
        """Return the receipt of a file on the platform, by its id."""
        return next((receipt for receipt in self._of_name(name) if receipt.file_id == file_id), None)

    @staticmethod
    def compare(receipt: Receipt, source: str, before_reading: Callable[[], None] | None = None) -> bool | None:
        """Return whether a file on disk is the one of the receipt; None if that cannot be proved.

        If the file was not touched since its upload, nothing is read. If it was, `before_reading` is called, and the
        file is read once and compared with the MD5s.
        """
        try:
            identity = identity_of(source)
            if receipt.identity is not None and receipt.identity.same_as(identity):
                return True
            if (receipt, identity) not in _COMPARED:
                if before_reading is not None:
                    before_reading()
                found = verify(receipt, source)
                unknown = found.unchecked_parts and not found.wrong_parts
                _COMPARED[receipt, identity] = True if found.ok else None if unknown else False
        except (OSError, ValueError, SourceError):
            return None
        return _COMPARED[receipt, identity]

    def _of_name(self, name: str) -> Iterator[Receipt]:
        for path in self._paths.get(_key(name), ()):
            try:
                receipt = read(path)
            except SourceError:
                continue
            if receipt.endpoint == self._endpoint:
                yield receipt

    def _fits(self, receipt: Receipt, name: str, destination: Destination, renamed: bool) -> bool:
        asked = _RENAMED.fullmatch(receipt.name) if renamed else None
        return (
            name in (receipt.name, asked and asked["name"])
            and receipt.parent == destination.parent
            and destination.project in (None, receipt.project)
        )


def _key(name: str) -> str:
    text = letters_of(name)
    renamed = _RENAMED.fullmatch(text)
    return (renamed["name"] if renamed else text)[:60]
