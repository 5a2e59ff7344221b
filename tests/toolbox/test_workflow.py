"""The life of an upload as an Arazzo document runs against the mock."""

import yaml

from tests.toolbox.conftest import ROOT


def test_the_workflows_run_and_print_no_signed_url(run):
    """Every step of life, abort and resume passes its checks; not even --verbose prints a token or a signed URL."""
    workflows = yaml.safe_load((ROOT / "workflows" / "upload.arazzo.yaml").read_text())["workflows"]
    assert [workflow["workflowId"] for workflow in workflows] == ["upload", "abort", "resume"]
    done = run("python", "tools/workflow.py", "--verbose")
    assert done.returncode == 0, done.stdout
    steps = sum(len(workflow["steps"]) for workflow in workflows)
    assert f"Steps: {steps} passed, {steps} total" in done.stdout
    assert "signature=" not in done.stdout.lower()
    assert "step put" in done.stdout


def test_a_wrong_answer_fails_the_run(run, tmp_path):
    """A check that does not hold ends with another exit code than 0."""
    document = (ROOT / "workflows" / "upload.arazzo.yaml").read_text().replace("== 204", "== 200")
    document = document.replace("../openapi.yaml", str(ROOT / "openapi.yaml"))
    path = tmp_path / "wrong.arazzo.yaml"
    path.write_text(document)
    done = run("python", "tools/workflow.py", "--workflow", "abort", cwd=ROOT)
    assert done.returncode == 0
    assert run("python", ROOT / "tools" / "workflow.py", "--document", path).returncode != 0
