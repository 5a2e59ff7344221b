"""Write the README of the generated client from openapi.yaml, in place of the generator's own template.

`make generate` calls this: what the README says of the API is what the document says, in the same bytes every time.
"""

import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
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


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield tag, operationId, method with path, and summary, in the order of the document."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                operation = item[method]
                yield operation["tags"][0], operation["operationId"], f"{method.upper()} {path}", operation["summary"]


def snake(name: str) -> str:
    """Return a name of the document as the generator spells a module."""
    return re.sub(r"([A-Z])", r"_\1", name).lower().replace("-", "_").replace(" ", "_")


def table(document: dict[str, Any], tag: dict[str, Any]) -> str:
    """Return the operations of a tag as a table in Markdown."""
    rows = [
        f"| `{snake(name)}` | {summary} | `{call}` |"
        for of, name, call, summary in operations(document)
        if of == tag["name"]
    ]
    head = [f"{tag['description'].rstrip()} In `cavatica_client.api.{snake(tag['name'])}`:", ""]
    return "\n".join([*head, "| module | does | call |", "|---|---|---|", *rows])


def readme(document: dict[str, Any], sha256: str) -> str:
    """Return the whole README, for a document and the SHA-256 of its file."""
    return README.format(
        version=document["info"]["version"],
        sha256=sha256,
        server=document["servers"][0]["url"],
        header=document["components"]["securitySchemes"]["authToken"]["name"],
        tables="\n\n".join(table(document, tag) for tag in document["tags"]),
    )


def main(source: str, target: str) -> None:
    """Read a document in YAML, write the README."""
    content = Path(source).read_bytes()
    text = readme(yaml.safe_load(content), hashlib.sha256(content).hexdigest())
    Path(target).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
