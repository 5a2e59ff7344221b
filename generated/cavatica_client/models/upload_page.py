from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.page_link import PageLink
    from ..models.upload_summary import UploadSummary


T = TypeVar("T", bound="UploadPage")


@_attrs_define
class UploadPage:
    """A page of ongoing uploads.

    **Sources disagree:** The documented example has no `href` and no `links`; the Go and Java clients expect both.

    """

    items: list[UploadSummary]
    """ The uploads on this page. """
    href: str | Unset = UNSET
    """ The absolute URL of a resource of this API. """
    links: list[PageLink] | Unset = UNSET
    """ Links to the next and the previous page. Empty if this is the only page. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        items = []
        for items_item_data in self.items:
            items_item = items_item_data.to_dict()
            items.append(items_item)

        href = self.href

        links: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.links, Unset):
            links = []
            for links_item_data in self.links:
                links_item = links_item_data.to_dict()
                links.append(links_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "items": items,
            }
        )
        if href is not UNSET:
            field_dict["href"] = href
        if links is not UNSET:
            field_dict["links"] = links

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.page_link import PageLink  # noqa: PLC0415
        from ..models.upload_summary import UploadSummary  # noqa: PLC0415

        d = dict(src_dict)
        items = []
        _items = d.pop("items")
        for items_item_data in _items:
            items_item = UploadSummary.from_dict(items_item_data)

            items.append(items_item)

        href = d.pop("href", UNSET)

        _links = d.pop("links", UNSET)
        links: list[PageLink] | Unset = UNSET
        if _links is not UNSET:
            links = []
            for links_item_data in _links:
                links_item = PageLink.from_dict(links_item_data)

                links.append(links_item)

        upload_page = cls(
            items=items,
            href=href,
            links=links,
        )

        upload_page.additional_properties = d
        return upload_page

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
