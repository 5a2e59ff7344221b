"""Write what openapi.yaml makes: generate.py DOCUMENT FOLDER.

FOLDER gets `generated`, the client of openapi-python-client with a README of its own, and `contract.json`, which has
the operations and the shapes of their answers for the uploader, so that it needs no YAML.
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from document import Document, parsed, stop, text_of

CONFIG = Path(__file__).resolve().parents[1] / "generator-config.yml"
KEPT = ("type", "format", "required", "enum", "const", "minimum", "maximum")
"""The keywords of a schema that a reader can rely on; patterns and lengths bind those who send."""
README = """\
# cavatica-client

Typed Python functions for the upload API of CAVATICA and the other Seven Bridges platforms: one module per operation,
blocking and asyncio. Generated from version {version} of `openapi.yaml`, whose
SHA-256 is `{sha256}`. Edit that document,
never this package.

The package does nothing else: no retries, no waiting for the rate limit. `cavatica_upload.connect()` gives a client
with both, and `cavatica_upload.upload()` uploads files.

## Use

```python
from cavatica_client import AuthenticatedClient
from cavatica_client.api.uploads import list_uploads
from cavatica_client.models import ApiError, UploadPage

client = AuthenticatedClient(
    base_url="{server}",
    token="your authentication token",
    prefix="",
    auth_header_name="{header}",
    raise_on_unexpected_status=True,
)
with client:
    answer = list_uploads.sync(client=client)
if isinstance(answer, UploadPage):
    print([upload.name for upload in answer.items])
elif isinstance(answer, ApiError):
    print(answer.code, answer.message)
```

Each module has `sync` and `asyncio`, which return the answer, and `sync_detailed` and `asyncio_detailed`, which return
it with its status and headers. An error of the API is returned as `ApiError`, not raised. A status that the document
does not have is raised as `errors.UnexpectedStatus`.

- `prefix` and `auth_header_name` have to be given: the generator's defaults are those of `Authorization: Bearer`.
- There is no timeout unless you set one: `timeout=httpx.Timeout(60)`.
- `repr(client)` shows the token. Do not log it.
- Send the bytes of a part with another client: the URL of a part needs no token and must not see it.

## Operations

{tables}
"""


def snake(name: str) -> str:
    """Return a name of the document as the generator spells a module."""
    return re.sub(r"([A-Z])", r"_\1", name).lower().replace("-", "_").replace(" ", "_")


def without_null_bodies(document: Document) -> dict[str, Any]:
    """Return the data of a document, changed in place: no optional body may be `null`.

    The generator (0.29.1) sends its own marker for "left out" in place of such a body, and that is no JSON. A caller in
    Python leaves the body out instead.
    """
    for _, _, operation in document.operations():
        for media in operation.get("requestBody", {}).get("content", {}).values():
            choices = [choice for choice in media["schema"].get("anyOf", ()) if choice != {"type": "null"}]
            if len(choices) == 1:
                media["schema"] = choices[0]
    return document.data


def readme(document: Document, sha256: str) -> str:
    """Return the README of the client, with a table of operations for each tag."""
    tables = []
    for tag in document.data["tags"]:
        rows = [
            f"| `{snake(operation['operationId'])}` | {operation['summary']} | `{method.upper()} {path}` |"
            for path, method, operation in document.operations()
            if operation["tags"][0] == tag["name"]
        ]
        title = f"{tag['description'].rstrip()} In `cavatica_client.api.{snake(tag['name'])}`:"
        tables.append("\n".join([title, "", "| module | does | call |", "|---|---|---|", *rows]))
    return README.format(
        version=document.data["info"]["version"],
        sha256=sha256,
        server=document.data["servers"][0]["url"],
        header=document.data["components"]["securitySchemes"]["authToken"]["name"],
        tables="\n\n".join(tables),
    )


def contract(document: Document, sha256: str) -> str:
    """Return the uploader's contract as JSON, with a line for each operation and each schema."""
    schemas: dict[str, Any] = {}

    def shape(schema: Any) -> dict[str, Any]:
        if not isinstance(schema, dict):
            return {}
        if "$ref" in schema:
            place, _, name = schema["$ref"].rpartition("/")
            if place != "#/components/schemas":
                return {}
            if name not in schemas:
                schemas[name] = {}  # it may contain itself
                schemas[name] = shape(document.data["components"]["schemas"][name])
            return {"$ref": name}
        kept = {keyword: schema[keyword] for keyword in KEPT if keyword in schema}
        if "properties" in schema:
            kept["properties"] = {key: shape(inner) for key, inner in schema["properties"].items()}
        for keyword in ("items", "additionalProperties"):
            if isinstance(schema.get(keyword), dict):
                kept[keyword] = shape(schema[keyword])
        return kept

    def body(answer: dict[str, Any]) -> Any:
        """The shape of an answer: None if it is no JSON, {} if it is any JSON."""
        kinds = {kind.partition(";")[0].strip(): media for kind, media in answer.get("content", {}).items()}
        found = next((kind for kind in kinds if kind == "application/json" or kind.endswith("+json")), None)
        return None if found is None else shape(kinds[found].get("schema", {}))

    operations = [
        {
            "name": operation.get("operationId", f"{method.upper()} {path}"),
            "method": method.upper(),
            "path": path,
            "successes": {
                str(status).upper().replace("XX", "00"): body(document.resolved(answer))
                for status, answer in operation["responses"].items()
                if str(status).startswith("2")
            },
        }
        for path, method, operation in document.operations()
    ]
    lines = ",\n".join(json.dumps(operation) for operation in operations)
    named = ",\n".join(f"{json.dumps(name)}: {json.dumps(kept)}" for name, kept in sorted(schemas.items()))
    return f'{{"sha256": "{sha256}",\n"operations": [\n{lines}\n],\n"schemas": {{\n{named}\n}}}}\n'


def distinct(document: Document, name: str) -> None:
    """Stop if two operations have one ID: one would take the place of the other in the client, without a warning."""
    seen: dict[str, int] = {}
    for path, method, operation in document.operations():
        module, line = snake(operation["operationId"]), document.line("paths", path, method, "operationId")
        if module in seen:
            stop(f"{name}:{line}: line {seen[module]} has the same operationId. Give each operation its own.")
        seen[module] = line


def main(name: str, target: str) -> int:
    """Write the client and the contract. Exits with 2 if the document lacks what they need."""
    text = text_of(name)
    document = parsed(text, name)
    try:
        distinct(document, name)
        return written(document, text, name, Path(target))
    except (LookupError, TypeError, AttributeError) as error:
        stop(f"{name} lacks what the client is made of ({error!r}). To see where: make spec-lint")


def written(document: Document, text: str, name: str, folder: Path) -> int:
    """Write the client and the contract into a folder. Returns 1 if the generator refuses the document."""
    sha256 = hashlib.sha256(Path(name).read_bytes()).hexdigest()
    source = folder / "openapi.json"
    source.write_text(json.dumps(without_null_bodies(parsed(text, name))), encoding="utf-8")
    command = ["openapi-python-client", "generate", "--path", str(source), "--config", str(CONFIG), "--meta", "pdm"]
    command += ["--output-path", str(folder / "generated"), "--fail-on-warning"]
    if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
        return 1
    (folder / "generated" / "README.md").write_text(readme(document, sha256), encoding="utf-8")
    (folder / "contract.json").write_text(contract(document, sha256), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
