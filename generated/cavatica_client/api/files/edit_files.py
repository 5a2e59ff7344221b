from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.api_error import ApiError
from ...models.edit_files_request import EditFilesRequest
from ...models.edit_files_response import EditFilesResponse
from ...types import Response


def _get_kwargs(
    *,
    body: EditFilesRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/bulk/files/edit",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ApiError | EditFilesResponse | None:
    if response.status_code == 200:
        response_200 = EditFilesResponse.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = ApiError.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = ApiError.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = ApiError.from_dict(response.json())

        return response_403

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
) -> Response[ApiError | EditFilesResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    body: EditFilesRequest,
) -> Response[ApiError | EditFilesResponse]:
    """Edit details of many files

     Changes names, metadata and tags of up to 100 files. Metadata keys are added to those that a file
    has; the value
    `null` removes a key. Tags replace the file's tags. The answer has one outcome per file, in the
    order of the
    request; if one file cannot be changed, the others still are.

    **Sources disagree:** The CAVATICA page says that details which are left out stay as they are, the
    BioData
    Catalyst page says that they are erased. Send every detail that has to stay.

    Args:
        body (EditFilesRequest): The files to change, and what to change in each.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | EditFilesResponse]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    body: EditFilesRequest,
) -> ApiError | EditFilesResponse | None:
    """Edit details of many files

     Changes names, metadata and tags of up to 100 files. Metadata keys are added to those that a file
    has; the value
    `null` removes a key. Tags replace the file's tags. The answer has one outcome per file, in the
    order of the
    request; if one file cannot be changed, the others still are.

    **Sources disagree:** The CAVATICA page says that details which are left out stay as they are, the
    BioData
    Catalyst page says that they are erased. Send every detail that has to stay.

    Args:
        body (EditFilesRequest): The files to change, and what to change in each.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | EditFilesResponse
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: EditFilesRequest,
) -> Response[ApiError | EditFilesResponse]:
    """Edit details of many files

     Changes names, metadata and tags of up to 100 files. Metadata keys are added to those that a file
    has; the value
    `null` removes a key. Tags replace the file's tags. The answer has one outcome per file, in the
    order of the
    request; if one file cannot be changed, the others still are.

    **Sources disagree:** The CAVATICA page says that details which are left out stay as they are, the
    BioData
    Catalyst page says that they are erased. Send every detail that has to stay.

    Args:
        body (EditFilesRequest): The files to change, and what to change in each.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | EditFilesResponse]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: EditFilesRequest,
) -> ApiError | EditFilesResponse | None:
    """Edit details of many files

     Changes names, metadata and tags of up to 100 files. Metadata keys are added to those that a file
    has; the value
    `null` removes a key. Tags replace the file's tags. The answer has one outcome per file, in the
    order of the
    request; if one file cannot be changed, the others still are.

    **Sources disagree:** The CAVATICA page says that details which are left out stay as they are, the
    BioData
    Catalyst page says that they are erased. Send every detail that has to stay.

    Args:
        body (EditFilesRequest): The files to change, and what to change in each.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | EditFilesResponse
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
