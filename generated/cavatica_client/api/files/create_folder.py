from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.api_error import ApiError
from ...models.create_folder_request import CreateFolderRequest
from ...models.file_details import FileDetails
from ...types import Response


def _get_kwargs(
    *,
    body: CreateFolderRequest,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/files",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ApiError | FileDetails | None:
    if response.status_code == 200:
        response_200 = FileDetails.from_dict(response.json())

        return response_200

    if response.status_code == 201:
        response_201 = FileDetails.from_dict(response.json())

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
) -> Response[ApiError | FileDetails]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    body: CreateFolderRequest,
) -> Response[ApiError | FileDetails]:
    """Create a folder

     Creates a folder at the top level of a project (`project`) or in another folder (`parent`).

    **Sources disagree:** The vendor's OpenAPI answers 200, without `project` and with the type in upper
    case. Details
    of the same folder have `project`, and the type in lower case on most pages.

    **Inferred:** A platform may answer 201, as it does when an upload is completed.

    Args:
        body (CreateFolderRequest): The folder to create, and where: exactly one of `project` and
            `parent`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | FileDetails]
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
    body: CreateFolderRequest,
) -> ApiError | FileDetails | None:
    """Create a folder

     Creates a folder at the top level of a project (`project`) or in another folder (`parent`).

    **Sources disagree:** The vendor's OpenAPI answers 200, without `project` and with the type in upper
    case. Details
    of the same folder have `project`, and the type in lower case on most pages.

    **Inferred:** A platform may answer 201, as it does when an upload is completed.

    Args:
        body (CreateFolderRequest): The folder to create, and where: exactly one of `project` and
            `parent`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | FileDetails
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: CreateFolderRequest,
) -> Response[ApiError | FileDetails]:
    """Create a folder

     Creates a folder at the top level of a project (`project`) or in another folder (`parent`).

    **Sources disagree:** The vendor's OpenAPI answers 200, without `project` and with the type in upper
    case. Details
    of the same folder have `project`, and the type in lower case on most pages.

    **Inferred:** A platform may answer 201, as it does when an upload is completed.

    Args:
        body (CreateFolderRequest): The folder to create, and where: exactly one of `project` and
            `parent`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | FileDetails]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: CreateFolderRequest,
) -> ApiError | FileDetails | None:
    """Create a folder

     Creates a folder at the top level of a project (`project`) or in another folder (`parent`).

    **Sources disagree:** The vendor's OpenAPI answers 200, without `project` and with the type in upper
    case. Details
    of the same folder have `project`, and the type in lower case on most pages.

    **Inferred:** A platform may answer 201, as it does when an upload is completed.

    Args:
        body (CreateFolderRequest): The folder to create, and where: exactly one of `project` and
            `parent`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | FileDetails
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
