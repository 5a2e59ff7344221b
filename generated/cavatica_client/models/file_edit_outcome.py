from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.api_error import ApiError
    from ..models.file_details import FileDetails


T = TypeVar("T", bound="FileEditOutcome")


@_attrs_define
class FileEditOutcome:
    """The changed file (`resource`), or why it could not be changed (`error`)."""

    resource: FileDetails | Unset = UNSET
    """ A file or folder. A folder has no size.

    **Sources disagree:** The pages differ in how much of a file they show. The answer that creates a folder has no
    `project`.
     """
    error: ApiError | Unset = UNSET
    """ Why the call failed. Decide by `code`, or by `status` if there is no code; the wording of `message` may
    change.
     """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        resource: dict[str, Any] | Unset = UNSET
        if not isinstance(self.resource, Unset):
            resource = self.resource.to_dict()

        error: dict[str, Any] | Unset = UNSET
        if not isinstance(self.error, Unset):
            error = self.error.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if resource is not UNSET:
            field_dict["resource"] = resource
        if error is not UNSET:
            field_dict["error"] = error

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.api_error import ApiError  # noqa: PLC0415
        from ..models.file_details import FileDetails  # noqa: PLC0415

        d = dict(src_dict)
        _resource = d.pop("resource", UNSET)
        resource: FileDetails | Unset
        if isinstance(_resource, Unset):
            resource = UNSET
        else:
            resource = FileDetails.from_dict(_resource)

        _error = d.pop("error", UNSET)
        error: ApiError | Unset
        if isinstance(_error, Unset):
            error = UNSET
        else:
            error = ApiError.from_dict(_error)

        file_edit_outcome = cls(
            resource=resource,
            error=error,
        )

        file_edit_outcome.additional_properties = d
        return file_edit_outcome

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
