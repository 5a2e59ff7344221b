from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="UploadSummary")


@_attrs_define
class UploadSummary:
    """An ongoing upload in a list."""

    upload_id: str
    """ The id of an upload. Opaque; 64 letters and digits in most examples. """
    project: str
    """ The id of a project, `owner/short-name`. """
    name: str
    """ The name of a file. Any characters except `/`, at most 255.

    **Inferred:** The limit counts characters, not bytes.
     """
    initiated: datetime.datetime
    """ A time in UTC, ISO 8601. """
    href: str | Unset = UNSET
    """ The absolute URL of a resource of this API. """
    parent: str | Unset = UNSET
    """ The id of a file or folder, 24 hexadecimal digits. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        upload_id = self.upload_id

        project = self.project

        name = self.name

        initiated = self.initiated.isoformat()

        href = self.href

        parent = self.parent

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "upload_id": upload_id,
                "project": project,
                "name": name,
                "initiated": initiated,
            }
        )
        if href is not UNSET:
            field_dict["href"] = href
        if parent is not UNSET:
            field_dict["parent"] = parent

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        upload_id = d.pop("upload_id")

        project = d.pop("project")

        name = d.pop("name")

        initiated = datetime.datetime.fromisoformat(d.pop("initiated"))

        href = d.pop("href", UNSET)

        parent = d.pop("parent", UNSET)

        upload_summary = cls(
            upload_id=upload_id,
            project=project,
            name=name,
            initiated=initiated,
            href=href,
            parent=parent,
        )

        upload_summary.additional_properties = d
        return upload_summary

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
