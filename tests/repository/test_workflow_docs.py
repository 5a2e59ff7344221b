"""The snippets for workflow engines upload files, with the values that the engines insert."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "workflows.md").read_text()
PROJECT = "owner/study"


def snippet(language: str) -> str:
    """The only code block in a language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    return block


def nextflow(paths: list[str]) -> str:
    """The script of a process: Nextflow replaces `${…}`, and escapes paths."""
    script = re.findall(r'"""\n(.*?)"""', snippet("nextflow"), flags=re.DOTALL)[0]
    return script.replace("${reads}", shlex.join(paths)).replace("${params.project}", PROJECT)


def wdl(paths: list[str]) -> str:
    """The command of a task: `~{…}` are its inputs. `write_lines` writes a file and gives its path."""
    command = re.findall(r"<<<\n(.*?)>>>", snippet("wdl"), flags=re.DOTALL)[0]
    before, _, after = command.replace("~{project}", PROJECT).partition("~{write_lines(files)}")
    return f"printf '%s\\n' {shlex.join(paths)} > lines\n{before}lines{after}"


def cwl(paths: list[str]) -> str:
    """The command line of a tool: its inputs in the order of their positions."""
    tool = yaml.safe_load(snippet("yaml"))
    values = {"files": paths, "project": [PROJECT]}
    bound = sorted(tool["inputs"].items(), key=lambda item: item[1]["inputBinding"]["position"])
    words = [word for name, field in bound for word in (field["inputBinding"].get("prefix"), *values[name]) if word]
    return f"{shlex.join([*tool['baseCommand'], *words])} > {tool['stdout']}"


@pytest.mark.parametrize("script", [nextflow, wdl, cwl])
def test_snippets_upload(cavatica_mock, tmp_path, script):
    """Each snippet uploads the files that its engine staged as links, and writes their IDs to uploaded.tsv."""
    (tmp_path / "a b").mkdir()
    for name in ("a 1.fq", "b.fq"):
        (tmp_path / "a b" / name).write_text(name)
        (tmp_path / name).symlink_to(f"a b/{name}")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SB_API_ENDPOINT": cavatica_mock.base_url,
        "SB_AUTH_TOKEN": cavatica_mock.token,
        "CAVATICA_STATE_DIR": str(tmp_path / "state"),
    }
    done = subprocess.run(
        ["bash", "-c", script(["a 1.fq", "b.fq"])],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ids = {file["id"]: file["name"] for file in cavatica_mock.files()}
    rows = [line.split("\t") for line in (tmp_path / "uploaded.tsv").read_text().splitlines()]
    assert sorted((ids[row[0]], Path(row[1]).name) for row in rows) == [("a 1.fq", "a 1.fq"), ("b.fq", "b.fq")]
