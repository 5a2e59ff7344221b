"""Run workflows/upload.arazzo.yaml with Redocly against a mock, and print the result without signed URLs."""

import argparse
import json
import re
import subprocess
from pathlib import Path

from cavatica_mock import MockServer

ROOT = Path(__file__).resolve().parents[1]
SECRET = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']+")


def main() -> int:
    """Run every workflow, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--document", default="workflows/upload.arazzo.yaml")
    given, rest = parser.parse_known_args()
    with MockServer() as mock:
        for_each = [
            "--input",
            json.dumps({"project": "workflow/run", "token": mock.token}),
            "--server",
            f"api={mock.base_url}",
        ]
        command = ["redocly", "respect", given.document, *for_each, *rest]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    print(SECRET.sub(r"\1?…", done.stdout + done.stderr).replace(mock.token, "$TOKEN"))
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
