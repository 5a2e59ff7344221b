from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.api_error import ApiError
from ...models.upload import Upload
from ...types import UNSET, Response, Unset


def _get_kwargs(
    upload_id: str,
    *,
    list_parts: bool | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["list_parts"] = list_parts

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/upload/multipart/{upload_id}".format(
            upload_id=quote(str(upload_id), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ApiError | Upload | None:
    if response.status_code == 200:
        response_200 = Upload.from_dict(response.json())

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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[ApiError | Upload]:
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
    list_parts: bool | Unset = UNSET,
) -> Response[ApiError | Upload]:
    """Get details of an upload

     Gets the part size of an ongoing upload and the number of parts that were reported; with
    `list_parts`, also
    which ones.

    **Inferred:** A completed or aborted upload is not found.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        list_parts (bool | Unset): Include the reported parts in the answer. If absent, they are
            not included.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | Upload]
    """

    kwargs = _get_kwargs(
        upload_id=upload_id,
        list_parts=list_parts,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    upload_id: str,
    *,
    client: AuthenticatedClient,
    list_parts: bool | Unset = UNSET,
) -> ApiError | Upload | None:
    """Get details of an upload

     Gets the part size of an ongoing upload and the number of parts that were reported; with
    `list_parts`, also
    which ones.

    **Inferred:** A completed or aborted upload is not found.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        list_parts (bool | Unset): Include the reported parts in the answer. If absent, they are
            not included.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | Upload
    """

    return sync_detailed(
        upload_id=upload_id,
        client=client,
        list_parts=list_parts,
    ).parsed


async def asyncio_detailed(
    upload_id: str,
    *,
    client: AuthenticatedClient,
    list_parts: bool | Unset = UNSET,
) -> Response[ApiError | Upload]:
    """Get details of an upload

     Gets the part size of an ongoing upload and the number of parts that were reported; with
    `list_parts`, also
    which ones.

    **Inferred:** A completed or aborted upload is not found.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        list_parts (bool | Unset): Include the reported parts in the answer. If absent, they are
            not included.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | Upload]
    """

    kwargs = _get_kwargs(
        upload_id=upload_id,
        list_parts=list_parts,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    upload_id: str,
    *,
    client: AuthenticatedClient,
    list_parts: bool | Unset = UNSET,
) -> ApiError | Upload | None:
    """Get details of an upload

     Gets the part size of an ongoing upload and the number of parts that were reported; with
    `list_parts`, also
    which ones.

    **Inferred:** A completed or aborted upload is not found.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        list_parts (bool | Unset): Include the reported parts in the answer. If absent, they are
            not included.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | Upload
    """

    return (
        await asyncio_detailed(
            upload_id=upload_id,
            client=client,
            list_parts=list_parts,
        )
    ).parsed
