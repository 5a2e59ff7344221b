from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="StartUploadRequest")


@_attrs_define
class StartUploadRequest:
    """What is to be uploaded, and where to. Exactly one of `project` and `parent` says where."""

    name: str
    """ The name of a file on the platform. Any characters but a slash, 255 at most. """
    project: str | Unset = UNSET
    """ Names a project, as owner and short name with a slash between them. """
    parent: str | Unset = UNSET
    """ Names a file or a folder; 24 hexadecimal digits. """
    size: int | Unset = UNSET
    """ The size of a file in bytes, 5 TiB at most. """
    part_size: int | Unset = UNSET
    """ The part size a client asks for, in bytes, from 5 MiB to 5 GiB. A preference: the server may choose another,
    and the one in its answer counts.
     """
    md5: str | Unset = UNSET
    """ An MD5 digest as 32 hexadecimal digits. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        project = self.project

        parent = self.parent

        size = self.size

        part_size = self.part_size

        md5 = self.md5

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
            }
        )
        if project is not UNSET:
            field_dict["project"] = project
        if parent is not UNSET:
            field_dict["parent"] = parent
        if size is not UNSET:
            field_dict["size"] = size
        if part_size is not UNSET:
            field_dict["part_size"] = part_size
        if md5 is not UNSET:
            field_dict["md5"] = md5

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        project = d.pop("project", UNSET)

        parent = d.pop("parent", UNSET)

        size = d.pop("size", UNSET)

        part_size = d.pop("part_size", UNSET)

        md5 = d.pop("md5", UNSET)

        start_upload_request = cls(
            name=name,
            project=project,
            parent=parent,
            size=size,
            part_size=part_size,
            md5=md5,
        )

        start_upload_request.additional_properties = d
        return start_upload_request

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
