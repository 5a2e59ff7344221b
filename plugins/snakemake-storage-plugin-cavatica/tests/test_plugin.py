"""The plugin with Snakemake's own tests and with workflows, on the mock."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake_interface_storage_plugins.tests import TestStorageBase
from snakemake_storage_plugin_cavatica import StorageProvider, StorageProviderSettings

from cavatica_mock import MockServer

WORKFLOW = """
samples = [f"s{{i}}" for i in range({count})]

rule all:
    input: storage("cavatica://owner/study/run/summary.txt")

rule make:
    output: storage("cavatica://owner/study/run/raw/{{sample}}.txt")
    shell: "echo {{wildcards.sample}} > {{output}}"

rule double:
    input: storage("cavatica://owner/study/run/raw/{{sample}}.txt")
    output: storage("cavatica://owner/study/run/doubled/{{sample}}.txt")
    shell: "cat {{input}} {{input}} > {{output}}"

rule summary:
    input: storage(expand("cavatica://owner/study/run/doubled/{{sample}}.txt", sample=samples))
    output: storage("cavatica://owner/study/run/summary.txt")
    shell: "sort {{input}} > {{output}}"
"""


@pytest.fixture
def mock(tmp_path, monkeypatch):
    """A mock that the plugin finds through the environment."""
    with MockServer() as server:
        monkeypatch.setenv("SB_API_ENDPOINT", server.base_url)
        monkeypatch.setenv("SB_AUTH_TOKEN", server.token)
        monkeypatch.setenv("CAVATICA_STATE_DIR", str(tmp_path / "state"))
        yield server


@pytest.mark.usefixtures("mock")
class TestStorage(TestStorageBase):
    """Snakemake's test suite for storage plugins."""

    __test__ = True

    def get_storage_provider_cls(self):
        return StorageProvider

    def get_storage_provider_settings(self):
        return StorageProviderSettings()

    def get_query(self, tmp_path):
        return "cavatica://owner/study/folder/test.txt"

    def get_query_not_existing(self, tmp_path):
        return "cavatica://owner/study/folder/absent.txt"


def run_workflow(folder: Path, count: int) -> str:
    """Run the three rules for a number of samples, and return the output of Snakemake."""
    folder.mkdir(exist_ok=True)
    (folder / "Snakefile").write_text(WORKFLOW.format(count=count))
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "2",
        "--directory",
        str(folder),
        "-s",
        str(folder / "Snakefile"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_workflow(mock, tmp_path):
    """A workflow of three rules runs on platform files from end to end, and a second run has nothing to do."""
    run_workflow(tmp_path / "w", 4)
    files = [file for file in mock.files() if file["type"] == "file"]
    assert len(files) == 4 + 4 + 1
    (summary,) = (file["id"] for file in files if file["name"] == "summary.txt")
    assert mock.file_bytes(summary) == b"".join(2 * f"s{i}\n".encode() for i in range(4))
    assert "Nothing to be done" in run_workflow(tmp_path / "w", 4)


@pytest.mark.parametrize("count", [4, 20])
def test_calls(mock, tmp_path, count):
    """A workflow makes at most 10 calls for each of its files, and some for its folders."""
    run_workflow(tmp_path / "w", count)
    files = 2 * count + 1
    calls = sum(number for name, number in mock.calls.items() if name not in ("putPart", "getBytes"))
    assert calls <= 10 * files


def test_wildcards(mock, tmp_path):
    """glob_wildcards finds the files of a folder and of its subfolders."""
    run_workflow(tmp_path / "w", 2)
    provider = StorageProvider(local_prefix=tmp_path / "prefix", logger=None, settings=StorageProviderSettings())
    found = provider.object("cavatica://owner/study/run/{kind}/{sample}.txt").list_candidate_matches()
    assert sorted(found) == [
        f"cavatica://owner/study/run/{kind}/s{i}.txt" for kind in ("doubled", "raw") for i in range(2)
    ] + ["cavatica://owner/study/run/summary.txt"]


@pytest.mark.usefixtures("mock")
def test_queries():
    """A query without owner, project and file is refused, and the error shows the form."""
    for query in ("cavatica://owner/study", "cavatica://owner", "s3://owner/study/x"):
        assert "owner/project/path" in StorageProvider.is_valid_query(query).reason
