from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.instance_limit import InstanceLimit
    from ..models.rate import Rate


T = TypeVar("T", bound="RateLimitStatus")


@_attrs_define
class RateLimitStatus:
    """The limits of the user.

    **Sources disagree:** The CAVATICA page does not show `instance_limit`.

    """

    rate: Rate
    """ The API calls of the token. """
    instance_limit: InstanceLimit | Unset = UNSET
    """ The computing instances that may run at the same time. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        rate = self.rate.to_dict()

        instance_limit: dict[str, Any] | Unset = UNSET
        if not isinstance(self.instance_limit, Unset):
            instance_limit = self.instance_limit.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "rate": rate,
            }
        )
        if instance_limit is not UNSET:
            field_dict["instance_limit"] = instance_limit

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.instance_limit import InstanceLimit  # noqa: PLC0415
        from ..models.rate import Rate  # noqa: PLC0415

        d = dict(src_dict)
        rate = Rate.from_dict(d.pop("rate"))

        _instance_limit = d.pop("instance_limit", UNSET)
        instance_limit: InstanceLimit | Unset
        if isinstance(_instance_limit, Unset):
            instance_limit = UNSET
        else:
            instance_limit = InstanceLimit.from_dict(_instance_limit)

        rate_limit_status = cls(
            rate=rate,
            instance_limit=instance_limit,
        )

        rate_limit_status.additional_properties = d
        return rate_limit_status

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
