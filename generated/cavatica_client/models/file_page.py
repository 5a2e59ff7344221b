from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

if TYPE_CHECKING:
    from ..models.file_details import FileDetails
    from ..models.page_link import PageLink


T = TypeVar("T", bound="FilePage")


@_attrs_define
class FilePage:
    """A page of files and folders."""

    href: str
    """ The absolute URL of a resource of this API. """
    items: list[FileDetails]
    """ The files and folders on this page. """
    links: list[PageLink]
    """ Links to the next and the previous page. Empty if this is the only page. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        href = self.href

        items = []
        for items_item_data in self.items:
            items_item = items_item_data.to_dict()
            items.append(items_item)

        links = []
        for links_item_data in self.links:
            links_item = links_item_data.to_dict()
            links.append(links_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "href": href,
                "items": items,
                "links": links,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.file_details import FileDetails  # noqa: PLC0415
        from ..models.page_link import PageLink  # noqa: PLC0415

        d = dict(src_dict)
        href = d.pop("href")

        items = []
        _items = d.pop("items")
        for items_item_data in _items:
            items_item = FileDetails.from_dict(items_item_data)

            items.append(items_item)

        links = []
        _links = d.pop("links")
        for links_item_data in _links:
            links_item = PageLink.from_dict(links_item_data)

            links.append(links_item)

        file_page = cls(
            href=href,
            items=items,
            links=links,
        )

        file_page.additional_properties = d
        return file_page

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
