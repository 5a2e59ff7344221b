"""A `make` target with a wrong value says in one sentence what is wrong and what to do, without a traceback."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKE = ("make", "--assume-old=install", "--assume-old=toolbox", "--no-print-directory")


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a target with the programs that run this test."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path}
    return subprocess.run([*MAKE, *words], cwd=ROOT, env=env, check=False, capture_output=True, text=True)


@pytest.fixture
def files(tmp_path):
    """A folder with what cannot be uploaded."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nothing")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing", "cannot be read: No such file or directory"),
        ("link", "cannot be read: No such file or directory"),
        ("x" * 300, "cannot be read: File name too long"),
        (".", "is a folder"),
        ("pipe", "is not a regular file"),
    ],
)
def test_a_file_for_the_demo_that_cannot_be_uploaded(files, name, problem):
    """`make demo FILE=…` names the problem of the file."""
    done = make("demo", f"FILE={files / name}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == f"{files / name} {problem}. Name a file: make demo FILE=some.bam"


@pytest.mark.parametrize("name", ["a b'c\"$HOME.bam", "-dash", "100% `id` #1", "empty"])
def test_a_file_for_the_demo_with_an_odd_name(tmp_path, name):
    """`make demo FILE=…` uploads a file with any name, an empty one too."""
    (tmp_path / name).write_bytes(b"bytes" * (name != "empty"))
    done = make("demo", f"FILE={tmp_path / name}")
    assert done.returncode == 0, done.stderr
    assert "The file arrived whole." in done.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("test PYTHON=python9", "PYTHON=python9 is not installed. Name a Python that is:"),
        ("mock PORT=1;id", "Invalid value for '--port': '1;id'"),
        ('upgrade CHECKS=";id', "Name the new document: make upgrade SPEC=new.yaml"),
        ("mock PORT=abc", "Invalid value for '--port': 'abc'"),
        ("contract BASE_URL=nonsense", "make contract BASE_URL=… TOKEN=…"),
        ("contract TOKEN=x", "TOKEN is set without BASE_URL: make contract BASE_URL=…"),
        ("contract OTHER_TOKEN=x", "OTHER_TOKEN is set without BASE_URL: make contract BASE_URL=…"),
        ("contract PROJECT=o/p", "PROJECT is set without BASE_URL: make contract BASE_URL=…"),
        ("contract BEHIND=nginx", "make mutants BEHIND=nginx"),
        ("mutants BASELINE=keep", "make contract-live PROJECT=… BASELINE=keep"),
        ("contract SEED=abc", "SEED='abc'"),
        ("contract-live", "make contract-live PROJECT=owner/name"),
        ("mutants BEHIND=apache", "BEHIND='apache'"),
        ("release", "make release VERSION=0.2.0"),
        ("release VERSION='\"", "make release VERSION=0.2.0"),
        ("upgrade", "Name the new document: make upgrade SPEC=new.yaml"),
        ("upgrade SPEC=missing", "missing is not a file."),
        ("upgrade SPEC=-x", "-x is not a file."),
        ("spec-diff OLD=-x", "OLD=-x is neither a file nor a commit"),
        ("upgrade SPEC=openapi.yaml BREAKING=yes", "Set BREAKING=accepted, or leave it out."),
        ("upgrade SPEC=openapi.yaml BREAKING='\"", "Set BREAKING=accepted, or leave it out."),
    ],
)
def test_a_wrong_value(words, sentence):
    """Each target refuses a value that it does not know, and says what to do."""
    done = make(*words.split())
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["missing", ".", "binary", "empty", "list.json", "no-paths.yaml", "odd-path.yaml"])
@pytest.mark.parametrize("target", ["spec-diff OLD", "upstream-diff UPSTREAM"])
def test_a_file_that_is_not_a_document(tmp_path, target, name):
    """A target that reads a document says in a sentence that it cannot."""
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "empty").touch()
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "no-paths.yaml").write_text("openapi: 3.1.0\ninfo: {version: 1.0.0}\npaths: 5\n")
    (tmp_path / "odd-path.yaml").write_text("openapi: 3.1.0\ninfo: {version: 1.0.0}\npaths: {/a: 5}\n")
    target, variable = target.split()
    done = make(target, f"{variable}={tmp_path / name}")
    assert done.returncode == 2
    assert str(tmp_path / name) in done.stderr
    assert "Traceback" not in done.stderr


def test_an_upgrade_without_git(tmp_path):
    """`make upgrade` compares with the last commit; where there is none, it says so."""
    (tmp_path / "new.yaml").touch()
    command = [sys.executable, str(ROOT / "tools/upgrade.py"), "new.yaml"]
    for name, value in {"GIT_DIR": str(tmp_path / "none"), "PATH": str(tmp_path)}.items():
        env = {**os.environ, name: value}
        done = subprocess.run(command, cwd=tmp_path, env=env, check=False, capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr.startswith("\ngit is needed: its last commit of openapi.yaml is compared")


def test_a_step_of_an_upgrade_that_ignores_the_signal(monkeypatch):
    """A program that does not end after a signal is killed."""
    spec = importlib.util.spec_from_file_location("upgrade", ROOT / "tools/upgrade.py")
    upgrade = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(upgrade)
    monkeypatch.setattr(upgrade, "PATIENCE", 0)
    monkeypatch.setattr(upgrade, "received", [signal.SIGCONT])  # which no program ends at
    with pytest.raises(KeyboardInterrupt):
        upgrade.run("sleep", "1000")
