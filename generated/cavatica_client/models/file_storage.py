from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="FileStorage")


@_attrs_define
class FileStorage:
    """Where the bytes of the file are stored."""

    type_: str
    """ `PLATFORM`, or `VOLUME` for a bucket that a user attached. """
    hosted_on_locations: list[str] | Unset = UNSET
    """ The cloud regions that store the bytes. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        type_ = self.type_

        hosted_on_locations: list[str] | Unset = UNSET
        if not isinstance(self.hosted_on_locations, Unset):
            hosted_on_locations = self.hosted_on_locations

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "type": type_,
            }
        )
        if hosted_on_locations is not UNSET:
            field_dict["hosted_on_locations"] = hosted_on_locations

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        type_ = d.pop("type")

        hosted_on_locations = cast(list[str], d.pop("hosted_on_locations", UNSET))

        file_storage = cls(
            type_=type_,
            hosted_on_locations=hosted_on_locations,
        )

        file_storage.additional_properties = d
        return file_storage

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
