from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.file_origin import FileOrigin
    from ..models.file_storage import FileStorage
    from ..models.metadata import Metadata


T = TypeVar("T", bound="FileDetails")


@_attrs_define
class FileDetails:
    """A file or folder. A folder has no size.

    **Sources disagree:** The pages differ in how much of a file they show. The answer that creates a folder has no
    `project`.

    """

    href: str
    """ The absolute URL of a resource of this API. """
    id: str
    """ The id of a file or folder, 24 hexadecimal digits. """
    name: str
    """ The name of a file. Any characters except `/`, at most 255.

    **Inferred:** The limit counts characters, not bytes.
     """
    type_: str | Unset = UNSET
    """ `file` or `folder`, in upper or lower case.

    **Sources disagree:** Most show lower case, some show upper case. Compare without regard to case.
     """
    size: int | Unset = UNSET
    """ The size of a file in bytes, at most 5 TiB. The limit is known from the vendor's clients.

    **Sources disagree:** The vendor's OpenAPI says int32, which is too small for real files.
     """
    project: str | Unset = UNSET
    """ The id of a project, `owner/short-name`. """
    parent: str | Unset = UNSET
    """ The id of a file or folder, 24 hexadecimal digits. """
    created_on: datetime.datetime | Unset = UNSET
    """ A time in UTC, ISO 8601. """
    modified_on: datetime.datetime | Unset = UNSET
    """ A time in UTC, ISO 8601. """
    storage: FileStorage | Unset = UNSET
    """ Where the bytes of the file are stored. """
    origin: FileOrigin | Unset = UNSET
    """ The task or data set that created the file. Empty for an uploaded file. """
    metadata: Metadata | Unset = UNSET
    """ Metadata by key. At most 1000 keys; a key has at most 100 bytes of UTF-8, and neither `.` nor `$`.
     """
    tags: list[str] | Unset = UNSET
    """ Words to find the file by. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        href = self.href

        id = self.id

        name = self.name

        type_ = self.type_

        size = self.size

        project = self.project

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
            }
        )
        if type_ is not UNSET:
            field_dict["type"] = type_
        if size is not UNSET:
            field_dict["size"] = size
        if project is not UNSET:
            field_dict["project"] = project
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
        from ..models.file_origin import FileOrigin  # noqa: PLC0415
        from ..models.file_storage import FileStorage  # noqa: PLC0415
        from ..models.metadata import Metadata  # noqa: PLC0415

        d = dict(src_dict)
        href = d.pop("href")

        id = d.pop("id")

        name = d.pop("name")

        type_ = d.pop("type", UNSET)

        size = d.pop("size", UNSET)

        project = d.pop("project", UNSET)

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
        origin: FileOrigin | Unset
        if isinstance(_origin, Unset):
            origin = UNSET
        else:
            origin = FileOrigin.from_dict(_origin)

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
            type_=type_,
            size=size,
            project=project,
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
