"""`make release` tags a version only if all checks pass."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.toolbox.conftest import ROOT

FILES = ("openapi.yaml", "pyproject.toml", "CHANGELOG.md", "CHANGELOG-contract.md", "tools/release.sh")


@pytest.fixture
def tree(tmp_path, run):
    """A repository with the files that decide a release."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    log = tmp_path / "CHANGELOG.md"
    log.write_text("# Changes\n\n## 0.1.0 (2026-11-30)\n\nThe first.\n")
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "all")):
        assert run("git", *command, cwd=tmp_path).returncode == 0
    return tmp_path


def release(tree: Path, environ: dict[str, str], version: str, make: str) -> subprocess.CompletedProcess[str]:
    """Run the script with a program in place of make."""
    command = ["bash", "tools/release.sh", version]
    env = {**environ, "MAKE": make}
    return subprocess.run(command, cwd=tree, env=env, check=False, capture_output=True, text=True)


def test_a_release_is_tagged(tree, environ, run):
    """If every check passes, the program and the contract are tagged."""
    done = release(tree, environ, "0.1.0", "true")
    assert done.returncode == 0, done.stderr
    contract = next(
        line.split()[1] for line in (ROOT / "openapi.yaml").read_text().splitlines() if "  version: " in line
    )
    assert run("git", "tag", cwd=tree).stdout.split() == [f"contract-v{contract}", "v0.1.0"]


@pytest.mark.parametrize(
    ("version", "make", "spoil", "told"),
    [
        ("", "true", None, "name the version"),
        ("0.2.0", "true", None, "pyproject.toml has another version"),
        ("0.1.0", "false", None, "is not ready"),
        ("0.1.0", "true", ("CHANGELOG.md", "0.1.0", "0.0.9"), "CHANGELOG.md has no entry"),
        ("0.1.0", "true", ("CHANGELOG.md", "0.1.0", "0.1.0-rc1"), "CHANGELOG.md has no entry"),
        ("0.1.0", "true", ("CHANGELOG.md", "0.1.0", "0x1.0"), "CHANGELOG.md has no entry"),
        ("0.1.0", "true", ("CHANGELOG.md", "(2026-11-30)", "\u2014 unreleased"), "give it the date of the release"),
        ("0.1.0", "true", ("CHANGELOG.md", " (2026-11-30)", ""), "give it the date of the release"),
        ("0.1.0", "true", ("CHANGELOG.md", "2026-11-30", "2026-11-31"), "give it the date of the release"),
        ("0.1.0", "true", ("CHANGELOG-contract.md", "## ", "## x"), "make spec-changelog"),
    ],
)
def test_what_is_no_release_is_refused(tree, environ, run, version, make, spoil, told):
    """A failed check, a wrong version or a missing changelog entry gives no tag and a sentence."""
    if spoil:
        name, old, new = spoil
        (tree / name).write_text((tree / name).read_text().replace(old, new))
        assert run("git", "commit", "--quiet", "--all", "--message", "spoil", cwd=tree).returncode == 0
    done = release(tree, environ, version, make)
    assert done.returncode == 1
    assert "No release" in done.stderr
    assert told in done.stderr
    assert run("git", "tag", cwd=tree).stdout == ""


def test_uncommitted_changes_are_refused(tree, environ):
    """Uncommitted changes are refused."""
    (tree / "new.txt").write_text("x")
    assert "not committed" in release(tree, environ, "0.1.0", "true").stderr


def test_a_folder_that_git_cannot_read_is_refused(tree, environ):
    """If git fails, nothing counts as committed."""
    shutil.rmtree(tree / ".git")
    assert "No release: git cannot read this folder" in release(tree, environ, "0.1.0", "true").stderr


def test_a_quoted_version_is_released(tree, environ, run):
    """The contract's version may be in quotes."""
    spec = tree / "openapi.yaml"
    quoted = re.sub(r"(?m)^  version: (\S+)$", r'  version: "\1"', spec.read_text(), count=1)
    spec.write_text(quoted)
    assert run("git", "commit", "--quiet", "--all", "--message", "quote", cwd=tree).returncode == 0
    assert release(tree, environ, "0.1.0", "true").returncode == 0


def test_a_dry_run_releases_nothing():
    """`make -n release` only prints what it would run."""
    words = ["make", "-n", "--assume-old=install", "--assume-old=toolbox", "release", "VERSION=nonsense"]
    done = subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0
    assert 'tools/release.sh "$VERSION"' in done.stdout
    assert "No release" not in done.stderr
