from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="StartedUpload")


@_attrs_define
class StartedUpload:
    """An upload that was just started.

    **Sources disagree:** No documented example has `href` or `parent`. The vendor's Java client needs `href`, the R
    client reads `parent`.

    """

    upload_id: str
    """ The id of an upload. Opaque; 64 letters and digits in most examples. """
    project: str
    """ The id of a project, `owner/short-name`. """
    name: str
    """ The name of a file. Any characters except `/`, at most 255.

    **Inferred:** The limit counts characters, not bytes.
     """
    part_size: int
    """ The size of every part of the upload but the last, in bytes. """
    parallel_uploads: bool
    """ Whether parts may be sent in parallel.

    **Inferred:** If false, send one part at a time. Every example shows true.
     """
    href: str | Unset = UNSET
    """ The absolute URL of a resource of this API. """
    parent: str | Unset = UNSET
    """ The id of a file or folder, 24 hexadecimal digits. """
    size: int | Unset = UNSET
    """ The size of a file in bytes, at most 5 TiB. The limit is known from the vendor's clients.

    **Sources disagree:** The vendor's OpenAPI says int32, which is too small for real files.
     """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        upload_id = self.upload_id

        project = self.project

        name = self.name

        part_size = self.part_size

        parallel_uploads = self.parallel_uploads

        href = self.href

        parent = self.parent

        size = self.size

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "upload_id": upload_id,
                "project": project,
                "name": name,
                "part_size": part_size,
                "parallel_uploads": parallel_uploads,
            }
        )
        if href is not UNSET:
            field_dict["href"] = href
        if parent is not UNSET:
            field_dict["parent"] = parent
        if size is not UNSET:
            field_dict["size"] = size

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        upload_id = d.pop("upload_id")

        project = d.pop("project")

        name = d.pop("name")

        part_size = d.pop("part_size")

        parallel_uploads = d.pop("parallel_uploads")

        href = d.pop("href", UNSET)

        parent = d.pop("parent", UNSET)

        size = d.pop("size", UNSET)

        started_upload = cls(
            upload_id=upload_id,
            project=project,
            name=name,
            part_size=part_size,
            parallel_uploads=parallel_uploads,
            href=href,
            parent=parent,
            size=size,
        )

        started_upload.additional_properties = d
        return started_upload

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
