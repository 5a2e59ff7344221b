"""Snakemake storage plugin for CAVATICA and the other Seven Bridges platforms.

A query is `cavatica://owner/project/folder/file`. The token and the endpoint are found as the `cavatica` command finds
them: in SB_AUTH_TOKEN and SB_API_ENDPOINT, or in the credentials file. There is no setting for the token, because
Snakemake would put it into the command lines of its jobs.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_storage_plugins.common import Operation
from snakemake_interface_storage_plugins.io import IOCacheStorageInterface, Mtime, get_constant_prefix
from snakemake_interface_storage_plugins.settings import StorageProviderSettingsBase
from snakemake_interface_storage_plugins.storage_object import (
    StorageObjectGlob,
    StorageObjectRead,
    StorageObjectWrite,
)
from snakemake_interface_storage_plugins.storage_provider import (
    ExampleQuery,
    QueryType,
    StorageProviderBase,
    StorageQueryValidationResult,
)

from cavatica_upload import Destination, NameTaken, Uploader, connect

SCHEME = "cavatica://"
_QUERY = re.compile(r"cavatica://(?P<project>[^/]+/[^/]+)/(?P<folders>(?:[^/]+/)*)(?P<name>[^/]+)")
_BLOCK = 2**20  # bytes
_FEW = 3  # files of a folder that are requested one by one; then the folder is listed, 100 files a call


@dataclass
class StorageProviderSettings(StorageProviderSettingsBase):
    """The settings `--storage-cavatica-…`."""

    profile: str | None = field(
        default=None,
        metadata={"help": "Profile of the Seven Bridges credentials file (default: the environment, then [default])."},
    )


class StorageProvider(StorageProviderBase):
    """One API client and one uploader for all files of a workflow process, made when they are first needed."""

    def __post_init__(self) -> None:
        self._folders: dict[str, Destination] = {}
        self._requested: Counter[str] = Counter()
        self.found: dict[str, Any] = {}
        """The entry of each existing file by query; missing files are requested again."""

    @cached_property
    def api(self) -> Any:
        """The API client, with retries and the rate limit."""
        return connect(profile=self.settings.profile if self.settings else None)

    @cached_property
    def uploader(self) -> Uploader:
        """The uploader over the same client."""
        return Uploader(client=self.api)

    @classmethod
    def example_queries(cls) -> list[ExampleQuery]:
        """Return a query that shows the form."""
        return [
            ExampleQuery(f"{SCHEME}owner/project/folder/sample.bam", "A file in a folder of a project", QueryType.ANY)
        ]

    @classmethod
    def is_valid_query(cls, query: str) -> StorageQueryValidationResult:
        """Check the form of a query; wildcards are allowed."""
        if _QUERY.fullmatch(query):
            return StorageQueryValidationResult(query=query, valid=True)
        return StorageQueryValidationResult(query=query, valid=False, reason=f"use {SCHEME}owner/project/path/to/file")

    def use_rate_limiter(self) -> bool:
        """Return False: the client follows the limit that the server announces, for all processes of the token."""
        return False

    def default_max_requests_per_second(self) -> float:
        """Return the platform's limit, 1000 calls in 5 minutes; not used."""
        return 1000 / 300

    def rate_limiter_key(self, query: str, operation: Operation) -> str:  # noqa: ARG002 - Snakemake's signature
        """Return one key for all: the limit is one for each token."""
        return "cavatica"

    def folder(self, project: str, folders: str, *, make: bool = False) -> Destination | None:
        """Return the folder `a/b/` of a project, None if it does not exist; one call a level, once for each folder."""
        place = Destination(project=project)
        path = ""
        for name in folders.split("/")[:-1]:
            path += f"{name}/"
            known = self._folders.get(f"{project}/{path}")
            if known is None:
                found = self.api.find_file(place, name)
                if found is None and make:
                    found = self._make_folder(place, name)
                if found is None:
                    return None
                known = self._folders[f"{project}/{path}"] = Destination(parent=found.id)
            place = known
        return place

    def _make_folder(self, place: Destination, name: str) -> Any:
        try:
            return self.api.create_folder(place, name)
        except NameTaken:  # by another job in the meantime
            return self.api.find_file(place, name)

    def find(self, project: str, folders: str, name: str) -> Any:
        """Return the entry of a file, None if it does not exist."""
        place = self.folder(project, folders)
        if place is None:
            return None
        where = f"{project}/{folders}"
        self._requested[where] += 1
        if self._requested[where] == _FEW:
            self.remember(place, where)
        query = f"{SCHEME}{where}{name}"
        if query not in self.found and (entry := self.api.find_file(place, name)) is not None:
            self.found[query] = entry
        return self.found.get(query)

    def remember(self, place: Destination, where: str) -> list[Any]:
        """List a folder, remember its entries, and return them."""
        entries = [*self.entries(place)]
        self.found.update({f"{SCHEME}{where}{entry.name}": entry for entry in entries})
        return entries

    def entries(self, place: Destination) -> Iterator[Any]:
        """Yield the entries of a folder, or of the top level of a project."""
        return self.api.list_folder(place.parent) if place.parent else self.api.list_files(place)


class StorageObject(StorageObjectRead, StorageObjectWrite, StorageObjectGlob):
    """A file on the platform."""

    provider: StorageProvider

    def __post_init__(self) -> None:
        parts = _QUERY.fullmatch(self.query)
        if parts is not None:  # else Snakemake refuses the query
            self.project, self.folders, self.name = parts["project"], parts["folders"], parts["name"]

    def local_suffix(self) -> str:
        """Return the path below the local storage folder."""
        return self.query.removeprefix(SCHEME)

    def get_inventory_parent(self) -> str | None:
        """Return the cache key of the folder."""
        return self.cache_key(f"{self.project}/{self.folders}")

    async def inventory(self, cache: IOCacheStorageInterface) -> None:
        """List the folder of this file once, and remember its entries."""
        parent = self.get_inventory_parent()
        if parent not in cache.exists_in_storage:
            place = self.provider.folder(self.project, self.folders)
            cache.exists_in_storage[parent] = place is not None
            where = f"{self.project}/{self.folders}"
            for entry in self.provider.remember(place, where) if place is not None else ():
                key = self.cache_key(where + entry.name)
                cache.exists_in_storage[key] = True
                if entry.size is not None and entry.modified_on is not None:
                    cache.size[key] = entry.size
                    cache.mtime[key] = Mtime(storage=entry.modified_on.timestamp())
        cache.exists_in_storage.setdefault(self.cache_key(), False)

    def cleanup(self) -> None:
        """Do nothing: a download is renamed or removed when it ends."""

    def exists(self) -> bool:
        """Return whether the file or folder is on the platform."""
        return self._find() is not None

    def mtime(self) -> float:
        """Return the time of the last change in seconds since 1970, 0 for a folder."""
        changed = self._details().modified_on
        return changed.timestamp() if changed is not None else 0.0

    def size(self) -> int:
        """Return the size in bytes, 0 for a folder."""
        return self._details().size or 0

    def retrieve_object(self) -> None:
        """Download the file; it gets its name when it is whole."""
        details = self._details()
        path = self.local_path()
        beside = path.with_name(f".{path.name}.part")
        try:
            # A signed URL of storage: a client of its own, which has no token to send.
            with httpx.stream("GET", self.provider.api.get_download_url(details.id), timeout=60.0) as answer:
                answer.raise_for_status()
                with beside.open("wb") as file:
                    for block in answer.iter_bytes(_BLOCK):
                        file.write(block)
            if details.size is not None and beside.stat().st_size != details.size:
                raise WorkflowError(
                    f"{self.query}: {beside.stat().st_size} of {details.size} bytes arrived. Run the workflow again."
                )
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    def store_object(self) -> None:
        """Upload the file, with every part verified; an interrupted upload is resumed by the next run."""
        path = self.local_path()
        if path.is_dir():
            raise WorkflowError(f"{self.query} is a directory. Name files as outputs, or pack them with tar.")
        place = self.provider.folder(self.project, self.folders, make=True)
        self.provider.found.pop(self.query, None)
        receipt = self.provider.uploader.upload(os.fspath(path), place, name=self.name, if_exists="overwrite")
        self.provider.found[self.query] = self.provider.api.get_file(receipt.file_id)

    def remove(self) -> None:
        """Delete the file, or an empty folder."""
        found = self._find()
        self.provider.found.pop(self.query, None)
        if found is not None:
            self.provider.api.delete_file(found.id)

    def list_candidate_matches(self) -> Iterable[str]:
        """Yield the query of every file below the constant part of this one."""
        prefix = get_constant_prefix(self.query, strip_incomplete_parts=True)
        owner, _, rest = prefix.removeprefix(SCHEME).partition("/")
        project, slash, folders = rest.partition("/")
        if not (owner and project and slash):
            raise WorkflowError(f"{self.query}: owner and project cannot be wildcards.")
        place = self.provider.folder(f"{owner}/{project}", folders)
        if place is not None:
            yield from self._below(place, prefix)

    def _below(self, place: Destination, prefix: str) -> Iterator[str]:
        for entry in self.provider.entries(place):
            if (entry.type_ or "").lower() == "folder":
                yield from self._below(Destination(parent=entry.id), f"{prefix}{entry.name}/")
            else:
                self.provider.found[prefix + entry.name] = entry
                yield prefix + entry.name

    def _find(self) -> Any:
        """Return the entry of the file, None if it does not exist."""
        return self.provider.found.get(self.query) or self.provider.find(self.project, self.folders, self.name)

    def _details(self) -> Any:
        """Return the entry with size and times, which lists may leave out; this costs one more call, once."""
        found = self._find()
        if found is None:
            raise WorkflowError(f"{self.query} is not on the platform.")
        if found.size is None or found.modified_on is None:
            found = self.provider.found[self.query] = self.provider.api.get_file(found.id)
        return found
