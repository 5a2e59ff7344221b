"""A change of the generated package that breaks importers is reported, whatever caused it."""

import shutil

import pytest

from tests.toolbox.conftest import ROOT, TOOLS


@pytest.mark.parametrize(
    ("path", "old", "new", "told"),
    [
        ("api/files/get_file.py", "def sync(", "def fetch(", "get_file.sync: public object was removed"),
        ("api/files/get_file.py", "file_id: str", "id_: str", "file_id"),
        ("models/started_upload.py", "upload_id: str", "identity: str", '"StartedUpload" has no attribute "upload_id"'),
        ("client.py", "", "", None),
    ],
)
def test_breaking_changes_are_reported(tmp_path, run, path, old, new, told):
    """A removed function or a renamed parameter or attribute is named, and needs a new major version."""
    shutil.copytree(ROOT / "generated" / "cavatica_client", tmp_path / "generated" / "cavatica_client")
    (tmp_path / "tools").mkdir()
    for script in (*TOOLS.glob("*.py"), ROOT / "openapi.yaml"):
        shutil.copy(script, tmp_path / script.relative_to(ROOT))
    for command in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "all")):
        assert run("git", *command, cwd=tmp_path).returncode == 0
    changed = tmp_path / "generated" / "cavatica_client" / path
    changed.write_text(changed.read_text().replace(old, new) if old else changed.read_text())
    done = run(TOOLS / "venv" / "bin" / "python", "tools/python_surface.py", "--old", "HEAD", cwd=tmp_path)
    assert done.returncode == (1 if told else 0), done.stdout + done.stderr
    assert (told or "Nothing breaks") in done.stdout
    if told:
        assert "info.version" in done.stderr
