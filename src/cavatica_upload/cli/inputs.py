"""The files that `cavatica upload` was given, checked before anything is sent."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cavatica_upload.batch.files import STDIN, Batch, Rules, collect
from cavatica_upload.batch.manifest import ManifestError, read_manifest
from cavatica_upload.batch.metadata import metadata_problems, tag_problems
from cavatica_upload.batch.shard import Shard
from cavatica_upload.cli.format import count_text
from cavatica_upload.cli.logfile import log_text
from cavatica_upload.cli.output import Output
from cavatica_upload.cli.summary import typed
from cavatica_upload.errors import UsageError

MOST_PROBLEMS = 100


def read_batch(
    paths: Sequence[str],
    manifest: Path | None,
    rules: Rules,
    metadata: dict[str, str],
    tags: Sequence[str],
    output: Output,
    *,
    skip_bad_files: bool,
) -> Batch | None:
    """Return the checked batch; None if something is wrong with it, after all of it was said."""
    if paths.count(STDIN) > 1:
        raise UsageError("Standard input can be uploaded only once.", "Give “-” once.")
    if STDIN in paths and sys.stdin is None:
        raise UsageError("Standard input is closed.", "Pipe something into the command, or name files.")
    rows = []
    if manifest is not None:
        try:
            rows = list(read_manifest(manifest).rows)
        except ManifestError as error:
            output.error(error)
            _show_problems(output, error.problems)
            return None
    batch = collect(paths, rows, rules)
    batch.problems[:0] = [*metadata_problems(metadata), *tag_problems(tags)]
    bad = [] if skip_bad_files and batch.items else [file.reason for file in batch.bad]
    for notice in batch.notices:
        output.warn(notice)
    if batch.problems or bad:
        problems = [*batch.problems, *bad]
        output.problem(f"{count_text(len(problems), 'problem')} found; nothing was uploaded.")
        _show_problems(output, problems)
        if bad and batch.items:
            output.hint("To upload the other files, use --exclude or --skip-bad-files.")
        elif bad and len(paths) == 1 and rules.name is None and "its name" in bad[0]:
            output.hint("Give it another name with --name.")
        return None
    if not batch.items:
        output.problem("No file is left to upload.", "Look at --include and --exclude, and whether a folder is empty.")
        return None
    return batch


def listed_paths(path: Path, stdin_taken: bool) -> list[str]:
    """Return the paths in a file of paths; raises UsageError if it cannot be read."""
    try:
        if str(path) != STDIN:
            raw = path.read_bytes()
        elif stdin_taken or sys.stdin is None:
            raise UsageError("Standard input cannot be both a list of paths and a file.", "Give “-” once.")
        else:
            raw = sys.stdin.buffer.read()
    except OSError as error:
        raise UsageError(f"The list {path} cannot be read: {error.strerror}.", "Check the path.") from error
    lines = raw.split(b"\0") if b"\0" in raw else raw.removeprefix(b"\xef\xbb\xbf").splitlines()
    # A dash is standard input on the command line only.
    return [f".{os.sep}-" if line == b"-" else os.fsdecode(line) for line in lines if line]


def _show_problems(output: Output, problems: Sequence[str]) -> None:
    for problem in problems[:MOST_PROBLEMS]:
        output.hint(f"  {problem}")
    if len(problems) > MOST_PROBLEMS:
        output.hint(f"  … and {len(problems) - MOST_PROBLEMS:,} more")
    if output.as_json:
        for problem in problems:
            output.record({"event": "problem", "message": problem})
    log_text(f"{len(problems)} problems, nothing uploaded")


def chosen_share(text: str | None) -> Shard | None:
    """Return the share that --shard names, None without it; raises UsageError."""
    if text is None:
        return None
    return Shard.of_slurm(os.environ) if text.strip().lower() == "slurm" else Shard.parse(text)


def slurm_tasks() -> int:
    """Return the number of tasks of the Slurm array that this process is in, 0 outside of one."""
    count = os.environ.get("SLURM_ARRAY_TASK_COUNT", "")
    return int(count) if count.isdecimal() else 0


def resume_words(batch: Batch, share: Shard | None, files_from: Path | None) -> list[str] | None:
    """Return the words of the command that resumes: the same, with the share in figures, as Slurm's variables change.

    None if standard input is needed again.
    """
    if any(item.source == STDIN for item in batch.items) or str(files_from) == STDIN:
        return None
    words = typed()
    if share is None:
        return words
    before = ["", *words]
    return [
        str(share) if previous == "--shard" else f"--shard={share}" if word.startswith("--shard=") else word
        for previous, word in zip(before, words, strict=False)
    ]
