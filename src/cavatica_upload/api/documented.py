"""Answers as the generated functions can read them.

They read the statuses and the keys of the document and nothing else; what differs ends in KeyError, TypeError or
ValueError. Here a neighbouring status is made the document's, and what cannot be read is an error of this package.
"""

import httpx

from cavatica_client import models
from cavatica_upload.api.answers import NOTHING, Answer, operation_of

AS_IT_CAME = "cavatica_upload.as_it_came"
"""The extension of a request whose answer is not touched."""
ECHOES = {"reportUploadedPart"}
"""Answered with the request's own body by some platforms, with nothing by others."""


def as_documented(response: httpx.Response, base: httpx.URL) -> httpx.Response:
    """Return an answer as the document has it; raises UnexpectedAnswer if the generated code cannot read it."""
    request = response.request
    operation = operation_of(request, base)
    if operation is None or not response.is_success or AS_IT_CAME in request.extensions:
        return response
    answer = Answer.of(response, operation)
    status = answer.documented_status
    if status is None:
        return response
    if operation.name in ECHOES and answer.body.strip() in (b"", b"{}", b"null"):
        return httpx.Response(status, content=request.content, request=request, extensions=response.extensions)
    _check(answer, status)
    response.status_code = status
    return response


def _check(answer: Answer, status: int) -> None:
    """Read an answer as the generated function will, and say what cannot be read."""
    shape = answer.operation.successes[status]
    if shape is None or not shape.get("json", True):
        return
    if answer.json is NOTHING:
        raise answer.unexpected("without the JSON that belongs to it")
    model = getattr(models, shape.get("$ref", ""), None)
    if model is None:
        return
    try:
        model.from_dict(answer.json)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        found = next((one for one in answer.differences() if not one.key.startswith("the ")), None)
        what = f"and {found.key} is {found.came}" if found else "with JSON of another shape"
        raise answer.unexpected(what) from error
