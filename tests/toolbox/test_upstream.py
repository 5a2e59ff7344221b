"""`make upstream-diff` tells what the vendor has changed, and not what its exports always have wrong."""


def test_differences_are_told_by_operation(run):
    """An operation or key that only the vendor has and a type that differs are told; known mistakes are counted."""
    done = run("python", "tools/upstream_diff.py", "tests/toolbox/vendor.json")
    assert done.returncode == 1, done.stderr
    assert "POST /files/{}/actions/copy: the vendor has it (copy-a-file)" in done.stdout
    assert "startUpload: body key storage_class is only in the vendor's (string)" in done.stdout
    assert "startUpload: body key size is string in the vendor's, integer here" in done.stdout
    assert "startUpload: body key md5 is only here" in done.stdout
    assert "abortUpload" not in done.stdout
    assert "startUpload: parameter X-SBG-Auth-Token" not in done.stdout
    assert "left out: the exports list the token as a parameter" in done.stdout


def test_what_is_no_export_is_a_sentence(run, tmp_path):
    """A missing file and one that is no document end with 2 and a sentence."""
    (tmp_path / "list.json").write_text("[1]")
    for name in ("nowhere.json", str(tmp_path / "list.json")):
        done = run("python", "tools/upstream_diff.py", name)
        assert done.returncode == 2, done.stdout
        assert "Traceback" not in done.stderr
