"""From what a generated function returns to a value of the contract's shape, or an error of this package."""

from collections.abc import Callable, Sequence
from types import TracebackType, UnionType
from typing import Any, TypeVar, get_args

import attrs

from cavatica_client.errors import UnexpectedStatus
from cavatica_client.types import Unset
from cavatica_upload.errors import UnexpectedAnswer

Model = TypeVar("Model")

_SCALARS: dict[str, type] = {"str": str, "int": int, "bool": bool}
_FIELDS: dict[str, Sequence[tuple[str, type | None]]] = {}  # by model, as they are needed


def call(operation: str, function: Callable[..., object], *arguments: object, **options: object) -> object:
    """Call a generated function.

    The transports below it raise platform errors; what is left is an answer whose shape the generated code cannot
    read, which raises UnexpectedAnswer.
    """
    try:
        return function(*arguments, **options)
    except UnexpectedStatus as error:
        raise _unexpected(operation, f"a status ({error.status_code}) that the contract does not know") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if not _while_parsing(error.__traceback__):
            raise
        raise _unexpected(operation, "JSON of another shape than the contract's") from error


def expect(
    kind: type[Model], operation: str, function: Callable[..., object], *arguments: object, **options: Any
) -> Model:
    """Call a generated function whose answer is a model of this kind, with scalars of the types it declares."""
    value = call(operation, function, *arguments, **options)
    if not isinstance(value, kind) or not _well_typed(value):
        raise _unexpected(operation, "JSON of another shape than the contract's")
    return value


def known(value: Model | Unset) -> Model | None:
    """Return a field of a model, or None where the server left it out."""
    return None if isinstance(value, Unset) else value


def _unexpected(operation: str, what: str) -> UnexpectedAnswer:
    error = UnexpectedAnswer(
        f"{operation} failed: the server answered with {what}.",
        "Check the endpoint; if it is right, the API has changed: look for a newer version of this program.",
        status=200,
        operation=operation,
    )
    error.maybe_acted = True
    return error


def _while_parsing(trace: TracebackType | None) -> bool:
    """Say whether an error came out of the reading of an answer, rather than out of what the caller passed in."""
    while trace is not None:
        if trace.tb_frame.f_code.co_name == "_parse_response":
            return True
        trace = trace.tb_next
    return False


def _well_typed(model: Any) -> bool:
    """Look at the scalars of a model and of the models in it: the generated code takes them unseen."""
    for name, scalar in _fields(type(model)):
        value = getattr(model, name)
        if isinstance(value, Unset):
            continue
        if scalar is not None and type(value) is not scalar:
            return False
        for item in value if isinstance(value, list) else (value,):
            if attrs.has(type(item)) and not _well_typed(item):
                return False
    return True


def _fields(kind: type[Any]) -> Sequence[tuple[str, type | None]]:
    """Return a model's fields, each with the scalar type that it is declared as, None where it is something else."""
    found = _FIELDS.get(kind.__name__)
    if found is None:
        found = _FIELDS[kind.__name__] = [(field.name, _scalar(field.type)) for field in attrs.fields(kind)]
    return found


def _scalar(declared: Any) -> type | None:
    names = declared.split(" | ") if isinstance(declared, str) else [kind.__name__ for kind in _members(declared)]
    names = [name for name in names if name != "Unset"]
    return _SCALARS.get(names[0]) if len(names) == 1 else None


def _members(declared: Any) -> tuple[Any, ...]:
    return get_args(declared) if isinstance(declared, UnionType) else (declared,)
