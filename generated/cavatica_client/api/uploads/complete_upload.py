from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.api_error import ApiError
from ...models.complete_upload_request import CompleteUploadRequest
from ...models.completed_file import CompletedFile
from ...types import UNSET, Response, Unset


def _get_kwargs(
    upload_id: str,
    *,
    body: CompleteUploadRequest | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/upload/multipart/{upload_id}/complete".format(
            upload_id=quote(str(upload_id), safe=""),
        ),
    }

    if not isinstance(body, Unset):
        _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ApiError | CompletedFile | None:
    if response.status_code == 200:
        response_200 = CompletedFile.from_dict(response.json())

        return response_200

    if response.status_code == 201:
        response_201 = CompletedFile.from_dict(response.json())

        return response_201

    if response.status_code == 400:
        response_400 = ApiError.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = ApiError.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = ApiError.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = ApiError.from_dict(response.json())

        return response_404

    if response.status_code == 409:
        response_409 = ApiError.from_dict(response.json())

        return response_409

    if response.status_code == 415:
        response_415 = ApiError.from_dict(response.json())

        return response_415

    if response.status_code == 429:
        response_429 = ApiError.from_dict(response.json())

        return response_429

    if response.status_code == 500:
        response_500 = ApiError.from_dict(response.json())

        return response_500

    if response.status_code == 503:
        response_503 = ApiError.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ApiError | CompletedFile]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    upload_id: str,
    *,
    client: AuthenticatedClient,
    body: CompleteUploadRequest | Unset = UNSET,
) -> Response[ApiError | CompletedFile]:
    """Complete an upload

     Creates the file from the reported parts. Parts that were not reported before can be reported here,
    so that a
    file of one part needs three calls in all.

    The body is optional. Real clients send none, `null`, `{}`, an empty list, or a report of every part
    again; a
    server accepts each of them.

    **Inferred:** If parts are missing, or an ETag is not the one that storage gave, the answer is 409
    and the
    upload stays open. A completed upload is no longer found under its id.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        body (CompleteUploadRequest | Unset): The reports that are still owed. Leave `parts` out
            if every part was reported.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | CompletedFile]
    """

    kwargs = _get_kwargs(
        upload_id=upload_id,
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    upload_id: str,
    *,
    client: AuthenticatedClient,
    body: CompleteUploadRequest | Unset = UNSET,
) -> ApiError | CompletedFile | None:
    """Complete an upload

     Creates the file from the reported parts. Parts that were not reported before can be reported here,
    so that a
    file of one part needs three calls in all.

    The body is optional. Real clients send none, `null`, `{}`, an empty list, or a report of every part
    again; a
    server accepts each of them.

    **Inferred:** If parts are missing, or an ETag is not the one that storage gave, the answer is 409
    and the
    upload stays open. A completed upload is no longer found under its id.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        body (CompleteUploadRequest | Unset): The reports that are still owed. Leave `parts` out
            if every part was reported.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | CompletedFile
    """

    return sync_detailed(
        upload_id=upload_id,
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    upload_id: str,
    *,
    client: AuthenticatedClient,
    body: CompleteUploadRequest | Unset = UNSET,
) -> Response[ApiError | CompletedFile]:
    """Complete an upload

     Creates the file from the reported parts. Parts that were not reported before can be reported here,
    so that a
    file of one part needs three calls in all.

    The body is optional. Real clients send none, `null`, `{}`, an empty list, or a report of every part
    again; a
    server accepts each of them.

    **Inferred:** If parts are missing, or an ETag is not the one that storage gave, the answer is 409
    and the
    upload stays open. A completed upload is no longer found under its id.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        body (CompleteUploadRequest | Unset): The reports that are still owed. Leave `parts` out
            if every part was reported.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | CompletedFile]
    """

    kwargs = _get_kwargs(
        upload_id=upload_id,
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    upload_id: str,
    *,
    client: AuthenticatedClient,
    body: CompleteUploadRequest | Unset = UNSET,
) -> ApiError | CompletedFile | None:
    """Complete an upload

     Creates the file from the reported parts. Parts that were not reported before can be reported here,
    so that a
    file of one part needs three calls in all.

    The body is optional. Real clients send none, `null`, `{}`, an empty list, or a report of every part
    again; a
    server accepts each of them.

    **Inferred:** If parts are missing, or an ETag is not the one that storage gave, the answer is 409
    and the
    upload stays open. A completed upload is no longer found under its id.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        body (CompleteUploadRequest | Unset): The reports that are still owed. Leave `parts` out
            if every part was reported.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | CompletedFile
    """

    return (
        await asyncio_detailed(
            upload_id=upload_id,
            client=client,
            body=body,
        )
    ).parsed
