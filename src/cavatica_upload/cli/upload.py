"""`cavatica upload`."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from cavatica_upload.batch.files import STDIN, Batch, Rules, collect
from cavatica_upload.batch.manifest import ManifestError, read_manifest
from cavatica_upload.batch.metadata import metadata_problems, tag_problems
from cavatica_upload.batch.patterns import Selection
from cavatica_upload.batch.shard import Shard, partition
from cavatica_upload.cli.console import Output, count_text, visible
from cavatica_upload.cli.dryrun import DryRun
from cavatica_upload.cli.exits import Exit
from cavatica_upload.cli.logfile import log_text, open_log
from cavatica_upload.cli.options import (
    Command,
    Pair,
    Size,
    connection_options,
    option,
    output_options,
    take_connection,
    take_output,
)
from cavatica_upload.cli.platform import open_api
from cavatica_upload.cli.run import Run, RunOptions
from cavatica_upload.cli.session import SessionOptions
from cavatica_upload.cli.summary import command_line, typed
from cavatica_upload.destination import Target
from cavatica_upload.errors import UsageError

MOST_PROBLEMS = 100

_WHERE, _WHAT, _HOW, _ABOUT = "Where to", "Which files", "How", "What is kept"


@click.command(cls=Command)
@click.argument("paths", nargs=-1, metavar="PATH…")
@option(
    "--project",
    metavar="OWNER/NAME[/FOLDER…]",
    section=_WHERE,
    help="Project, and where wanted a folder in it, which is made if it is not there.",
)
@option("--parent", metavar="ID", section=_WHERE, help="Folder to put the files in, by its id, instead of --project.")
@option("--name", section=_WHERE, help="Name on the platform, for one file; needed for “-”, standard input.")
@option(
    "--if-exists",
    type=click.Choice(["fail", "skip", "overwrite", "rename"]),
    section=_WHERE,
    help="What to do when the name is taken: fail (the default), skip, overwrite, or rename to _1_NAME. "
    "A file that an earlier run brought there, unchanged, is never sent again.",
)
@option("--overwrite", is_flag=True, section=_WHERE, help="The same as --if-exists overwrite.")
@option("--recursive", "-r", is_flag=True, section=_WHAT, help="Upload what is in folders, and keep their structure.")
@option("--flatten", is_flag=True, section=_WHAT, help="With --recursive, put all files into one folder.")
@option(
    "--include", metavar="GLOB", multiple=True, section=_WHAT, help="Only files that match; may be given several times."
)
@option(
    "--exclude",
    metavar="GLOB",
    multiple=True,
    section=_WHAT,
    help="Leave out files and folders that match; may be given several times, and goes before --include.",
)
@option(
    "--manifest",
    type=click.Path(path_type=Path),
    metavar="FILE",
    section=_WHAT,
    help="Also the files listed in a CSV, TSV or JSON lines file, with their metadata.",
)
@option(
    "--shard",
    metavar="I/N",
    section=_WHAT,
    help="Only the I-th of N shares of the files, with an N-th of the call budget: run it on N machines. "
    "“slurm” takes both from SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT.",
)
@option("--metadata", type=Pair(), metavar="K=V", multiple=True, section=_ABOUT, help="Metadata to set on each file.")
@option("--tag", "tags", metavar="TAG", multiple=True, section=_ABOUT, help="Tag to set on each file.")
@option(
    "--receipt",
    metavar="FILE|DIR",
    section=_ABOUT,
    help="Also keep the receipt here; in a folder, each file gets its own NAME.receipt.json.",
)
@option(
    "--digest",
    type=click.Choice(["md5", "sha256"]),
    section=_ABOUT,
    help="Also take a digest of the whole file, by reading it once more, for the receipt.",
)
@option("--dry-run", is_flag=True, section=_HOW, help="Check everything, print the plan, and send nothing.")
@option(
    "--part-size",
    type=Size(),
    metavar="SIZE",
    section=_HOW,
    help="Such as 64MiB, from 5MiB to 5GiB; the platform may choose another. Default: planned by file size.",
)
@option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 64),
    metavar="N",
    section=_HOW,
    help="Parts to send at the same time. Default: as many as make it faster, up to 32.",
)
@option(
    "--bwlimit", type=Size(a_second=True), metavar="SIZE", section=_HOW, help="Bytes a second at most, such as 100MiB."
)
@option(
    "--no-verify", is_flag=True, section=_HOW, help="Take no MD5s: faster on a fast network, and nothing is proved."
)
@option(
    "--yes",
    "-y",
    is_flag=True,
    section=_HOW,
    help="Ask nothing: a file that changed since its upload was begun is uploaded anew, and the old upload aborted.",
)
@option("--wait", is_flag=True, section=_HOW, help="Wait where another process is uploading the same file.")
@output_options(progress=True)
@connection_options
def upload(**values: Any) -> int:
    """Upload files, and go on where an earlier run was interrupted.

    PATH is a file, a folder (with --recursive), “-” for standard input, or a URL such as s3://bucket/key
    (with the extra “remote”). For each file that arrived, its id and path are printed on standard output, with a
    tab between them.

    \b
    cavatica upload *.cram --project mlin/rna-pilot
    cavatica upload run-7 --recursive --project mlin/rna-pilot/runs
    cavatica upload --manifest samples.csv --project mlin/rna-pilot --dry-run

    The folder “run-7” becomes a folder there, and “run-7/” (with a slash) its content. Links are followed; hidden
    files are files. A GLOB without a slash is held against names, one with a slash against paths below PATH.

    A manifest is the platform's own: the first row names the columns, the first column is a path relative to the
    manifest, the others are metadata. Its files go to one folder; with --recursive their folders are kept.
    """
    output = take_output(values)
    connection = take_connection(values)
    log_file = values.pop("log_file")
    if log_file:
        open_log(log_file)
    target = Target.parse(values["project"], values["parent"])
    shard = _shard(values["shard"])
    batch = _batch(values, output)
    if batch is None:
        return int(Exit.USAGE)
    if shard:
        shares = partition(batch.items, shard.count, key=lambda item: item.target, size=lambda item: item.known_size)
        whole, batch.items = len(batch.items), shares[shard.index - 1]
        output.say(f"Share {shard}: {len(batch.items):,} of {count_text(whole, 'file')}.")
    elif len(batch.items) > 1 and int(os.environ.get("SLURM_ARRAY_TASK_COUNT") or 0) > 1:
        output.warn(
            "Each task of this Slurm array uploads all of these files; with --shard slurm each takes its share."
        )
    options = RunOptions(
        target=target,
        session=SessionOptions(
            connection=connection,
            jobs=values["jobs"],
            bwlimit=values["bwlimit"],
            verify=not values["no_verify"],
            share=shard.fraction if shard else 1.0,
            yes=values["yes"],
            again=_again(batch, shard),
        ),
        if_exists=_if_exists(values),
        part_size=values["part_size"],
        metadata=dict(values["metadata"]),
        tags=values["tags"],
        shard=shard,
        digest=values["digest"],
        receipt=values["receipt"],
        wait=values["wait"],
    )
    if values["dry_run"]:
        with open_api(connection, output) as api:
            return int(DryRun(batch, options, output, api)())
    return int(Run(batch, options, output)())


def _batch(values: dict[str, Any], output: Output) -> Batch | None:
    """Return the checked batch; None where something is wrong with it, which is then told, all of it."""
    if not values["paths"] and values["manifest"] is None:
        raise UsageError("There is nothing to upload.", "Name files or folders, or give --manifest.")
    if values["paths"].count(STDIN) > 1:
        raise UsageError("Standard input can be uploaded once only.", "Give “-” once.")
    if STDIN in values["paths"] and sys.stdin is None:
        raise UsageError("Standard input is closed.", "Pipe something into the command, or name files.")
    problems = [*metadata_problems(dict(values["metadata"])), *tag_problems(values["tags"])]
    rows = []
    if values["manifest"] is not None:
        try:
            rows = list(read_manifest(values["manifest"]).rows)
        except ManifestError as error:
            output.error(error)
            _tell(output, error.problems)
            return None
    rules = Rules(
        recursive=values["recursive"],
        flatten=values["flatten"],
        name=values["name"],
        selection=Selection.of(values["include"], values["exclude"]),
    )
    batch = collect(values["paths"], rows, rules)
    batch.problems[:0] = problems
    for notice in batch.notices:
        output.warn(visible(notice))
    batch.problems += [file.reason for file in batch.bad]
    if batch.problems:
        count = count_text(len(batch.problems), "thing")
        output.problem(f"{count} to put right before anything is sent:")
        _tell(output, batch.problems)
        return None
    if not batch.items:
        output.problem("No file is left to upload.", "Look at --include and --exclude, and whether a folder is empty.")
        return None
    return batch


def _tell(output: Output, problems: list[str] | tuple[str, ...]) -> None:
    for problem in problems[:MOST_PROBLEMS]:
        output.hint(f"  {visible(problem)}")
    if len(problems) > MOST_PROBLEMS:
        output.hint(f"  … and {len(problems) - MOST_PROBLEMS:,} more")
    if output.as_json:
        for problem in problems:
            output.record({"event": "problem", "message": problem})
    log_text(f"{len(problems)} problems, nothing sent")


def _shard(text: str | None) -> Shard | None:
    if text is None:
        return None
    return Shard.of_slurm(os.environ) if text.strip().lower() == "slurm" else Shard.parse(text)


def _if_exists(values: dict[str, Any]) -> Any:
    if values["overwrite"] and values["if_exists"] not in (None, "overwrite"):
        raise UsageError(
            f"--overwrite and --if-exists {values['if_exists']} contradict each other.", "Leave one of them out."
        )
    return "overwrite" if values["overwrite"] else values["if_exists"] or "fail"


def _again(batch: Batch, shard: Shard | None) -> str | None:
    """Return the command that goes on: the same, with the share spelled out, since Slurm's variables will differ."""
    if any(item.source == STDIN for item in batch.items):
        return None
    words = typed()
    if shard:
        words = [
            str(shard) if word == "slurm" else f"--shard={shard}" if word == "--shard=slurm" else word for word in words
        ]
    return command_line(words)
