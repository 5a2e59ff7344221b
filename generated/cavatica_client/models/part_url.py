from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.header_map import HeaderMap
    from ..models.part_url_report import PartUrlReport


T = TypeVar("T", bound="PartUrl")


@_attrs_define
class PartUrl:
    """How to send the bytes of one part to storage.

    **Sources disagree:** `success_codes` stands at the top level in the tables of the pages, and inside `report` in
    their examples. Look in both places.

    """

    method: str
    """ The HTTP method to use, `PUT` in every example. """
    url: str
    """ The signed storage URL. A secret until it expires. """
    expires: datetime.datetime
    """ A time in UTC, ISO 8601. """
    headers: HeaderMap
    """ HTTP headers by name. """
    report: PartUrlReport
    """ What the report of the part has to contain. """
    success_codes: list[int] | Unset = UNSET
    """ The HTTP statuses by which storage says that it accepted the bytes. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        method = self.method

        url = self.url

        expires = self.expires.isoformat()

        headers = self.headers.to_dict()

        report = self.report.to_dict()

        success_codes: list[int] | Unset = UNSET
        if not isinstance(self.success_codes, Unset):
            success_codes = self.success_codes

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "method": method,
                "url": url,
                "expires": expires,
                "headers": headers,
                "report": report,
            }
        )
        if success_codes is not UNSET:
            field_dict["success_codes"] = success_codes

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.header_map import HeaderMap  # noqa: PLC0415
        from ..models.part_url_report import PartUrlReport  # noqa: PLC0415

        d = dict(src_dict)
        method = d.pop("method")

        url = d.pop("url")

        expires = datetime.datetime.fromisoformat(d.pop("expires"))

        headers = HeaderMap.from_dict(d.pop("headers"))

        report = PartUrlReport.from_dict(d.pop("report"))

        success_codes = cast(list[int], d.pop("success_codes", UNSET))

        part_url = cls(
            method=method,
            url=url,
            expires=expires,
            headers=headers,
            report=report,
            success_codes=success_codes,
        )

        part_url.additional_properties = d
        return part_url

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
