"""What a mock has and knows: its store, its bytes, the rules over both, and how to begin anew."""

from pathlib import Path
from typing import Any, Final

from cavatica_mock.blobs import Blobs
from cavatica_mock.faults import Faults
from cavatica_mock.files import Files, Locations
from cavatica_mock.rate_limit import RateLimit
from cavatica_mock.records import Ids, Views
from cavatica_mock.settings import Settings
from cavatica_mock.signing import Signer
from cavatica_mock.storage import Traffic
from cavatica_mock.store import Store
from cavatica_mock.uploads import Uploads

FILE: Final = "state.sqlite"


class State:
    """Raises OSError or sqlite3.Error if the folder cannot be used."""

    def __init__(self, settings: Settings, folder: Path, script: Faults) -> None:
        self.settings = settings
        self.script = script
        self.traffic = Traffic()
        folder.mkdir(parents=True, exist_ok=True)
        self.store = Store(None if settings.data is None else folder / FILE)
        self.blobs = Blobs(folder)
        self.blobs.sweep(self.store.blobs())
        self.rates = RateLimit(settings.rate_limit, settings.clock)
        self._build()

    def _build(self) -> None:
        settings = self.settings
        ids = Ids(settings.seed)
        locations = Locations(self.store, settings.projects)
        self.signer = Signer(self.store.setting("signing secret", ids.secret()).encode())
        self.files = Files(self.store, self.blobs, locations, ids, settings.clock)
        self.uploads = Uploads(
            self.store, self.blobs, locations, ids, settings.clock, settings.min_part_size, settings.part_size
        )

    def close(self) -> None:
        self.store.close()

    def reset(self) -> None:
        """As new: no uploads, files, faults, calls; ids begin anew."""
        self.store.clear()
        self.blobs.sweep(set())
        self.rates.clear()
        self.script.clear()
        self.traffic.calls.clear()
        self.traffic.bytes_received = 0
        self._build()

    def describe_files(self, views: Views) -> list[dict[str, Any]]:
        return [views.file(file) for file in self.store.files(None)[0]]

    def describe_uploads(self, views: Views) -> list[dict[str, Any]]:
        shown = []
        for upload in self.store.uploads(None)[0]:
            parts = self.store.parts(upload.id)
            document = views.upload(upload, self.store.reported(upload.id), parts)
            stored = [
                {"part_number": part.number, "size": part.size, "etag": part.etag}
                for part in parts
                if part.blob is not None
            ]
            shown.append(document | {"size": upload.size, "stored_parts": stored})
        return shown

    def file_bytes(self, file_id: str) -> bytes:
        """Raises KeyError if there is no such file."""
        if self.store.file(file_id) is None:
            raise KeyError(file_id)
        return b"".join(self.blobs.read(self.store.pieces(file_id)))
