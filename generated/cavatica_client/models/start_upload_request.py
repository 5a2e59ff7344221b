from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="StartUploadRequest")


@_attrs_define
class StartUploadRequest:
    """The file to upload, and its destination: exactly one of `project` and `parent`.

    **Sources disagree:** The pages of the Cancer Genomics Cloud and BioData Catalyst require `project`. The page of
    CAVATICA, the vendor's OpenAPI and every client take either.

    """

    name: str
    """ The name of a file. Any characters except `/`, at most 255.

    **Inferred:** The limit counts characters, not bytes.
     """
    project: str | Unset = UNSET
    """ The id of a project, `owner/short-name`. """
    parent: str | Unset = UNSET
    """ The id of a file or folder, 24 hexadecimal digits. """
    size: int | Unset = UNSET
    """ The size of a file in bytes, at most 5 TiB. The limit is known from the vendor's clients.

    **Sources disagree:** The vendor's OpenAPI says int32, which is too small for real files.
     """
    part_size: int | Unset = UNSET
    """ The part size that the client asks for, in bytes. Storage can work with 5 MiB to 5 GiB. The server replaces
    a
    value that does not suit it by its default. Use the part size in the answer.

    **Sources disagree:** In the vendor's OpenAPI an upload keeps 5 MiB; the Java client (2017) says that the server
    replaces anything below 32 MB by 256 MB or more. No page names the default.
     """
    md5: str | Unset = UNSET
    """ An MD5 digest as 32 hexadecimal digits. The platform stores it and never checks it against the uploaded
    bytes.
     """
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
