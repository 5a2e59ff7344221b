"""The life of an upload as an Arazzo document, against the mock."""

import yaml

from tests.toolbox.conftest import ROOT


def test_the_workflows_run_and_print_no_signed_url(run):
    """Every step passes its checks, and even --verbose prints neither token nor signed URL."""
    workflows = yaml.safe_load((ROOT / "workflows" / "upload.arazzo.yaml").read_text())["workflows"]
    assert [workflow["workflowId"] for workflow in workflows] == ["upload", "abort", "resume"]
    done = run("python", "tools/workflow.py", "--verbose")
    assert done.returncode == 0, done.stdout
    steps = sum(len(workflow["steps"]) for workflow in workflows)
    assert f"Steps: {steps} passed, {steps} total" in done.stdout
    assert "signature=" not in done.stdout.lower()
    assert "step put" in done.stdout


def test_a_wrong_answer_fails_the_run(run, tmp_path):
    """A failed check is named with its step, the steps before it pass, and the run exits with 1."""
    document = (ROOT / "workflows" / "upload.arazzo.yaml").read_text()
    document = document.replace("../openapi.yaml", str(ROOT / "openapi.yaml"))
    assert document.count("== 204") == 1
    path = tmp_path / "wrong.arazzo.yaml"
    for text, status in ((document, 0), (document.replace("== 204", "== 200"), 1)):
        path.write_text(text)
        done = run("python", "tools/workflow.py", "--document", path, "--workflow", "abort")
        assert done.returncode == status, done.stdout
    wrong = [line.strip() for line in done.stdout.splitlines() if "\u2717" in line]
    assert wrong[:2] == [
        "\u2717 DELETE /upload/multipart/{upload_id} - step abort",
        "\u2717 success criteria check - $statusCode == 200",
    ]
    assert "Steps: 1 passed, 1 failed, 2 total" in done.stdout


def test_a_workflow_that_is_not_there_is_named(run):
    """A missing workflow is reported in one sentence."""
    done = run("python", "tools/workflow.py", "--document", "nowhere.yaml")
    assert done.returncode == 1
    assert "nowhere.yaml" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
