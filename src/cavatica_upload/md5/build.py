"""Compiles lanes.c when the package is built or installed, if there is a C compiler; hatchling runs this.

Without a compiler, or with CAVATICA_MD5=hashlib, the package is built without it and computes MD5s with hashlib.
`CC`, `CFLAGS` and `LDFLAGS` are used if they are set.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

HERE = Path(__file__).parent
SOURCE = HERE / "lanes.c"
LIBRARY = HERE / "liblanes.so"
FLAGS = ("-O2", "-std=gnu11", "-fPIC", "-shared")


class LanesHook(BuildHookInterface[BuilderConfig]):
    """Adds the library to wheels, and to the source tree for editable installs."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and set what the wheel contains and where it runs."""
        problem = build()
        if problem:
            LIBRARY.unlink(missing_ok=True)
            self.app.display_warning(f"MD5s will be computed with hashlib, which is slower: {problem}")
        elif version != "editable":
            build_data["artifacts"].append(LIBRARY.relative_to(self.root).as_posix())
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{_platform()}"

    def clean(self, versions: list[str]) -> None:  # noqa: ARG002 - the name is hatchling's
        LIBRARY.unlink(missing_ok=True)


def build() -> str | None:
    """Compile unless the library is newer than its source. Return why that was not possible, None if it was."""
    if os.environ.get("CAVATICA_MD5") == "hashlib":
        return "CAVATICA_MD5 is hashlib."
    if sys.platform == "win32":
        return "Windows is not supported."
    if LIBRARY.exists() and LIBRARY.stat().st_mtime_ns > max(
        SOURCE.stat().st_mtime_ns, Path(__file__).stat().st_mtime_ns
    ):
        return None
    compiler = _compiler()
    if not compiler:
        return "there is no C compiler."
    fresh = LIBRARY.with_suffix(f".{os.getpid()}")
    words = [*compiler, *FLAGS, *_words("CFLAGS"), "-o", str(fresh), str(SOURCE), *_words("LDFLAGS")]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
        if done.returncode == 0:
            fresh.replace(LIBRARY)  # in one step: a running process may have the old one loaded
            return None
        lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}."]
        return f"{compiler[0]} failed: {next((line for line in lines if 'error' in line), lines[-1])}"
    except (OSError, subprocess.SubprocessError) as error:
        return f"{compiler[0]} failed: {error}"
    finally:
        fresh.unlink(missing_ok=True)


def _compiler() -> list[str]:
    return _words("CC") or [name for name in ("cc", "gcc", "clang") if shutil.which(name)][:1]


def _words(variable: str) -> list[str]:
    return shlex.split(os.environ.get(variable, ""))


def _platform() -> str:
    """Return the platform tag of this machine; in `make dist` auditwheel finds which others can load the library."""
    return next(tag for tag in platform_tags() if not tag.startswith(("manylinux", "musllinux")))
