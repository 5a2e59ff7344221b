from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.api_error import ApiError
from ...models.file_page import FilePage
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    project: str | Unset = UNSET,
    parent: str | Unset = UNSET,
    name: list[str] | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["project"] = project

    params["parent"] = parent

    json_name: list[str] | Unset = UNSET
    if not isinstance(name, Unset):
        json_name = name

    params["name"] = json_name

    params["limit"] = limit

    params["offset"] = offset

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/files",
        "params": params,
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ApiError | FilePage | None:
    if response.status_code == 200:
        response_200 = FilePage.from_dict(response.json())

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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[ApiError | FilePage]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    project: str | Unset = UNSET,
    parent: str | Unset = UNSET,
    name: list[str] | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> Response[ApiError | FilePage]:
    """List files

     Lists the files and folders at the top level of a project (`project`) or in a folder (`parent`), one
    page at a
    time. Give exactly one of the two. With `name`, lists only those of the given names.

    Args:
        project (str | Unset): The id of a project, `owner/short-name`.
        parent (str | Unset): The id of a file or folder, 24 hexadecimal digits.
        name (list[str] | Unset): List only files and folders that have exactly one of these
            names.
        limit (int | Unset): The most items that the page may have. If absent, 50.
        offset (int | Unset): The number of items to skip. If absent, 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | FilePage]
    """

    kwargs = _get_kwargs(
        project=project,
        parent=parent,
        name=name,
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
    project: str | Unset = UNSET,
    parent: str | Unset = UNSET,
    name: list[str] | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> ApiError | FilePage | None:
    """List files

     Lists the files and folders at the top level of a project (`project`) or in a folder (`parent`), one
    page at a
    time. Give exactly one of the two. With `name`, lists only those of the given names.

    Args:
        project (str | Unset): The id of a project, `owner/short-name`.
        parent (str | Unset): The id of a file or folder, 24 hexadecimal digits.
        name (list[str] | Unset): List only files and folders that have exactly one of these
            names.
        limit (int | Unset): The most items that the page may have. If absent, 50.
        offset (int | Unset): The number of items to skip. If absent, 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | FilePage
    """

    return sync_detailed(
        client=client,
        project=project,
        parent=parent,
        name=name,
        limit=limit,
        offset=offset,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    project: str | Unset = UNSET,
    parent: str | Unset = UNSET,
    name: list[str] | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> Response[ApiError | FilePage]:
    """List files

     Lists the files and folders at the top level of a project (`project`) or in a folder (`parent`), one
    page at a
    time. Give exactly one of the two. With `name`, lists only those of the given names.

    Args:
        project (str | Unset): The id of a project, `owner/short-name`.
        parent (str | Unset): The id of a file or folder, 24 hexadecimal digits.
        name (list[str] | Unset): List only files and folders that have exactly one of these
            names.
        limit (int | Unset): The most items that the page may have. If absent, 50.
        offset (int | Unset): The number of items to skip. If absent, 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | FilePage]
    """

    kwargs = _get_kwargs(
        project=project,
        parent=parent,
        name=name,
        limit=limit,
        offset=offset,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    project: str | Unset = UNSET,
    parent: str | Unset = UNSET,
    name: list[str] | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> ApiError | FilePage | None:
    """List files

     Lists the files and folders at the top level of a project (`project`) or in a folder (`parent`), one
    page at a
    time. Give exactly one of the two. With `name`, lists only those of the given names.

    Args:
        project (str | Unset): The id of a project, `owner/short-name`.
        parent (str | Unset): The id of a file or folder, 24 hexadecimal digits.
        name (list[str] | Unset): List only files and folders that have exactly one of these
            names.
        limit (int | Unset): The most items that the page may have. If absent, 50.
        offset (int | Unset): The number of items to skip. If absent, 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | FilePage
    """

    return (
        await asyncio_detailed(
            client=client,
            project=project,
            parent=parent,
            name=name,
            limit=limit,
            offset=offset,
        )
    ).parsed
