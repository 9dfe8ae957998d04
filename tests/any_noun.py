"""Hypothesis strategies for every noun, read off its type hints."""

from __future__ import annotations

import dataclasses
import datetime
import types
import typing
from collections.abc import Mapping
from enum import IntEnum
from functools import cache
from typing import Any

from hypothesis import strategies as st

from greengate.budget import PERIOD, CarbonBudget

_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=8),
    int: st.integers(),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    datetime.date: st.dates(),
    type(None): st.none(),
}

#: Fields that their nouns look into.
_FIELDS: dict[tuple[Any, str], st.SearchStrategy[Any]] = {
    (CarbonBudget, "period"): st.from_regex(PERIOD, fullmatch=True),
}


@cache
def any_noun(kind: Any) -> st.SearchStrategy[Any]:
    """Return values of a type: scalars, literals, enums, tuples, mappings, unions and dataclasses of them."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(any_noun, args))
    if origin is typing.Literal:
        return st.sampled_from(args)
    if origin is tuple:
        return st.lists(any_noun(args[0]), max_size=2).map(tuple)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(any_noun(args[0]), any_noun(args[1]), max_size=2)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        fields = {item.name: _FIELDS.get((kind, item.name)) for item in dataclasses.fields(kind)}
        return st.builds(
            kind, **{name: any_noun(hints[name]) if known is None else known for name, known in fields.items()}
        )
    if issubclass(kind, IntEnum):
        return st.sampled_from(kind)
    return _SCALARS[kind]
