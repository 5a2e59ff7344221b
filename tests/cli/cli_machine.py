"""A user's machine: real `cavatica` processes against a mock behind a real socket."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import attrs

from cavatica_mock import Fault, MockServer
from cavatica_upload.cli import run

PROJECT = "mlin/rna-pilot"


@attrs.frozen
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The objects that --json printed."""
        return [json.loads(line) for line in self.out.splitlines()]

    def event(self, name: str) -> dict[str, Any]:
        """The only event of this name."""
        (found,) = [event for event in self.events if event["event"] == name]
        return found


@attrs.frozen
class Machine:
    """A folder with files, an empty state directory, and the environment of a user of the mock."""

    mock: MockServer
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables that every command gets."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV") if name in os.environ}
        return kept | {
            "HOME": str(self.home),
            "SB_API_ENDPOINT": self.mock.base_url,
            "SB_AUTH_TOKEN": self.mock.token,
            "CAVATICA_STATE_DIR": str(self.home / "state"),
        }

    def start(self, *words: str, env: Mapping[str, str] | None = None, **more: Any) -> subprocess.Popen[bytes]:
        """Start a command in the home folder."""
        return subprocess.Popen(
            [sys.executable, "-m", "cavatica_upload", *words],
            cwd=self.home,
            env=self.environment | dict(env or {}),
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more,
        )

    def call(self, *words: str, env: Mapping[str, str] | None = None) -> Ended:
        """Run a command within this process, which is the same except for signals and the start of Python."""
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.environment | dict(env or {}), clear=True),
            contextlib.chdir(self.home),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = run(words)
        assert self.mock.token not in out.getvalue() + err.getvalue()
        return Ended(code, out.getvalue(), err.getvalue())

    def run(self, *words: str, env: Mapping[str, str] | None = None, data: bytes | None = None) -> Ended:
        """Run a command until it ends."""
        source = subprocess.DEVNULL if data is None else subprocess.PIPE
        process = self.start(*words, env=env, stdin=source)
        out, err = process.communicate(data)
        ended = Ended(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in ended.err, ended.err
        assert self.mock.token not in ended.out + ended.err
        return ended

    def leave_open(self, *words: str, part: int) -> str:
        """Run an upload until storage has all parts but one, which it never takes; return the upload's ID."""
        self.mock.faults.add(Fault("putPart", "no_etag", part=part, times=None))
        while True:  # the part may fail for the last time before the others were sent
            assert self.call(*words, "--retry-for", "0s").code == 4
            (upload,) = self.mock.uploads()
            if upload["uploaded_parts_count"] == part - 1:
                self.mock.faults.clear()
                return str(upload["upload_id"])

    def file(self, path: str, content: bytes = b"ACGT\n") -> Path:
        """Make a file."""
        place = self.home / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return place

    def remote(self) -> dict[str, bytes]:
        """The content of each file on the platform, by its path."""
        entries = {entry["id"]: entry for entry in self.mock.files()}

        def path(entry: dict[str, Any]) -> str:
            above = entries.get(entry.get("parent"))
            return f"{path(above)}/{entry['name']}" if above else str(entry["name"])

        files = [entry for entry in entries.values() if entry["type"].lower() == "file"]
        return {path(entry): self.mock.file_bytes(entry["id"]) for entry in files}
