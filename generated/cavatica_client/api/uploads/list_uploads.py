from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.api_error import ApiError
from ...models.upload_page import UploadPage
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["limit"] = limit

    params["offset"] = offset

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/upload/multipart",
        "params": params,
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ApiError | UploadPage | None:
    if response.status_code == 200:
        response_200 = UploadPage.from_dict(response.json())

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


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ApiError | UploadPage]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> Response[ApiError | UploadPage]:
    """List ongoing uploads

     Lists the uploads that were started and neither completed nor aborted, one page at a time.

    No source says whether this includes uploads of other members of a project.

    **Inferred:** The call is paged like every other list. No page gives it parameters; the vendor's R
    client sends
    `limit` and `offset`.

    Args:
        limit (int | Unset): The most items that the page may have. If absent, 50.
        offset (int | Unset): The number of items to skip. If absent, 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | UploadPage]
    """

    kwargs = _get_kwargs(
        limit=limit,
        offset=offset,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> ApiError | UploadPage | None:
    """List ongoing uploads

     Lists the uploads that were started and neither completed nor aborted, one page at a time.

    No source says whether this includes uploads of other members of a project.

    **Inferred:** The call is paged like every other list. No page gives it parameters; the vendor's R
    client sends
    `limit` and `offset`.

    Args:
        limit (int | Unset): The most items that the page may have. If absent, 50.
        offset (int | Unset): The number of items to skip. If absent, 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | UploadPage
    """

    return sync_detailed(
        client=client,
        limit=limit,
        offset=offset,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> Response[ApiError | UploadPage]:
    """List ongoing uploads

     Lists the uploads that were started and neither completed nor aborted, one page at a time.

    No source says whether this includes uploads of other members of a project.

    **Inferred:** The call is paged like every other list. No page gives it parameters; the vendor's R
    client sends
    `limit` and `offset`.

    Args:
        limit (int | Unset): The most items that the page may have. If absent, 50.
        offset (int | Unset): The number of items to skip. If absent, 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | UploadPage]
    """

    kwargs = _get_kwargs(
        limit=limit,
        offset=offset,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> ApiError | UploadPage | None:
    """List ongoing uploads

     Lists the uploads that were started and neither completed nor aborted, one page at a time.

    No source says whether this includes uploads of other members of a project.

    **Inferred:** The call is paged like every other list. No page gives it parameters; the vendor's R
    client sends
    `limit` and `offset`.

    Args:
        limit (int | Unset): The most items that the page may have. If absent, 50.
        offset (int | Unset): The number of items to skip. If absent, 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | UploadPage
    """

    return (
        await asyncio_detailed(
            client=client,
            limit=limit,
            offset=offset,
        )
    ).parsed
