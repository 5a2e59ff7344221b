from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.project_permissions import ProjectPermissions


T = TypeVar("T", bound="Project")


@_attrs_define
class Project:
    """A project."""

    href: str
    """ The absolute URL of a resource of this API. """
    id: str
    """ The id of a project, `owner/short-name`. """
    name: str
    """ The title of the project. The short name is in `id`. """
    permissions: ProjectPermissions | Unset = UNSET
    """ What the user of the token may do in the project. An upload needs `write`. """
    root_folder: str | Unset = UNSET
    """ The id of a file or folder, 24 hexadecimal digits. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        href = self.href

        id = self.id

        name = self.name

        permissions: dict[str, Any] | Unset = UNSET
        if not isinstance(self.permissions, Unset):
            permissions = self.permissions.to_dict()

        root_folder = self.root_folder

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "href": href,
                "id": id,
                "name": name,
            }
        )
        if permissions is not UNSET:
            field_dict["permissions"] = permissions
        if root_folder is not UNSET:
            field_dict["root_folder"] = root_folder

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.project_permissions import ProjectPermissions  # noqa: PLC0415

        d = dict(src_dict)
        href = d.pop("href")

        id = d.pop("id")

        name = d.pop("name")

        _permissions = d.pop("permissions", UNSET)
        permissions: ProjectPermissions | Unset
        if isinstance(_permissions, Unset):
            permissions = UNSET
        else:
            permissions = ProjectPermissions.from_dict(_permissions)

        root_folder = d.pop("root_folder", UNSET)

        project = cls(
            href=href,
            id=id,
            name=name,
            permissions=permissions,
            root_folder=root_folder,
        )

        project.additional_properties = d
        return project

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
