from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.api_error import ApiError
from ...models.part_url import PartUrl
from ...types import Response


def _get_kwargs(
    upload_id: str,
    part_number: int,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/upload/multipart/{upload_id}/part/{part_number}".format(
            upload_id=quote(str(upload_id), safe=""),
            part_number=quote(str(part_number), safe=""),
        ),
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ApiError | PartUrl | None:
    if response.status_code == 200:
        response_200 = PartUrl.from_dict(response.json())

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

    if response.status_code == 404:
        response_404 = ApiError.from_dict(response.json())

        return response_404

    if response.status_code == 409:
        response_409 = ApiError.from_dict(response.json())

        return response_409

    if response.status_code == 429:
        response_429 = ApiError.from_dict(response.json())

        return response_429

    if response.status_code == 503:
        response_503 = ApiError.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[ApiError | PartUrl]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    upload_id: str,
    part_number: int,
    *,
    client: AuthenticatedClient,
) -> Response[ApiError | PartUrl]:
    """Get the URL for a part

     Gets a signed storage URL for one part, and how to use it: the HTTP method, the headers to send, the
    statuses
    that mean success, and the response headers that the report needs.

    Treat the URL as a secret until it expires. It needs no token; never send the token to it. After
    `expires`, get
    a new URL: a part can have any number of them.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        part_number (int): The number of a part, from 1. The last number is the file size divided
            by the part size, rounded up; for an
            empty file it is 1.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | PartUrl]
    """

    kwargs = _get_kwargs(
        upload_id=upload_id,
        part_number=part_number,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    upload_id: str,
    part_number: int,
    *,
    client: AuthenticatedClient,
) -> ApiError | PartUrl | None:
    """Get the URL for a part

     Gets a signed storage URL for one part, and how to use it: the HTTP method, the headers to send, the
    statuses
    that mean success, and the response headers that the report needs.

    Treat the URL as a secret until it expires. It needs no token; never send the token to it. After
    `expires`, get
    a new URL: a part can have any number of them.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        part_number (int): The number of a part, from 1. The last number is the file size divided
            by the part size, rounded up; for an
            empty file it is 1.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | PartUrl
    """

    return sync_detailed(
        upload_id=upload_id,
        part_number=part_number,
        client=client,
    ).parsed


async def asyncio_detailed(
    upload_id: str,
    part_number: int,
    *,
    client: AuthenticatedClient,
) -> Response[ApiError | PartUrl]:
    """Get the URL for a part

     Gets a signed storage URL for one part, and how to use it: the HTTP method, the headers to send, the
    statuses
    that mean success, and the response headers that the report needs.

    Treat the URL as a secret until it expires. It needs no token; never send the token to it. After
    `expires`, get
    a new URL: a part can have any number of them.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        part_number (int): The number of a part, from 1. The last number is the file size divided
            by the part size, rounded up; for an
            empty file it is 1.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | PartUrl]
    """

    kwargs = _get_kwargs(
        upload_id=upload_id,
        part_number=part_number,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    upload_id: str,
    part_number: int,
    *,
    client: AuthenticatedClient,
) -> ApiError | PartUrl | None:
    """Get the URL for a part

     Gets a signed storage URL for one part, and how to use it: the HTTP method, the headers to send, the
    statuses
    that mean success, and the response headers that the report needs.

    Treat the URL as a secret until it expires. It needs no token; never send the token to it. After
    `expires`, get
    a new URL: a part can have any number of them.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        part_number (int): The number of a part, from 1. The last number is the file size divided
            by the part size, rounded up; for an
            empty file it is 1.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | PartUrl
    """

    return (
        await asyncio_detailed(
            upload_id=upload_id,
            part_number=part_number,
            client=client,
        )
    ).parsed
