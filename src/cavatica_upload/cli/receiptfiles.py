"""The receipts as the user wants them kept, beside those in the state directory."""

import os
from pathlib import Path

from cavatica_upload.disk import write_whole
from cavatica_upload.errors import UsageError
from cavatica_upload.receipt import Receipt

SUFFIX = ".receipt.json"


class ReceiptFiles:
    """Keeps receipts at `place`: a folder (one that is there, or a path that ends in a slash) or, for one file, a file.

    In a folder, the receipt of `a/b.bam` on the platform is `a/b.bam.receipt.json`. Raises UsageError where there are
    `many` files and the place is not a folder, and where nothing can be written.
    """

    def __init__(self, place: str | None, *, many: bool) -> None:
        self._place = None if place is None else Path(place)
        self._folder = place is not None and (place.endswith(("/", os.sep)) or Path(place).is_dir())
        if place is not None and many and not self._folder:
            raise UsageError(
                f"--receipt {place} is one file, and there is more than one receipt to keep.",
                f"Give a folder: --receipt {place}/",
            )
        if self._place is not None:
            folder = self._place if self._folder else self._place.parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(
                    f"--receipt {place} cannot be written: {error.strerror}.", "Choose another place."
                ) from error
            if not os.access(folder, os.W_OK):
                raise UsageError(f"--receipt {place} cannot be written: no permission.", "Choose another place.")

    def keep(self, receipt: Receipt, folder: str) -> None:
        """Write a receipt, whole or not at all; `folder` is where the file is on the platform. Raises OSError."""
        if self._place is None:
            return
        path = self._place / folder / f"{receipt.name}{SUFFIX}" if self._folder else self._place
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, receipt.to_json())
