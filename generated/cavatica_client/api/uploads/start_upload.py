from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.api_error import ApiError
from ...models.start_upload_request import StartUploadRequest
from ...models.started_upload import StartedUpload
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    body: StartUploadRequest,
    overwrite: bool | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    params: dict[str, Any] = {}

    params["overwrite"] = overwrite

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/upload/multipart",
        "params": params,
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ApiError | StartedUpload | None:
    if response.status_code == 200:
        response_200 = StartedUpload.from_dict(response.json())

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
) -> Response[ApiError | StartedUpload]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    body: StartUploadRequest,
    overwrite: bool | Unset = UNSET,
) -> Response[ApiError | StartedUpload]:
    """Start an upload

     Starts the upload of one file into a project (`project`) or a folder (`parent`). The answer contains
    the upload
    id and the part size to use, which may differ from the one asked for.

    There is no idempotency key. If the answer is lost, look for the upload in the list of uploads
    before you start
    another.

    An empty file is uploaded as one empty part, number 1.

    **Inferred:** Nothing is visible in the project until the upload is completed. With `overwrite`, the
    old file
    stays until then.

    **Sources disagree:** A name that is taken is an error on the pages; the Java client (2017) says
    that the server
    adds a prefix instead. The pages also differ on whether a name is unique in its project or in its
    folder.

    Args:
        overwrite (bool | Unset): Replace a file that has the same name. If absent or false, a
            name that is taken is a conflict.
        body (StartUploadRequest): The file to upload, and its destination: exactly one of
            `project` and `parent`.

            **Sources disagree:** The pages of the Cancer Genomics Cloud and BioData Catalyst require
            `project`. The page of
            CAVATICA, the vendor's OpenAPI and every client take either.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | StartedUpload]
    """

    kwargs = _get_kwargs(
        body=body,
        overwrite=overwrite,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    body: StartUploadRequest,
    overwrite: bool | Unset = UNSET,
) -> ApiError | StartedUpload | None:
    """Start an upload

     Starts the upload of one file into a project (`project`) or a folder (`parent`). The answer contains
    the upload
    id and the part size to use, which may differ from the one asked for.

    There is no idempotency key. If the answer is lost, look for the upload in the list of uploads
    before you start
    another.

    An empty file is uploaded as one empty part, number 1.

    **Inferred:** Nothing is visible in the project until the upload is completed. With `overwrite`, the
    old file
    stays until then.

    **Sources disagree:** A name that is taken is an error on the pages; the Java client (2017) says
    that the server
    adds a prefix instead. The pages also differ on whether a name is unique in its project or in its
    folder.

    Args:
        overwrite (bool | Unset): Replace a file that has the same name. If absent or false, a
            name that is taken is a conflict.
        body (StartUploadRequest): The file to upload, and its destination: exactly one of
            `project` and `parent`.

            **Sources disagree:** The pages of the Cancer Genomics Cloud and BioData Catalyst require
            `project`. The page of
            CAVATICA, the vendor's OpenAPI and every client take either.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | StartedUpload
    """

    return sync_detailed(
        client=client,
        body=body,
        overwrite=overwrite,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: StartUploadRequest,
    overwrite: bool | Unset = UNSET,
) -> Response[ApiError | StartedUpload]:
    """Start an upload

     Starts the upload of one file into a project (`project`) or a folder (`parent`). The answer contains
    the upload
    id and the part size to use, which may differ from the one asked for.

    There is no idempotency key. If the answer is lost, look for the upload in the list of uploads
    before you start
    another.

    An empty file is uploaded as one empty part, number 1.

    **Inferred:** Nothing is visible in the project until the upload is completed. With `overwrite`, the
    old file
    stays until then.

    **Sources disagree:** A name that is taken is an error on the pages; the Java client (2017) says
    that the server
    adds a prefix instead. The pages also differ on whether a name is unique in its project or in its
    folder.

    Args:
        overwrite (bool | Unset): Replace a file that has the same name. If absent or false, a
            name that is taken is a conflict.
        body (StartUploadRequest): The file to upload, and its destination: exactly one of
            `project` and `parent`.

            **Sources disagree:** The pages of the Cancer Genomics Cloud and BioData Catalyst require
            `project`. The page of
            CAVATICA, the vendor's OpenAPI and every client take either.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiError | StartedUpload]
    """

    kwargs = _get_kwargs(
        body=body,
        overwrite=overwrite,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: StartUploadRequest,
    overwrite: bool | Unset = UNSET,
) -> ApiError | StartedUpload | None:
    """Start an upload

     Starts the upload of one file into a project (`project`) or a folder (`parent`). The answer contains
    the upload
    id and the part size to use, which may differ from the one asked for.

    There is no idempotency key. If the answer is lost, look for the upload in the list of uploads
    before you start
    another.

    An empty file is uploaded as one empty part, number 1.

    **Inferred:** Nothing is visible in the project until the upload is completed. With `overwrite`, the
    old file
    stays until then.

    **Sources disagree:** A name that is taken is an error on the pages; the Java client (2017) says
    that the server
    adds a prefix instead. The pages also differ on whether a name is unique in its project or in its
    folder.

    Args:
        overwrite (bool | Unset): Replace a file that has the same name. If absent or false, a
            name that is taken is a conflict.
        body (StartUploadRequest): The file to upload, and its destination: exactly one of
            `project` and `parent`.

            **Sources disagree:** The pages of the Cancer Genomics Cloud and BioData Catalyst require
            `project`. The page of
            CAVATICA, the vendor's OpenAPI and every client take either.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiError | StartedUpload
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            overwrite=overwrite,
        )
    ).parsed
