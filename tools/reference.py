"""Make the reference page: reference.py OUTPUT, one HTML file from openapi.yaml that loads nothing else.

Each operation has three samples: for curl, for the generated client, and for `connect()`. Redoc draws the page.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from document import Document
from generate import snake

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = re.compile(r"https://cdn\.redoc(?:\.ly|ly\.com)/[^\"'`)\s]*")
"""Pictures that Redoc would load: its logo and icons."""
BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
PYTHON = """\
from cavatica_client.api.{package} import {module}
{imports}{client}

answer = {module}.sync_detailed({arguments})
print(answer.parsed)"""
CLIENT = """\
from cavatica_client import AuthenticatedClient

client = AuthenticatedClient(
    base_url="{server}", token="your authentication token", prefix="", auth_header_name="{header}"
)"""
CONNECT = """\
from cavatica_upload import connect

client = connect()  # token and endpoint from the environment or ~/.sevenbridges/credentials"""


class Samples:
    """The samples of a document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.server: str = document.data["servers"][0]["url"]
        self.header: str = document.data["components"]["securitySchemes"]["authToken"]["name"]

    def of(self, path: str, method: str, operation: dict[str, Any]) -> dict[str, str]:
        """Return the samples of an operation by their labels."""
        values = self._parameters(path, operation)
        body = self._body(operation)
        client = CLIENT.format(server=self.server, header=self.header)
        return {
            "curl": self._curl(path, method, values, body),
            "generated client": self._python(operation, values, body, client),
            "connect()": self._python(operation, values, body, CONNECT),
        }

    def _parameters(self, path: str, operation: dict[str, Any]) -> dict[str, Any]:
        """Return the example of each required parameter, and of `project` if there is no `parent`."""
        listed = [*self._document.data["paths"][path].get("parameters", []), *operation.get("parameters", [])]
        values: dict[str, Any] = {}
        for one in map(self._document.resolved, listed):
            examples = self._document.resolved(one["schema"]).get("examples", [None])
            if one.get("required") or (one["name"] == "project" and "parent" not in values):
                values[one["name"]] = examples[0]
        return values

    def _body(self, operation: dict[str, Any]) -> tuple[str, Any] | None:
        """Return the name of the body's schema, and its first example."""
        body = self._document.resolved(operation.get("requestBody"))
        if not body or "application/json" not in body["content"]:
            return None
        media = body["content"]["application/json"]
        choices = media["schema"].get("anyOf", [media["schema"]])
        name = next((choice["$ref"].rpartition("/")[2] for choice in choices if "$ref" in choice), "")
        return name, next(iter(media["examples"].values()))["value"]

    def _curl(self, path: str, method: str, values: dict[str, Any], body: tuple[str, Any] | None) -> str:
        url = path
        for name, value in values.items():
            url = url.replace(f"{{{name}}}", str(value))
        queries = {name: value for name, value in values.items() if f"{{{name}}}" not in path}
        url += "?" * bool(queries) + "&".join(f"{name}={value}" for name, value in queries.items())
        words = ["curl"] + [f"--request {method.upper()}"] * (method != "get" and not (method == "post" and body))
        parts = [" ".join([*words, f"'{self.server}{url}'"]), f'--header "{self.header}: $SB_AUTH_TOKEN"']
        if body:
            parts += ["--header 'Content-Type: application/json'", f"--data '{json.dumps(body[1], indent=2)}'"]
        return " \\\n  ".join(parts)

    def _python(
        self, operation: dict[str, Any], values: dict[str, Any], body: tuple[str, Any] | None, client: str
    ) -> str:
        keywords = [f"{snake(name)}={value!r}" for name, value in values.items()]
        imports = ""
        if body:
            imports = f"from cavatica_client.models import {body[0]}\n"
            keywords.append(f"body={body[0]}.from_dict({body[1]!r})")
        return PYTHON.format(
            package=snake(operation["tags"][0]),
            module=snake(operation["operationId"]),
            imports=imports,
            client=client,
            arguments=", ".join(["client=client", *keywords]),
        )


def with_samples(text: str) -> dict[str, Any]:
    """Return the document with the samples of each operation."""
    document = Document(text)
    samples = Samples(document)
    for path, method, operation in document.operations():
        operation["x-codeSamples"] = [
            {"label": way, "lang": "Shell" if way == "curl" else "Python", "source": source}
            for way, source in samples.of(path, method, operation).items()
        ]
    return document.data


def main(output: str) -> int:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        source, page = Path(folder, "openapi.json"), Path(folder, "reference.html")
        text = (ROOT / "openapi.yaml").read_text(encoding="utf-8")
        source.write_text(json.dumps(with_samples(text)), encoding="utf-8")
        command = ["redocly", "build-docs", str(source), "--inlineBundle", "--output", str(page)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode or not page.exists():
            print(f"Redocly made no page:\n{done.stdout}{done.stderr}", file=sys.stderr)
            return 1
        html = OUTSIDE.sub(BLANK, page.read_text(encoding="utf-8"))
    target = Path(output)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(html, encoding="utf-8")
    print(f"{target} is written, {target.stat().st_size / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
