"""Frozen dataclasses to JSON values and back, strictly; the file formats mirror the nouns."""

from __future__ import annotations

import dataclasses
import datetime
import math
import types
import typing
from collections.abc import Mapping
from enum import IntEnum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


class CodecError(ValueError):
    """A JSON value does not fit the noun; `where` is a path like `$.model.files[0].size`."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")
        self.where, self.message = where, message


def encode(value: object) -> Any:
    """Return JSON values for a noun: dataclasses by field, enums by lower-case name, dates as ISO text.

    Raises CodecError for a number that is not finite: JSON cannot carry it.
    """
    match value:
        case IntEnum():
            return value.name.lower()
        case None | bool() | int() | str():
            return value
        case float():
            if not math.isfinite(value):
                raise CodecError("$", f"{value} is not a finite number")
            return value
        case datetime.date():
            return value.isoformat()
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                raise CodecError("$", "a mapping's keys must be text")
            return {key: encode(item) for key, item in value.items()}
        case list() | tuple():
            return [encode(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {item.name: encode(getattr(value, item.name)) for item in dataclasses.fields(value)}
    raise CodecError("$", f"cannot encode {type(value).__name__}")


def decode(kind: type[T], value: object, where: str = "$") -> T:
    """Build a noun from JSON values, refusing unknown, missing and ill-typed fields. Raises CodecError."""
    return typing.cast("T", _decode(kind, value, where))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(kind: Any, value: object, where: str) -> object:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(args, value, where)
    if origin is typing.Literal:
        if value not in args:
            raise CodecError(where, f"{value!r} is not one of {', '.join(map(str, args))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise CodecError(where, "expected a list")
        return tuple(_decode(args[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise CodecError(where, "expected an object")
        return {_decode(args[0], key, where): _decode(args[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(typing.cast("type", kind), value, where)
    return _decode_scalar(kind, value, where)


def _decode_union(args: tuple[Any, ...], value: object, where: str) -> object:
    if value is None and type(None) in args:
        return None
    kinds = [kind for kind in args if kind is not type(None)]
    if len(kinds) == 1:
        return _decode(kinds[0], value, where)
    if isinstance(value, dict):
        for kind in kinds:
            names = {item.name for item in dataclasses.fields(kind)}
            if set(value) <= names and _required(kind) <= set(value):
                return _decode(kind, value, where)
    raise CodecError(where, f"is none of {', '.join(kind.__name__ for kind in kinds)}")


def _required(kind: type) -> set[str]:
    missing = dataclasses.MISSING
    return {
        item.name for item in dataclasses.fields(kind) if item.default is missing and item.default_factory is missing
    }


def _decode_dataclass(kind: type, value: object, where: str) -> object:
    if not isinstance(value, dict):
        raise CodecError(where, "expected an object")
    names = {item.name for item in dataclasses.fields(kind) if item.init}
    if unknown := sorted(set(value) - names):
        raise CodecError(f"{where}.{unknown[0]}", "is not a known field")
    if absent := sorted(_required(kind) - set(value)):
        raise CodecError(f"{where}.{absent[0]}", "is missing")
    hints = _hints(kind)
    built = {name: _decode(hints[name], item, f"{where}.{name}") for name, item in value.items()}
    try:
        return kind(**built)
    except ValueError as error:
        raise CodecError(where, str(error)) from error


def _decode_scalar(kind: Any, value: object, where: str) -> object:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _finite(value, where)
    if kind in (str, int, bool) and type(value) is kind:
        return value
    try:
        if kind is datetime.date and isinstance(value, str):
            return datetime.date.fromisoformat(value)
        if isinstance(kind, type) and issubclass(kind, IntEnum) and isinstance(value, str):
            return kind[value.upper()]
    except (ValueError, KeyError):
        raise CodecError(where, f"{value!r} is not a {kind.__name__}") from None
    raise CodecError(where, f"expected {kind.__name__}, got {type(value).__name__}")


def _finite(value: float, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise CodecError(where, "is not a finite number")
    return number
