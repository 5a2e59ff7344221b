"""Errors in the words of the command line: what happened, and which option helps."""

from cavatica_upload.errors import NameTaken, NotFound, UploadGone


def message_of(error: BaseException) -> str:
    """Return what happened, in one sentence."""
    if isinstance(error, NameTaken):
        return "There is a file of this name already."
    return getattr(error, "message", None) or str(error) or type(error).__name__


def hint_of(error: BaseException) -> str | None:
    """Return what to do, in one sentence, None where there is nothing to say."""
    if isinstance(error, NameTaken):
        return "Decide with --if-exists: skip, overwrite or rename."
    hint = getattr(error, "hint", None)
    if hint is None and isinstance(error, NotFound) and not isinstance(error, UploadGone):
        return "Check --project or --parent: what the token may not see looks as if it were not there."
    return hint
