"""`cavatica upload`."""

from pathlib import Path
from typing import Literal

import click

from cavatica_upload.cli.messages import Exit
from cavatica_upload.cli.options import (
    FILE,
    Command,
    Connection,
    Pair,
    Size,
    Span,
    connection_options,
    option,
    progress_options,
    stop_option,
)
from cavatica_upload.cli.output import Output
from cavatica_upload.destination import Target
from cavatica_upload.errors import UsageError

STDIN = "-"

_WHERE, _WHAT, _HOW, _ABOUT, _STREAM = (
    "Destination",
    "Files",
    "Transfer",
    "Metadata, receipts and sheets",
    "Standard input",
)


@click.command(cls=Command)
@click.argument("paths", nargs=-1, metavar="PATH…", type=click.Path())
@option(
    "--project",
    metavar="OWNER/NAME[/FOLDER…]",
    section=_WHERE,
    help="Project, and optionally a folder in it, which is made if it does not exist. "
    "The address of the project's page is accepted, too.",
)
@option("--parent", metavar="ID", section=_WHERE, help="ID of the folder to upload to, instead of --project.")
@option("--name", section=_WHERE, help="Name of a single file on the platform; required for standard input (“-”).")
@option(
    "--if-exists",
    type=click.Choice(["fail", "skip", "overwrite", "rename"]),
    section=_WHERE,
    help="What to do if the name is taken: fail (the default), skip, overwrite, or rename to _1_NAME. "
    "An unchanged file that an earlier run uploaded is never sent again.",
)
@option("--overwrite", is_flag=True, section=_WHERE, help="The same as --if-exists overwrite.")
@option(
    "--expect-size",
    "--size",
    type=click.IntRange(0),
    metavar="BYTES",
    section=_STREAM,
    help="Complete the upload only if the file has this size; this detects a stream that was cut short.",
)
@option(
    "--expect-md5",
    metavar="MD5",
    section=_STREAM,
    help="Complete the upload only if the file has this MD5.",
)
@option(
    "--allow-empty",
    is_flag=True,
    section=_STREAM,
    help="Upload an empty file if standard input is empty, instead of failing.",
)
@option(
    "--recursive", "-r", is_flag=True, section=_WHAT, help="Upload the files in folders, and keep the folder structure."
)
@option("--flatten", is_flag=True, section=_WHAT, help="With --recursive, upload all files to one folder.")
@option(
    "--include", metavar="GLOB", multiple=True, section=_WHAT, help="Upload only files that match; may be repeated."
)
@option(
    "--exclude",
    metavar="GLOB",
    multiple=True,
    section=_WHAT,
    help="Leave out files and folders that match; may be repeated, and overrides --include.",
)
@option("--skip-links", is_flag=True, section=_WHAT, help="Leave out links instead of following them.")
@option(
    "--skip-bad-files",
    is_flag=True,
    section=_WHAT,
    help="Upload the other files if some cannot be read or have a name that the platform refuses. "
    "Those are listed at the end, and the exit code is 1.",
)
@option(
    "--files-from",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    section=_WHAT,
    help="Also upload the paths in this file, one per line or separated by zero bytes; “-” reads standard input.",
)
@option(
    "--manifest",
    type=FILE,
    metavar="FILE",
    section=_WHAT,
    help="Also upload the files listed in a CSV, TSV or JSON lines file, with their metadata.",
)
@option(
    "--shard",
    metavar="I/N",
    section=_WHAT,
    help="Upload share I of N of the files, with 1/N of the API calls; run the other shares on other machines. "
    "“slurm” takes both numbers from SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT.",
)
@option("--metadata", type=Pair(), metavar="K=V", multiple=True, section=_ABOUT, help="Metadata to set on each file.")
@option("--tag", "tags", metavar="TAG", multiple=True, section=_ABOUT, help="Tag to set on each file.")
@option(
    "--receipt",
    type=click.Path(),
    metavar="FILE|DIR",
    section=_ABOUT,
    help="Also keep the receipt here; in a folder, each file gets its own NAME.receipt.json.",
)
@option(
    "--digest",
    type=click.Choice(["md5", "sha256"]),
    section=_ABOUT,
    help="Also put a digest of the whole file into the receipt; the file is read once more for it.",
)
@option(
    "--sheet",
    type=FILE,
    metavar="FILE",
    section=_ABOUT,
    help="Sample sheet (CSV or TSV) that names the files. Its copy with platform paths goes to --sheet-out.",
)
@option(
    "--sheet-out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    section=_ABOUT,
    help="Write the new sheet here when all files that it names are uploaded.",
)
@option(
    "--sheet-style",
    type=click.Choice(["path", "id"]),
    default="path",
    section=_ABOUT,
    help="How the new sheet names a file: by its path (vs:///Projects/…, the default) or by its ID.",
)
@option("--dry-run", is_flag=True, section=_HOW, help="Check everything, print the plan, and send nothing.")
@option(
    "--part-size",
    type=Size(),
    metavar="SIZE",
    section=_HOW,
    help="Size of a part, from 5MiB to 5GiB, such as 64MiB; the platform may choose another. "
    "Default: planned by file size.",
)
@option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 64),
    metavar="N",
    section=_HOW,
    help="Parts to send at the same time. Default: adapts to the network, up to 32.",
)
@option(
    "--bwlimit",
    type=Size(a_second=True),
    metavar="SIZE",
    section=_HOW,
    help="Send at most this many bytes per second, such as 100MiB.",
)
@option(
    "--no-verify",
    is_flag=True,
    section=_HOW,
    help="Compute no MD5s. This is faster on a fast network, but the parts are not verified.",
)
@option(
    "--yes",
    "-y",
    is_flag=True,
    section=_HOW,
    help="Do not ask. If a file changed since its upload was begun, abort that upload and start a new one.",
)
@option(
    "--dask-scheduler",
    metavar="ADDRESS|FILE",
    section=_HOW,
    help="Let the workers of a Dask cluster send the bytes. Give the address of its scheduler, such as "
    "tcp://node01:8786, or its --scheduler-file. Workers must see the files at the same paths. They never get the "
    "token. Needs the extra “dask”.",
)
@option(
    "--expected-rate",
    type=Size(a_second=True),
    metavar="SIZE",
    section=_HOW,
    help="Plan parts large enough for this many bytes per second within the API's rate limit, such as 2GiB. "
    "Default: 64MiB for each worker of --dask-scheduler.",
)
@option("--wait", is_flag=True, section=_HOW, help="Wait if another process is uploading the same file.")
@option(
    "--retry-for",
    type=Span(),
    default="5min",
    metavar="TIME",
    section=_HOW,
    help="Keep retrying this long if the network or storage fails, such as 1h. Default: 5min.",
)
@stop_option(_HOW)
@progress_options
@connection_options
def upload(
    paths: tuple[str, ...],
    project: str | None,
    parent: str | None,
    name: str | None,
    if_exists: Literal["fail", "skip", "overwrite", "rename"] | None,
    overwrite: bool,
    expect_size: int | None,
    expect_md5: str | None,
    allow_empty: bool,
    recursive: bool,
    flatten: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    skip_links: bool,
    skip_bad_files: bool,
    files_from: Path | None,
    manifest: Path | None,
    shard: str | None,
    metadata: tuple[tuple[str, str], ...],
    tags: tuple[str, ...],
    receipt: str | None,
    digest: Literal["md5", "sha256"] | None,
    sheet: Path | None,
    sheet_out: Path | None,
    sheet_style: Literal["path", "id"],
    dry_run: bool,
    part_size: int | None,
    jobs: int | None,
    bwlimit: int | None,
    no_verify: bool,
    yes: bool,
    dask_scheduler: str | None,
    expected_rate: int | None,
    wait: bool,
    retry_for: float,
    stop_within: float,
    log_file: Path | None,
    output: Output,
    connection: Connection,
) -> int:
    """Upload files, and resume where an earlier run was interrupted.

    PATH is a file, a folder (with --recursive), “-” for standard input, or a URL such as s3://bucket/key
    (with the extra “remote”). Each uploaded file gives a line on standard output: its ID, a tab and its path. If
    --if-exists changed the name on the platform, another tab and that name follow.

    \b
    cavatica upload *.cram --project mlin/rna-pilot
    cavatica upload run-7 --recursive --project mlin/rna-pilot/runs
    cavatica upload --manifest samples.csv --project mlin/rna-pilot --dry-run

    If the program that writes to standard input fails, cavatica cannot see it. Use “set -o pipefail” in scripts, and
    --expect-size or --expect-md5 if they are known. After Ctrl-C or SIGTERM a stream is never completed.

    “run-7” uploads the folder run-7; “run-7/” (with a slash) uploads only what is in it. Links are followed, and each
    folder is read once. Hidden files are uploaded, too. A GLOB without a slash matches names; one with a slash matches
    paths below PATH.

    A manifest has the format of the platform's own uploader. The first row names the columns. The first column
    (“path”, “file” or “file name”) is a path relative to the manifest; the others are metadata. All its files go to one
    folder, unless --recursive keeps their folders.
    """
    from cavatica_upload.batch.files import Rules
    from cavatica_upload.batch.patterns import Selection
    from cavatica_upload.batch.shard import Shard
    from cavatica_upload.cli.batch_run import (
        SheetOptions,
        keep_share,
        listed_paths,
        read_batch,
        resume_words,
        upload_batch,
    )
    from cavatica_upload.cli.cluster import dask_executor, workers_rate
    from cavatica_upload.cli.output import open_log
    from cavatica_upload.cli.receipts import ReceiptFiles
    from cavatica_upload.cli.upload_run import UploadRun
    from cavatica_upload.request import UploadRequest

    if overwrite and if_exists not in (None, "overwrite"):
        raise UsageError(f"--overwrite and --if-exists {if_exists} contradict each other.", "Leave one of them out.")
    common = UploadRequest(
        source=STDIN,
        destination=Target.parse(project, parent),
        if_exists="overwrite" if overwrite else if_exists or "fail",
        part_size=part_size,
        metadata=_fields(metadata),
        tags=tags,
        digest=digest,
        wait=wait,
        expect_size=expect_size,
        expect_md5=expect_md5,
        allow_empty=allow_empty,
        changed="restart" if yes else "refuse",
    )
    if dask_scheduler is not None and bwlimit is not None:
        raise UsageError("--bwlimit does not hold for the workers of --dask-scheduler.", "Leave one of them out.")
    share = Shard.parse(shard) if shard is not None else None
    selection = Selection.of(include, exclude)
    rules = Rules(recursive=recursive, flatten=flatten, skip_links=skip_links, name=name, selection=selection)
    named = [*paths, *(listed_paths(files_from, stdin_taken=STDIN in paths) if files_from else ())]
    if not named and manifest is None:
        raise UsageError("There is nothing to upload.", "Name files or folders, or give --manifest.")
    batch = read_batch(named, manifest, rules, output, skip_bad_files=skip_bad_files)
    if batch is None:
        return int(Exit.USAGE)
    if (expect_size is not None or expect_md5) and len(batch.items) + len(batch.bad) != 1:
        raise UsageError("--expect-size and --expect-md5 are for one file.", "Upload one file at a time.")
    sources = [item.source for item in batch.items]
    open_log(log_file, sources)
    samples = SheetOptions.read(sheet, sheet_out, sheet_style, sources, share)
    keep_share(batch, share, output)
    with dask_executor(dask_scheduler, output) as executor:
        if dry_run:
            from cavatica_upload.cli.dry_run import dry_run as show_plan

            rate = workers_rate(executor, output) if executor and expected_rate is None else expected_rate
            with connection.api(output) as api:
                return int(show_plan(api, batch, common, output, share.fraction if share else 1.0, rate))
        run = UploadRun(
            output,
            connection,
            {
                "jobs": jobs,
                "bwlimit": bwlimit,
                "verify": not no_verify,
                "share": share.fraction if share else 1.0,
                "retry_for": retry_for,
                "stop_within": stop_within,
                "executor": executor,
                "expected_rate": expected_rate,
            },
            files=len(batch.items) + len(batch.bad),
            size=batch.size,
            unsized=[item.label for item in batch.items if item.size is None],
            yes=yes,
            resume=resume_words(batch, share, files_from),
        )
        return int(upload_batch(run, batch, common, ReceiptFiles(receipt, sources), samples, share))


def _fields(pairs: tuple[tuple[str, str], ...]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for key, value in pairs:
        if fields.setdefault(key, value) != value:
            raise UsageError(
                f"--metadata {key} is given as {fields[key]!r} and as {value!r}.",
                "A field has one value: give it once.",
            )
    return fields
