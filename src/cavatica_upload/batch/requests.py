"""The files of a batch as requests to the uploader."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from cavatica_upload.batch.files import Item, Rules, collect
from cavatica_upload.batch.manifest import ManifestError, read_manifest
from cavatica_upload.destination import Destination, Target
from cavatica_upload.errors import UsageError
from cavatica_upload.request import IfExists, UploadRequest, path_text


def requests_for(
    *paths: str | os.PathLike[str],
    destination: Destination | str,
    manifest: str | os.PathLike[str] | None = None,
    metadata: Mapping[str, str] | None = None,
    tags: Iterable[str] = (),
    if_exists: IfExists = "fail",
    part_size: int | None = None,
) -> list[UploadRequest]:
    """Return a request for each file that is named, in a folder that is named, or listed in a manifest.

    The folder “run-7” becomes a folder at the destination, and “run-7/” (with a slash) its content. What a manifest
    says of a file goes before `metadata` and adds to `tags`. Nothing is sent: hand the requests to
    `Uploader.upload_many`. Raises UsageError with a sentence for each thing that is wrong.
    """
    common = UploadRequest(
        source="x",
        destination=destination,
        metadata=metadata or {},
        tags=tags,
        if_exists=if_exists,
        part_size=part_size,
    )
    try:
        rows = list(read_manifest(Path(path_text(manifest))).rows) if manifest is not None else []
    except ManifestError as error:
        raise UsageError(" ".join((error.message, *error.problems)), error.hint) from error
    batch = collect([path_text(path) for path in paths], rows, Rules(recursive=True))
    problems = [*batch.problems, *(file.reason for file in batch.bad)]
    if problems:
        raise UsageError(" ".join(problems), "Nothing was uploaded.")
    return [request_of(item, common) for item in batch.items]


def request_of(item: Item, common: UploadRequest) -> UploadRequest:
    """Return the request for a file of a batch: `common`, with what the file and its row in the manifest say.

    The manifest's metadata goes before the common one, and its tags are added to the common ones.
    """
    fields, tags = (item.row.metadata, item.row.tags) if item.row else ({}, ())
    return attrs.evolve(
        common,
        source=item.source,
        destination=Target(common.destination, common.target.path(item.folder)),
        name=item.name,
        metadata={**common.metadata, **fields},
        tags=tuple(dict.fromkeys((*common.tags, *tags))),
        key=item.label,
        context=item,
    )
