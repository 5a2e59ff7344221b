"""`cavatica upload`: its options, and the steps from them to the exit code."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from cavatica_upload.cli.options import (
    FILE,
    PATH,
    Command,
    Connection,
    Size,
    Span,
    Whole,
    connection_options,
    option,
    progress_options,
    stop_option,
)
from cavatica_upload.cli.output import Output, open_log, refuse_overwriting
from cavatica_upload.cli.receipts import ReceiptFiles
from cavatica_upload.destination import Target
from cavatica_upload.errors import UsageError
from cavatica_upload.plan import MAX_FILE_SIZE

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from cavatica_upload.batch.shard import Shard
    from cavatica_upload.batch.sheet import Sheet
    from cavatica_upload.request import UploadOptions
    from cavatica_upload.uploader import UploaderOptions


def _fields(_ctx: click.Context, _param: click.Parameter, pairs: tuple[str, ...]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        key = key.strip()
        if not sign or not key:
            raise click.BadParameter(f"{pair!r} is not a pair; write it like sample_id=S1.")
        if fields.setdefault(key, value) != value:
            raise UsageError(
                f"--metadata {key} is given as {fields[key]!r} and as {value!r}.",
                "A field has one value: give it once.",
            )
    return fields


_target = partial(option, section="Destination", group="target")
_destination = partial(option, section="Destination")
_stream = partial(option, section="Standard input", group="request")
_selection = partial(option, section="Files", group="rules")
_files = partial(option, section="Files")
_about = partial(option, section="Metadata, receipts and sheets")
_request = partial(option, section="Transfer", group="request")
_uploader = partial(option, section="Transfer", group="uploader")
_transfer = partial(option, section="Transfer")


@click.command(cls=Command)
@click.argument("paths", nargs=-1, metavar="PATH…", type=PATH)
@_target(
    "--project",
    metavar="OWNER/NAME[/FOLDER…]",
    help="Project, and optionally a folder in it, which is created if it does not exist. "
    "The address of the project's page is accepted, too.",
)
@_target("--parent", metavar="ID", help="ID of the folder to upload to, instead of --project.")
@_destination("--name", group="rules", help="Name of a single file on the platform; required for standard input (“-”).")
@_destination(
    "--if-exists",
    type=click.Choice(["fail", "skip", "overwrite", "rename"]),
    help="What to do if the name is taken: fail (the default), skip, overwrite, or rename to _1_NAME. "
    "An unchanged file that an earlier run uploaded is never sent again.",
)
@_destination("--overwrite", is_flag=True, help="The same as --if-exists overwrite.")
@_stream(
    "--expect-size",
    "--size",
    type=Whole(0, MAX_FILE_SIZE),
    metavar="BYTES",
    help="Complete the upload only if the file has this size; this detects a stream that was cut short.",
)
@_stream("--expect-md5", metavar="MD5", help="Complete the upload only if the file has this MD5.")
@_stream("--allow-empty", is_flag=True, help="Upload an empty file if standard input is empty, instead of failing.")
@_selection("--recursive", "-r", is_flag=True, help="Upload the files in folders, and keep the folder structure.")
@_selection("--flatten", is_flag=True, help="With --recursive, upload all files to one folder.")
@_files("--include", metavar="GLOB", multiple=True, help="Upload only files that match; may be repeated.")
@_files(
    "--exclude",
    metavar="GLOB",
    multiple=True,
    help="Leave out files and folders that match; may be repeated, and overrides --include.",
)
@_selection("--skip-links", is_flag=True, help="Leave out links instead of following them.")
@_files(
    "--skip-bad-files",
    is_flag=True,
    help="Upload the other files if some cannot be read or have a name that the platform refuses. "
    "Those are listed at the end, and the exit code is 1.",
)
@_files(
    "--files-from",
    type=FILE,
    metavar="FILE",
    help="Also upload the paths in this file, one per line or separated by zero bytes; “-” reads standard input.",
)
@_files(
    "--manifest",
    type=FILE,
    metavar="FILE",
    help="Upload the files in a CSV, TSV or JSON lines file, with metadata.",
)
@_files(
    "--shard",
    metavar="I/N",
    help="Upload share I of N of the files, with 1/N of the API calls; run the other shares on other machines. "
    "“slurm” takes both numbers from SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT.",
)
@_about(
    "--metadata", group="request", metavar="K=V", multiple=True, callback=_fields, help="Metadata to set on each file."
)
@_about("--tag", "tags", group="request", metavar="TAG", multiple=True, help="Tag to set on each file.")
@_about(
    "--receipt",
    type=PATH,
    metavar="FILE|DIR",
    help="Also keep the receipt here; in a folder, each file gets its own NAME.receipt.json.",
)
@_about(
    "--digest",
    group="request",
    type=click.Choice(["md5", "sha256"]),
    help="Also put a digest of the whole file into the receipt; the file is read once more for it.",
)
@_about(
    "--sheet",
    type=FILE,
    metavar="FILE",
    help="Sample sheet (CSV or TSV) that names the files. Its copy with platform paths goes to --sheet-out.",
)
@_about(
    "--sheet-out", type=FILE, metavar="FILE", help="Write the new sheet here when all files that it names are uploaded."
)
@_about(
    "--sheet-style",
    type=click.Choice(["path", "id"]),
    default="path",
    help="How the new sheet names a file: by its path (vs:///Projects/…, the default) or by its ID.",
)
@_transfer("--dry-run", is_flag=True, help="Check everything, print the plan, and send nothing.")
@_request(
    "--part-size",
    type=Size(),
    metavar="SIZE",
    help="Size of a part, from 5MiB to 5GiB, such as 64MiB; the platform may choose another. "
    "Default: planned by file size.",
)
@_uploader(
    "--jobs",
    "-j",
    type=Whole(1, 64),
    metavar="N",
    help="Parts to send at the same time. Default: adapts to the network, up to 32.",
)
@_uploader(
    "--bwlimit",
    type=Size(a_second=True),
    metavar="SIZE",
    help="Send at most this many bytes per second, like 100MiB.",
)
@_uploader(
    "--no-verify",
    "verify",
    flag_value=False,
    default=True,
    help="Compute no MD5s. This is faster on a fast network, but the parts are not verified.",
)
@_request(
    "--yes",
    "-y",
    "changed",
    flag_value="restart",
    default="refuse",
    help="Do not ask. If a file changed since its upload started, abort that upload and start a new one.",
)
@_transfer(
    "--dask-scheduler",
    metavar="ADDRESS|FILE",
    help="Let the workers of a Dask cluster send the bytes. Give the address of its scheduler, such as "
    "tcp://node01:8786, or its --scheduler-file. Workers must see the files at the same paths. They never get the "
    "token. Needs the extra “dask”.",
)
@_uploader(
    "--expected-rate",
    type=Size(a_second=True),
    metavar="SIZE",
    help="Plan parts large enough for this many bytes per second within the API's rate limit, such as 2GiB. "
    "Default: 64MiB for each worker of --dask-scheduler.",
)
@_request("--wait", is_flag=True, help="Wait if another process is uploading the same file.")
@_uploader(
    "--retry-for",
    type=Span(),
    default="5min",
    metavar="TIME",
    help="Keep retrying this long if the network or storage fails, such as 1h. Default: 5min.",
)
@stop_option(section="Transfer", group="uploader")
@progress_options
@connection_options
def upload(
    paths: tuple[str, ...],
    target: Mapping[str, str | None],
    if_exists: Literal["fail", "skip", "overwrite", "rename"] | None,
    overwrite: bool,
    rules: Mapping[str, Any],
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    skip_bad_files: bool,
    files_from: Path | None,
    manifest: Path | None,
    shard: str | None,
    request: "UploadOptions",
    receipt: str | None,
    sheet: Path | None,
    sheet_out: Path | None,
    sheet_style: Literal["path", "id"],
    dry_run: bool,
    uploader: "UploaderOptions",
    dask_scheduler: str | None,
    log_file: Path | None,
    output: Output,
    connection: Connection,
) -> int:
    """Upload files, and resume where an earlier run was interrupted.

    PATH is a file, a folder (with --recursive), “-” for standard input, or a URL such as https://host/file (with the
    extra “remote”) or s3://bucket/key (s3fs is needed, too). Each uploaded file gives a line on standard output: its
    ID, a tab and its path. If --if-exists changed the name on the platform, another tab and that name follow.

    \b
    cavatica upload *.cram --project mlin/rna-pilot
    cavatica upload run-7 --recursive --project mlin/rna-pilot/runs
    cavatica upload --manifest samples.csv --project mlin/rna-pilot --dry-run

    If the program that writes to standard input fails, cavatica cannot see it. Use “set -o pipefail” in scripts, and
    --expect-size or --expect-md5 if you know them. After Ctrl-C or SIGTERM a stream is never completed.

    “run-7” uploads the folder run-7; “run-7/” (with a slash) uploads only what is in it. Links are followed, and each
    folder is read once. Hidden files are uploaded, too. A GLOB without a slash matches names; one with a slash matches
    paths below PATH.

    A manifest has the format of the platform's own uploader. The first row names the columns. The first column (“path”,
    “file” or “file name”) is a path relative to the manifest; the others are metadata. All its files go to one folder,
    unless --recursive keeps their folders. In JSON lines, each line is an object with “path” and, if needed, “name”,
    “metadata” (an object) and “tags” (a list).
    """
    from cavatica_upload.batch.files import STDIN, Rules
    from cavatica_upload.batch.patterns import Selection
    from cavatica_upload.cli.upload_run import keep_share, listed_paths, read_batch, upload_batch
    from cavatica_upload.request import UploadRequest

    if overwrite and if_exists not in (None, "overwrite"):
        raise UsageError(f"--overwrite and --if-exists {if_exists} contradict each other.", "Leave one of them out.")
    if dask_scheduler is not None and uploader["bwlimit"] is not None:
        raise UsageError("--bwlimit does not hold for the workers of --dask-scheduler.", "Leave one of them out.")
    common = UploadRequest(
        source=STDIN,
        destination=Target.parse(**target),
        if_exists="overwrite" if overwrite else if_exists or "fail",
        **request,
    )
    share = None
    if shard is not None:
        from cavatica_upload.batch.shard import Shard

        share = Shard.parse(shard)
    listed = listed_paths(files_from, stdin_taken=STDIN in paths) if files_from is not None else []
    selected = Rules(selection=Selection.of(include, exclude), **rules)
    batch = read_batch([*paths, *listed], manifest, selected, output, skip_bad_files=skip_bad_files)
    sources = [item.source for item in batch.items]
    if (common.expect_size is not None or common.expect_md5) and batch.count != 1:
        raise UsageError("--expect-size and --expect-md5 are for one file.", "Upload one file at a time.")
    open_log(log_file, sources)
    receipts = ReceiptFiles(receipt, sources) if receipt is not None and not dry_run else None  # makes its folder
    samples = _sheet(sheet, sheet_out, sheet_style, sources, share)
    keep_share(batch, share, output)
    with _executor(dask_scheduler, output) as executor:
        options: UploaderOptions = {**uploader, "share": 1 / share.count if share else 1.0, "executor": executor}
        if dry_run:
            from cavatica_upload.cli.dry_run import dry_run as show_plan

            with connection.api(output) as api:
                return int(show_plan(api, batch, common, options, output))
        code = upload_batch(
            batch,
            common,
            options,
            output,
            connection,
            resumable=STDIN not in sources and str(files_from) != STDIN,
            shard=share,
            receipts=receipts,
            sheet=samples,
        )
    return int(code)


def _sheet(
    path: Path | None, out: Path | None, style: Literal["path", "id"], sources: list[str], shard: "Shard | None"
) -> "Sheet | None":
    if path is None and out is None:
        return None
    if path is None or out is None:
        raise UsageError("--sheet and --sheet-out go together.", "Give the sheet, and where to write the new one.")
    if shard is not None and shard.count > 1:
        raise UsageError(
            "A share of the files cannot fill the sheet.",
            "When all shares are uploaded, run it once more without --shard: nothing is sent again.",
        )
    from cavatica_upload.batch.sheet import Sheet

    refuse_overwriting(out, "--sheet-out", sources)
    return Sheet(path, out, style, sources)


def _executor(scheduler: str | None, output: Output) -> "AbstractContextManager[Executor | None]":
    if scheduler is None:
        return nullcontext()
    from cavatica_upload.cli.cluster import dask_executor

    return dask_executor(scheduler, output)
