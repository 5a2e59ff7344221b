"""The file that an upload became."""

import attrs

from cavatica_upload.clock import CLOCK_GRAIN, epoch_seconds
from cavatica_upload.engine.context import Context
from cavatica_upload.journal.records import Entry


@attrs.frozen
class CompletedFile:
    """The file as the server has it."""

    file_id: str
    size: int | None
    href: str | None


def find_completed_file(context: Context, entry: Entry, size: int | None) -> CompletedFile | None:
    """Find the file that an upload became whose completion was not answered: its name, its size, made since."""
    found = context.api.find_file(entry.destination, entry.name)
    if found is None or found.size != size:
        return None
    made = found.created_on
    begun = epoch_seconds(entry.started) + context.server_clock.skew
    if made is None or epoch_seconds(made) < begun - CLOCK_GRAIN:
        return None
    return CompletedFile(found.id, size, found.href)
