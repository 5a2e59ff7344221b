from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.api_error import ApiError
from ...models.project import Project
from ...types import Response


def _get_kwargs(
    project_owner: str,
    project_name: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/projects/{project_owner}/{project_name}".format(
            project_owner=quote(str(project_owner), safe=""),
            project_name=quote(str(project_name), safe=""),
        ),
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ApiError | Project | None:
    if response.status_code == 200:
        response_200 = Project.from_dict(response.json())

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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[ApiError | Project]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    project_owner: str,
    project_name: str,
    *,
    client: AuthenticatedClient,
) -> Response[ApiError | Project]:
    """Get details of a project

     Gets a project, with what the token may do in it. Call it before an upload to check that the project
    exists and
    that `permissions.write` is true.

    Args:
        project_owner (str): The owner of the project, before the slash in the project id.
        project_name (str): The short name of the project, after the slash in the project id. Not
            the title of the project.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | Project]
    """

    kwargs = _get_kwargs(
        project_owner=project_owner,
        project_name=project_name,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    project_owner: str,
    project_name: str,
    *,
    client: AuthenticatedClient,
) -> ApiError | Project | None:
    """Get details of a project

     Gets a project, with what the token may do in it. Call it before an upload to check that the project
    exists and
    that `permissions.write` is true.

    Args:
        project_owner (str): The owner of the project, before the slash in the project id.
        project_name (str): The short name of the project, after the slash in the project id. Not
            the title of the project.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | Project
    """

    return sync_detailed(
        project_owner=project_owner,
        project_name=project_name,
        client=client,
    ).parsed


async def asyncio_detailed(
    project_owner: str,
    project_name: str,
    *,
    client: AuthenticatedClient,
) -> Response[ApiError | Project]:
    """Get details of a project

     Gets a project, with what the token may do in it. Call it before an upload to check that the project
    exists and
    that `permissions.write` is true.

    Args:
        project_owner (str): The owner of the project, before the slash in the project id.
        project_name (str): The short name of the project, after the slash in the project id. Not
            the title of the project.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | Project]
    """

    kwargs = _get_kwargs(
        project_owner=project_owner,
        project_name=project_name,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    project_owner: str,
    project_name: str,
    *,
    client: AuthenticatedClient,
) -> ApiError | Project | None:
    """Get details of a project

     Gets a project, with what the token may do in it. Call it before an upload to check that the project
    exists and
    that `permissions.write` is true.

    Args:
        project_owner (str): The owner of the project, before the slash in the project id.
        project_name (str): The short name of the project, after the slash in the project id. Not
            the title of the project.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | Project
    """

    return (
        await asyncio_detailed(
            project_owner=project_owner,
            project_name=project_name,
            client=client,
        )
    ).parsed
