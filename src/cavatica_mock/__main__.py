"""cavatica-mock: the mock as a command."""

import asyncio
import errno
import logging
import re
import signal
import sqlite3
import ssl
import sys
import time
from pathlib import Path

import click

from cavatica_mock import MISSING
from cavatica_mock.settings import (
    MAX_PART_SIZE,
    MIN_PART_SIZE,
    PART_URL_LIFETIME,
    PROJECT_FORM,
    Settings,
    made_up_token,
)

MOST_SECONDS = 10**9  # 31 years: times stay within the range of dates


def _rate_limit(_: click.Context, __: click.Parameter, value: str) -> tuple[int, float] | None:
    if value == "off":
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,8})/([0-9]{1,6}(?:\.[0-9]{1,3})?)", value, re.ASCII)
    if match is None or float(match[2]) <= 0:
        raise click.BadParameter(f"{value!r} is neither CALLS/SECONDS, as in 1000/300, nor `off`.")
    return int(match[1]), float(match[2])


def _seconds(_: click.Context, __: click.Parameter, value: float) -> float:
    if not abs(value) <= MOST_SECONDS:  # so that NaN is refused, too
        raise click.BadParameter(f"{value} is not from -{MOST_SECONDS} to {MOST_SECONDS} seconds.")
    return value


def _projects(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, bool] | None:
    projects = {value.removesuffix(":ro"): not value.endswith(":ro") for value in values}
    for name in projects:
        if not PROJECT_FORM.fullmatch(name):
            raise click.BadParameter(f"{name!r} does not have the form owner/name.")
    return projects or None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cavatica-upload")
def main() -> None:
    """The upload API of CAVATICA and its sister platforms, as a server on this machine."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 picks a free port.")
@click.option("--token", "tokens", multiple=True, help="A token to accept; each is a separate user. Can be repeated.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder that keeps state and bytes; otherwise temporary.")
@click.option(
    "--rate-limit",
    metavar="CALLS/SECONDS|off",
    callback=_rate_limit,
    default="1000/300",
    show_default=True,
    help="Calls in a window, for each token.",
)
@click.option(
    "--project",
    "projects",
    multiple=True,
    callback=_projects,
    help="owner/name, or owner/name:ro (read-only). Only these projects exist.",
)
@click.option("--seed", type=int, help="Makes ids and signatures the same in every run.")
@click.option(
    "--min-part-size",
    type=click.IntRange(1, MAX_PART_SIZE),
    default=MIN_PART_SIZE,
    show_default=True,
    help="Smallest size of a part, except the last, in bytes.",
)
@click.option("--part-size", type=click.IntRange(1, MAX_PART_SIZE), help="Part size of every upload, in bytes.")
@click.option(
    "--part-url-lifetime",
    type=click.FloatRange(0, min_open=True),
    callback=_seconds,
    default=PART_URL_LIFETIME,
    show_default=True,
    help="Seconds until a part URL expires.",
)
@click.option(
    "--certificate", type=click.Path(path_type=Path), help="PEM file with a certificate and its chain, for https."
)
@click.option("--key", type=click.Path(path_type=Path), help="PEM file with its key, if it is not in the same file.")
@click.option("-v", "--verbose", is_flag=True, help="Write a line about each call to standard error.")
@click.option(
    "--clock-offset", type=float, callback=_seconds, default=0.0, help="Seconds by which the mock's clock is wrong."
)
def serve(
    *,
    host: str,
    port: int,
    tokens: tuple[str, ...],
    data: Path | None,
    rate_limit: tuple[int, float] | None,
    projects: dict[str, bool] | None,
    seed: int | None,
    min_part_size: int,
    part_size: int | None,
    part_url_lifetime: float,
    certificate: Path | None,
    key: Path | None,
    clock_offset: float,
    verbose: bool,
) -> None:
    """Answer under /v2 until SIGTERM or Ctrl-C. Prints one line when it is ready."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")
    made_up = None if tokens else made_up_token(seed)
    try:
        settings = Settings(
            tokens=tokens or (made_up or "",),
            projects=projects,
            rate_limit=rate_limit,
            data=data,
            seed=seed,
            min_part_size=min_part_size,
            part_size=part_size,
            part_url_lifetime=part_url_lifetime,
            clock=lambda: time.time() + clock_offset,
            tls=_tls(certificate, key),
        )
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--token") from None
    try:
        from cavatica_mock.faults import Faults
        from cavatica_mock.server import new_event_loop, serving  # here, because --help does not need aiohttp
    except ModuleNotFoundError as error:
        raise click.ClickException(MISSING.format(module=error.name)) from None

    async def run() -> None:
        async with serving(settings, Faults(), host, port) as mock:
            stopping = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stopping.set)
            shown = f" token={made_up}" if made_up else ""
            click.echo(f"cavatica-mock ready: {mock.origin}/v2{shown}")
            await stopping.wait()

    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(run())
    except OSError as error:
        raise click.ClickException(_why(error, host, port, data)) from None
    except sqlite3.Error as error:
        hint = " Is another mock using it?" if "locked" in str(error) else ""
        raise click.ClickException(f"{data} cannot be used as the data folder: {error}.{hint}") from None


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        if key is not None:
            raise click.UsageError("--key needs --certificate.")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password="")  # refuses a key with a password instead of prompting
    except ssl.SSLError as error:
        files = f"{certificate} and {key}" if key else certificate
        message = f"{files}: not a certificate in PEM form with its key."
        raise click.BadParameter(message, param_hint="--certificate") from error
    except OSError as error:
        files = f"{certificate} or {key}" if key else certificate
        raise click.BadParameter(f"{files} cannot be read: {error.strerror}.", param_hint="--certificate") from error
    return context


def _why(error: OSError, host: str, port: int, data: Path | None) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use. Stop the program that listens there, or use another --port."
    if error.filename is not None:
        return f"{data or error.filename} cannot be used as the data folder: {error.strerror}."
    return f"The mock cannot listen at {host}:{port}: {error.strerror or error}."


if __name__ == "__main__":
    sys.exit(main())
