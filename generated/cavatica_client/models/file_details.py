from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.file_storage import FileStorage
    from ..models.metadata import Metadata
    from ..models.reserved import Reserved


T = TypeVar("T", bound="FileDetails")


@_attrs_define
class FileDetails:
    """A file or a folder. Folders have no size, and the pages differ in how much they show of a file."""

    href: str
    """ The absolute URL of a resource of this API. """
    id: str
    """ Names a file or a folder; 24 hexadecimal digits. """
    name: str
    """ The name of a file on the platform. Any characters but a slash, 255 at most. """
    project: str
    """ Names a project, as owner and short name with a slash between them. """
    type_: str | Unset = UNSET
    """ `file` or `folder`, in either case. """
    size: int | Unset = UNSET
    """ The size of a file in bytes, 5 TiB at most. """
    parent: str | Unset = UNSET
    """ Names a file or a folder; 24 hexadecimal digits. """
    created_on: datetime.datetime | Unset = UNSET
    """ A moment in UTC, ISO 8601. """
    modified_on: datetime.datetime | Unset = UNSET
    """ A moment in UTC, ISO 8601. """
    storage: FileStorage | Unset = UNSET
    """ Where the bytes of a file lie. """
    origin: Reserved | Unset = UNSET
    """ An object that the platform reserves for later use. """
    metadata: Metadata | Unset = UNSET
    """ Metadata by key. 1000 keys at most, each of 100 bytes at most and without `.` and `$`. """
    tags: list[str] | Unset = UNSET
    """ Words to find a file by. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        href = self.href

        id = self.id

        name = self.name

        project = self.project

        type_ = self.type_

        size = self.size

        parent = self.parent

        created_on: str | Unset = UNSET
        if not isinstance(self.created_on, Unset):
            created_on = self.created_on.isoformat()

        modified_on: str | Unset = UNSET
        if not isinstance(self.modified_on, Unset):
            modified_on = self.modified_on.isoformat()

        storage: dict[str, Any] | Unset = UNSET
        if not isinstance(self.storage, Unset):
            storage = self.storage.to_dict()

        origin: dict[str, Any] | Unset = UNSET
        if not isinstance(self.origin, Unset):
            origin = self.origin.to_dict()

        metadata: dict[str, Any] | Unset = UNSET
        if not isinstance(self.metadata, Unset):
            metadata = self.metadata.to_dict()

        tags: list[str] | Unset = UNSET
        if not isinstance(self.tags, Unset):
            tags = self.tags

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "href": href,
                "id": id,
                "name": name,
                "project": project,
            }
        )
        if type_ is not UNSET:
            field_dict["type"] = type_
        if size is not UNSET:
            field_dict["size"] = size
        if parent is not UNSET:
            field_dict["parent"] = parent
        if created_on is not UNSET:
            field_dict["created_on"] = created_on
        if modified_on is not UNSET:
            field_dict["modified_on"] = modified_on
        if storage is not UNSET:
            field_dict["storage"] = storage
        if origin is not UNSET:
            field_dict["origin"] = origin
        if metadata is not UNSET:
            field_dict["metadata"] = metadata
        if tags is not UNSET:
            field_dict["tags"] = tags

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.file_storage import FileStorage  # noqa: PLC0415
        from ..models.metadata import Metadata  # noqa: PLC0415
        from ..models.reserved import Reserved  # noqa: PLC0415

        d = dict(src_dict)
        href = d.pop("href")

        id = d.pop("id")

        name = d.pop("name")

        project = d.pop("project")

        type_ = d.pop("type", UNSET)

        size = d.pop("size", UNSET)

        parent = d.pop("parent", UNSET)

        _created_on = d.pop("created_on", UNSET)
        created_on: datetime.datetime | Unset
        if isinstance(_created_on, Unset):
            created_on = UNSET
        else:
            created_on = datetime.datetime.fromisoformat(_created_on)

        _modified_on = d.pop("modified_on", UNSET)
        modified_on: datetime.datetime | Unset
        if isinstance(_modified_on, Unset):
            modified_on = UNSET
        else:
            modified_on = datetime.datetime.fromisoformat(_modified_on)

        _storage = d.pop("storage", UNSET)
        storage: FileStorage | Unset
        if isinstance(_storage, Unset):
            storage = UNSET
        else:
            storage = FileStorage.from_dict(_storage)

        _origin = d.pop("origin", UNSET)
        origin: Reserved | Unset
        if isinstance(_origin, Unset):
            origin = UNSET
        else:
            origin = Reserved.from_dict(_origin)

        _metadata = d.pop("metadata", UNSET)
        metadata: Metadata | Unset
        if isinstance(_metadata, Unset):
            metadata = UNSET
        else:
            metadata = Metadata.from_dict(_metadata)

        tags = cast(list[str], d.pop("tags", UNSET))

        file_details = cls(
            href=href,
            id=id,
            name=name,
            project=project,
            type_=type_,
            size=size,
            parent=parent,
            created_on=created_on,
            modified_on=modified_on,
            storage=storage,
            origin=origin,
            metadata=metadata,
            tags=tags,
        )

        file_details.additional_properties = d
        return file_details

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
