"""The modules of the generated client, one for each operation."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import cavatica_client.api


def generated_modules() -> Iterator[ModuleType]:
    """Import and yield the generated module of every operation."""
    package = cavatica_client.api
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.ispkg:
            yield importlib.import_module(found.name)


def operation_id(module: ModuleType) -> str:
    """The operationId that a module is named after."""
    first, *others = module.__name__.rpartition(".")[2].split("_")
    return first + "".join(word.capitalize() for word in others)
