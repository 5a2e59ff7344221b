from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="CreateFolderRequest")


@_attrs_define
class CreateFolderRequest:
    """The folder to create, and where: exactly one of `project` and `parent`."""

    name: str
    """ The name of a folder. Any characters except `/`, at most 255. It must not begin with two underscores.

    **Sources disagree:** The page of this call only forbids two underscores at the beginning, and its example has
    spaces. The page on imports from volumes allows only letters, digits, `_`, `-` and `.` in the name of a folder;
    the vendor's R client refuses spaces.

    **Inferred:** `/` is forbidden as in the names of files.
     """
    type_: str
    """ `folder`, in upper or lower case.

    **Sources disagree:** The CAVATICA page sends `FOLDER`, the vendor's OpenAPI and Python client send
    `folder`.
     """
    project: str | Unset = UNSET
    """ The id of a project, `owner/short-name`. """
    parent: str | Unset = UNSET
    """ The id of a file or folder, 24 hexadecimal digits. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        type_ = self.type_

        project = self.project

        parent = self.parent

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "type": type_,
            }
        )
        if project is not UNSET:
            field_dict["project"] = project
        if parent is not UNSET:
            field_dict["parent"] = parent

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        name = d.pop("name")

        type_ = d.pop("type")

        project = d.pop("project", UNSET)

        parent = d.pop("parent", UNSET)

        create_folder_request = cls(
            name=name,
            type_=type_,
            project=project,
            parent=parent,
        )

        create_folder_request.additional_properties = d
        return create_folder_request

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
