from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.api_error import ApiError
from ...models.part_report_list import PartReportList
from ...types import Response


def _get_kwargs(
    upload_id: str,
    *,
    body: PartReportList,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/upload/multipart/{upload_id}".format(
            upload_id=quote(str(upload_id), safe=""),
        ),
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Any | ApiError | None:
    if response.status_code == 200:
        response_200 = cast(Any, None)
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


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Any | ApiError]:
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
    body: PartReportList,
) -> Response[Any | ApiError]:
    """Report uploaded parts

     Reports many parts that storage has accepted. One call instead of one per part.

    **Inferred:** The call takes all reports or none: one bad report refuses the whole list. If a part
    number
    appears twice, its last report counts.

    **Sources disagree:** Some pages spell the content type `application_json`, a typing error. Send
    `application/json`.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        body (PartReportList): The reports of many parts.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | ApiError]
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
    body: PartReportList,
) -> Any | ApiError | None:
    """Report uploaded parts

     Reports many parts that storage has accepted. One call instead of one per part.

    **Inferred:** The call takes all reports or none: one bad report refuses the whole list. If a part
    number
    appears twice, its last report counts.

    **Sources disagree:** Some pages spell the content type `application_json`, a typing error. Send
    `application/json`.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        body (PartReportList): The reports of many parts.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | ApiError
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
    body: PartReportList,
) -> Response[Any | ApiError]:
    """Report uploaded parts

     Reports many parts that storage has accepted. One call instead of one per part.

    **Inferred:** The call takes all reports or none: one bad report refuses the whole list. If a part
    number
    appears twice, its last report counts.

    **Sources disagree:** Some pages spell the content type `application_json`, a typing error. Send
    `application/json`.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        body (PartReportList): The reports of many parts.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | ApiError]
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
    body: PartReportList,
) -> Any | ApiError | None:
    """Report uploaded parts

     Reports many parts that storage has accepted. One call instead of one per part.

    **Inferred:** The call takes all reports or none: one bad report refuses the whole list. If a part
    number
    appears twice, its last report counts.

    **Sources disagree:** Some pages spell the content type `application_json`, a typing error. Send
    `application/json`.

    Args:
        upload_id (str): The id of an upload. Opaque; 64 letters and digits in most examples.
        body (PartReportList): The reports of many parts.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | ApiError
    """

    return (
        await asyncio_detailed(
            upload_id=upload_id,
            client=client,
            body=body,
        )
    ).parsed
