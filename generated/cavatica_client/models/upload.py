from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.part_report import PartReport


T = TypeVar("T", bound="Upload")


@_attrs_define
class Upload:
    """An ongoing upload in detail.

    **Sources disagree:** No documented example has `href`, `parent`, `size` or `md5`; vendor clients read them.

    """

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
    parallel_uploads: bool
    """ Whether parts may be sent in parallel.

    **Inferred:** If false, send one part at a time. Every example shows true.
     """
    part_size: int
    """ The size of every part of the upload but the last, in bytes. """
    uploaded_parts_count: int
    """ The number of different parts that were reported. """
    href: str | Unset = UNSET
    """ The absolute URL of a resource of this API. """
    parent: str | Unset = UNSET
    """ The id of a file or folder, 24 hexadecimal digits. """
    size: int | Unset = UNSET
    """ The size of a file in bytes, at most 5 TiB. The limit is known from the vendor's clients.

    **Sources disagree:** The vendor's OpenAPI says int32, which is too small for real files.
     """
    md5: str | Unset = UNSET
    """ An MD5 digest as 32 hexadecimal digits. The platform stores it and never checks it against the uploaded
    bytes.
     """
    parts: list[PartReport] | Unset = UNSET
    """ The reported parts, each once, if `list_parts` asked for them. Examples are sorted by part number; no page
    promises that.
     """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        upload_id = self.upload_id

        project = self.project

        name = self.name

        initiated = self.initiated.isoformat()

        parallel_uploads = self.parallel_uploads

        part_size = self.part_size

        uploaded_parts_count = self.uploaded_parts_count

        href = self.href

        parent = self.parent

        size = self.size

        md5 = self.md5

        parts: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.parts, Unset):
            parts = []
            for parts_item_data in self.parts:
                parts_item = parts_item_data.to_dict()
                parts.append(parts_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "upload_id": upload_id,
                "project": project,
                "name": name,
                "initiated": initiated,
                "parallel_uploads": parallel_uploads,
                "part_size": part_size,
                "uploaded_parts_count": uploaded_parts_count,
            }
        )
        if href is not UNSET:
            field_dict["href"] = href
        if parent is not UNSET:
            field_dict["parent"] = parent
        if size is not UNSET:
            field_dict["size"] = size
        if md5 is not UNSET:
            field_dict["md5"] = md5
        if parts is not UNSET:
            field_dict["parts"] = parts

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.part_report import PartReport  # noqa: PLC0415

        d = dict(src_dict)
        upload_id = d.pop("upload_id")

        project = d.pop("project")

        name = d.pop("name")

        initiated = datetime.datetime.fromisoformat(d.pop("initiated"))

        parallel_uploads = d.pop("parallel_uploads")

        part_size = d.pop("part_size")

        uploaded_parts_count = d.pop("uploaded_parts_count")

        href = d.pop("href", UNSET)

        parent = d.pop("parent", UNSET)

        size = d.pop("size", UNSET)

        md5 = d.pop("md5", UNSET)

        _parts = d.pop("parts", UNSET)
        parts: list[PartReport] | Unset = UNSET
        if _parts is not UNSET:
            parts = []
            for parts_item_data in _parts:
                parts_item = PartReport.from_dict(parts_item_data)

                parts.append(parts_item)

        upload = cls(
            upload_id=upload_id,
            project=project,
            name=name,
            initiated=initiated,
            parallel_uploads=parallel_uploads,
            part_size=part_size,
            uploaded_parts_count=uploaded_parts_count,
            href=href,
            parent=parent,
            size=size,
            md5=md5,
            parts=parts,
        )

        upload.additional_properties = d
        return upload

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
