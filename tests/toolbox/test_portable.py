"""`make check-portable` finds what other tools cannot read."""

from tests.toolbox.conftest import ROOT

DOCUMENT = (ROOT / "openapi.yaml").read_text()


def test_the_document_is_portable(run):
    """TypeScript can send and read everything, and missing Java is reported. The linters are in test_house_rules."""
    done = run("python", "tools/check_portable.py", "--without-java")
    assert done.returncode == 0, done.stdout
    assert "TypeScript, strict       no finding" in done.stdout
    assert "skipped" in done.stdout


def test_types_that_typescript_cannot_send_are_found(run, tmp_path):
    """A body that no TypeScript program can send is found."""
    path = tmp_path / "openapi.yaml"
    path.write_text(DOCUMENT.replace("- type: 'null'", "- type: object", 1))
    done = run("python", ROOT / "tools" / "check_portable.py", path, "--without-java")
    assert done.returncode == 1
    assert "TypeScript, strict       findings" in done.stdout
    assert "probe.ts" in done.stdout


def test_the_locks_name_no_registry():
    """Every lock of the toolbox has hashes and no address."""
    tools = ROOT / "tools"
    for path in (tools / "package-lock.json", *tools.glob("*.txt"), tools / ".npmrc"):
        assert "://" not in path.read_text(), path.name
    for path in tools.glob("*.txt"):
        packages = [line for line in path.read_text().splitlines() if "==" in line]
        assert packages
        assert path.read_text().count("--hash=sha256:") >= len(packages), path.name
    lock = (tools / "package-lock.json").read_text()
    assert lock.count('"integrity": "sha512-') == lock.count('"node_modules/')
