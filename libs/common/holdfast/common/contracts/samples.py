"""A sample of each event, the same on every machine: for golden files and examples in documents."""

from __future__ import annotations

from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)
_SIMPLE: dict[Any, object] = {
    str: "text",
    int: 42,
    bool: True,
    UUID: UUID("0192f0c4-7a3e-7cc1-9d52-3f6f0a1b2c3d"),
    datetime: datetime(2026, 3, 29, 1, 59, 59, 123000, UTC),
}


def sample(model: type[M]) -> M:
    """An instance with every field set.

    Raises:
        TypeError: A field has a type that contracts do not use yet; add it here.
    """
    return model(**{name: _value(field.annotation) for name, field in model.model_fields.items()})


def _value(annotation: Any) -> object:
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin = get_origin(annotation)
    if origin is Literal:
        return get_args(annotation)[0]
    if origin in {Union, UnionType}:
        return _value(next(item for item in get_args(annotation) if item is not NoneType))
    if origin is list:
        return [_value(get_args(annotation)[0])]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return sample(annotation)
    raise TypeError(f"no sample for {annotation!r}")
