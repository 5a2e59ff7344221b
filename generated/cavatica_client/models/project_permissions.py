from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="ProjectPermissions")


@_attrs_define
class ProjectPermissions:
    """What the user of the token may do in the project. An upload needs `write`."""

    read: bool | Unset = UNSET
    """ Whether the user may see the project. """
    copy: bool | Unset = UNSET
    """ Whether the user may copy files from the project. """
    write: bool | Unset = UNSET
    """ Whether the user may change the project, and so upload to it. """
    execute: bool | Unset = UNSET
    """ Whether the user may run tasks in the project. """
    admin: bool | Unset = UNSET
    """ Whether the user may administer the project. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        read = self.read

        copy = self.copy

        write = self.write

        execute = self.execute

        admin = self.admin

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if read is not UNSET:
            field_dict["read"] = read
        if copy is not UNSET:
            field_dict["copy"] = copy
        if write is not UNSET:
            field_dict["write"] = write
        if execute is not UNSET:
            field_dict["execute"] = execute
        if admin is not UNSET:
            field_dict["admin"] = admin

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        read = d.pop("read", UNSET)

        copy = d.pop("copy", UNSET)

        write = d.pop("write", UNSET)

        execute = d.pop("execute", UNSET)

        admin = d.pop("admin", UNSET)

        project_permissions = cls(
            read=read,
            copy=copy,
            write=write,
            execute=execute,
            admin=admin,
        )

        project_permissions.additional_properties = d
        return project_permissions

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
