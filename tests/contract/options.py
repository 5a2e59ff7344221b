"""The options of the suite, from environment variables: `make contract BASE_URL=… SEED=…` sets them."""

import os
import random
import secrets
import signal
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Final, Self

import attrs

from tests.contract.answer import Broken
from tests.contract.document import ROOT
from tests.contract.server import PROJECT, Target

SEED: Final = 20261122
REPORTS: Final = ROOT / "reports"
SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)  # a cancelled job, a closed terminal


class UsageError(Exception):
    """Wrong usage: what is wrong, and what to do instead."""


@attrs.frozen
class Options:
    """With `base_url` None the suite starts a mock. The same `seed` repeats a run."""

    seed: int
    base_url: str | None = None
    token: str | None = attrs.field(default=None, repr=False)
    other_token: str | None = attrs.field(default=None, repr=False)
    project: str | None = None
    profile: str | None = None
    only: tuple[str, ...] = ()
    share: float = 0.5
    reports: Path = REPORTS
    keep_drifts: bool = False
    behind: str | None = None

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """The options that `python -m tests.contract --help` lists. Raises UsageError."""
        project = environ.get("PROJECT") or None
        if project is not None and project.count("/") != 1:
            raise UsageError(f"PROJECT={project!r} does not have the form owner/name.")
        try:
            share = float(environ.get("SHARE") or 0.5)
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            raise UsageError(
                "SHARE is the part of the rate limit that may be used, more than 0 and at most 1: SHARE=0.5"
            )
        return cls(
            seed=_seed(environ.get("SEED") or str(SEED)),
            base_url=(environ.get("BASE_URL") or "").rstrip("/") or None,
            token=environ.get("TOKEN") or None,
            other_token=environ.get("OTHER_TOKEN") or None,
            project=project,
            profile=environ.get("PROFILE") or None,
            only=tuple(environ.get("ONLY", "").replace(",", " ").split()),
            share=share,
            reports=Path(environ.get("REPORTS") or REPORTS),
            behind="nginx" if _only(environ, "BEHIND", "nginx") else None,
            keep_drifts=_only(environ, "BASELINE", "keep"),
        )

    def check_command(self, command: str) -> None:
        """Raise UsageError if an option is set that belongs to another command."""
        if self.behind and command != "mutants":
            raise UsageError("BEHIND is for the mutants only: make mutants BEHIND=nginx")
        if self.keep_drifts and command != "live":
            raise UsageError("BASELINE is for a live platform only: make contract-live PROJECT=… BASELINE=keep")

    def check_phases(self, phases: Iterable[str]) -> None:
        """Raise UsageError if ONLY names an unknown phase."""
        known = list(phases)
        if unknown := [name for name in self.only if name not in known]:
            raise UsageError(f"ONLY={unknown[0]!r} is not a phase. The phases are {', '.join(known)}.")

    def given_target(self) -> Target | None:
        """The server at BASE_URL, None for our own mock. Raises UsageError if only a part of it is given."""
        if self.base_url is None:
            given = {"TOKEN": self.token, "OTHER_TOKEN": self.other_token, "PROJECT": self.project}
            if alone := next((name for name, value in given.items() if value), None):
                raise UsageError(
                    f"{alone} is set without BASE_URL: make contract BASE_URL=… TOKEN=… PROJECT=… tests that server, "
                    "make contract alone tests the mock."
                )
            return None
        if self.token is None:
            raise UsageError("BASE_URL needs TOKEN too: make contract BASE_URL=… TOKEN=…")
        run = secrets.token_hex(3)
        return Target(
            self.base_url, self.token, self.project or PROJECT, own=False, other_token=self.other_token, run=run
        )


def check_target(target: Target) -> None:
    """Raise UsageError if nothing answers or the token is refused: every request would fail."""
    try:
        status = target.api(judge=False).call("getRateLimit").status
    except Broken as broken:
        why = broken.__cause__ or broken.message
        what = "SSL_CERT_FILE" if isinstance(why, ssl.SSLCertVerificationError) else "BASE_URL"
        raise UsageError(f"{target.base_url} does not answer ({why}). Check {what}.") from broken
    if status == 401:
        raise UsageError(f"{target.base_url} refuses the token. Check TOKEN.")


def _only(environ: Mapping[str, str], name: str, value: str) -> bool:
    """Whether a variable is set, which can have one value only."""
    if environ.get(name) not in (None, "", value):
        raise UsageError(f"{name}={environ[name]!r} is not valid. The only value is {name}={value}.")
    return bool(environ.get(name))


def _seed(text: str) -> int:
    if text == "random":
        return random.SystemRandom().randrange(2**31)
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"SEED={text!r} is neither an integer nor `random`.") from None


def tidy_on_signals() -> None:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, so that what was started is ended. Ignored ones stay ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(_: int, __: FrameType | None) -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # a second one must not end the tidying
    raise KeyboardInterrupt
