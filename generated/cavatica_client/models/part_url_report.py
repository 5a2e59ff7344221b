from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.reserved import Reserved


T = TypeVar("T", bound="PartUrlReport")


@_attrs_define
class PartUrlReport:
    """What the report of the part has to contain."""

    headers: list[str]
    """ The names of the response headers of storage to report. """
    success_codes: list[int] | Unset = UNSET
    """ The HTTP statuses by which storage says that it accepted the bytes. """
    body: Reserved | Unset = UNSET
    """ An object that the platform reserves for later use. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        headers = self.headers

        success_codes: list[int] | Unset = UNSET
        if not isinstance(self.success_codes, Unset):
            success_codes = self.success_codes

        body: dict[str, Any] | Unset = UNSET
        if not isinstance(self.body, Unset):
            body = self.body.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "headers": headers,
            }
        )
        if success_codes is not UNSET:
            field_dict["success_codes"] = success_codes
        if body is not UNSET:
            field_dict["body"] = body

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.reserved import Reserved  # noqa: PLC0415

        d = dict(src_dict)
        headers = cast(list[str], d.pop("headers"))

        success_codes = cast(list[int], d.pop("success_codes", UNSET))

        _body = d.pop("body", UNSET)
        body: Reserved | Unset
        if isinstance(_body, Unset):
            body = UNSET
        else:
            body = Reserved.from_dict(_body)

        part_url_report = cls(
            headers=headers,
            success_codes=success_codes,
            body=body,
        )

        part_url_report.additional_properties = d
        return part_url_report

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
