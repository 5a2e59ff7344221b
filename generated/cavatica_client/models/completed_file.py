from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="CompletedFile")


@_attrs_define
class CompletedFile:
    """The file that the upload created."""

    href: str
    """ The absolute URL of a resource of this API. """
    path: str
    """ The path of the file on the platform. No other answer contains it. """
    id: str
    """ The id of a file or folder, 24 hexadecimal digits. """
    project: str
    """ The id of a project, `owner/short-name`. """
    name: str
    """ The name of a file. Any characters except `/`, at most 255.

    **Inferred:** The limit counts characters, not bytes.
     """
    type_: str
    """ `file` or `folder`, in upper or lower case.

    **Sources disagree:** Most show lower case, some show upper case. Compare without regard to case.
     """
    size: int
    """ The size of a file in bytes, at most 5 TiB. The limit is known from the vendor's clients.

    **Sources disagree:** The vendor's OpenAPI says int32, which is too small for real files.
     """
    created_on: datetime.datetime
    """ A time in UTC, ISO 8601. """
    modified_on: datetime.datetime
    """ A time in UTC, ISO 8601. """
    parent: str | Unset = UNSET
    """ The id of a file or folder, 24 hexadecimal digits. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        href = self.href

        path = self.path

        id = self.id

        project = self.project

        name = self.name

        type_ = self.type_

        size = self.size

        created_on = self.created_on.isoformat()

        modified_on = self.modified_on.isoformat()

        parent = self.parent

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "href": href,
                "path": path,
                "id": id,
                "project": project,
                "name": name,
                "type": type_,
                "size": size,
                "created_on": created_on,
                "modified_on": modified_on,
            }
        )
        if parent is not UNSET:
            field_dict["parent"] = parent

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        href = d.pop("href")

        path = d.pop("path")

        id = d.pop("id")

        project = d.pop("project")

        name = d.pop("name")

        type_ = d.pop("type")

        size = d.pop("size")

        created_on = datetime.datetime.fromisoformat(d.pop("created_on"))

        modified_on = datetime.datetime.fromisoformat(d.pop("modified_on"))

        parent = d.pop("parent", UNSET)

        completed_file = cls(
            href=href,
            path=path,
            id=id,
            project=project,
            name=name,
            type_=type_,
            size=size,
            created_on=created_on,
            modified_on=modified_on,
            parent=parent,
        )

        completed_file.additional_properties = d
        return completed_file

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
