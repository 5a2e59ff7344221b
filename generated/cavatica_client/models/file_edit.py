from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.metadata import Metadata


T = TypeVar("T", bound="FileEdit")


@_attrs_define
class FileEdit:
    """What to change in one file, named by exactly one of `id` and `file_id`.

    **Sources disagree:** The pages of CAVATICA and BioData Catalyst send `file_id`, the vendor's Python client
    sends `id`.

    """

    id: str | Unset = UNSET
    """ The id of a file or folder, 24 hexadecimal digits. """
    file_id: str | Unset = UNSET
    """ The id of a file or folder, 24 hexadecimal digits. """
    name: str | Unset = UNSET
    """ The name of a file. Any characters except `/`, at most 255.

    **Inferred:** The limit counts characters, not bytes.
     """
    metadata: Metadata | Unset = UNSET
    """ Metadata by key. At most 1000 keys; a key has at most 100 bytes of UTF-8, and neither `.` nor `$`.
     """
    tags: list[str] | Unset = UNSET
    """ Words to find the file by. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        file_id = self.file_id

        name = self.name

        metadata: dict[str, Any] | Unset = UNSET
        if not isinstance(self.metadata, Unset):
            metadata = self.metadata.to_dict()

        tags: list[str] | Unset = UNSET
        if not isinstance(self.tags, Unset):
            tags = self.tags

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if file_id is not UNSET:
            field_dict["file_id"] = file_id
        if name is not UNSET:
            field_dict["name"] = name
        if metadata is not UNSET:
            field_dict["metadata"] = metadata
        if tags is not UNSET:
            field_dict["tags"] = tags

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.metadata import Metadata  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id", UNSET)

        file_id = d.pop("file_id", UNSET)

        name = d.pop("name", UNSET)

        _metadata = d.pop("metadata", UNSET)
        metadata: Metadata | Unset
        if isinstance(_metadata, Unset):
            metadata = UNSET
        else:
            metadata = Metadata.from_dict(_metadata)

        tags = cast(list[str], d.pop("tags", UNSET))

        file_edit = cls(
            id=id,
            file_id=file_id,
            name=name,
            metadata=metadata,
            tags=tags,
        )

        file_edit.additional_properties = d
        return file_edit

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
