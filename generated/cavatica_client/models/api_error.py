from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="ApiError")


@_attrs_define
class ApiError:
    """Why the call failed. Decide by `code`, or by `status` if there is no code; the wording of `message` may change."""

    status: int
    """ The HTTP status. """
    message: str
    """ What happened, in a sentence for people. """
    code: int | Unset = UNSET
    """ The platform's own code: 1000 rate limit, 3xxx projects, 5xxx files, 8xxx uploads, 90xxx everything else, 0
    maintenance.

    **Sources disagree:** The older R client swaps 8004 and 8005. Here 8005 means that a file of this name
    exists.
     """
    more_info: str | Unset = UNSET
    """ The URL of a page about the code. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        status = self.status

        message = self.message

        code = self.code

        more_info = self.more_info

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "status": status,
                "message": message,
            }
        )
        if code is not UNSET:
            field_dict["code"] = code
        if more_info is not UNSET:
            field_dict["more_info"] = more_info

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        status = d.pop("status")

        message = d.pop("message")

        code = d.pop("code", UNSET)

        more_info = d.pop("more_info", UNSET)

        api_error = cls(
            status=status,
            message=message,
            code=code,
            more_info=more_info,
        )

        api_error.additional_properties = d
        return api_error

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
