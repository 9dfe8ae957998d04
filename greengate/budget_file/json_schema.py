"""The budget's format as a JSON Schema, for editors and other tools."""

from __future__ import annotations

from typing import Any

from greengate.budget_file.format import BUDGET
from greengate.budget_file.format_shared import SHARED
from greengate.budget_file.shape import (
    END,
    NAME,
    AnyChange,
    Anything,
    Change,
    Date,
    Either,
    Flag,
    Items,
    Key,
    Keys,
    Named,
    Never,
    Number,
    Quantity,
    Several,
    Shape,
    Text,
    Variants,
    Whole,
    bind,
)
from greengate.metrics import FAMILIES, METRICS
from greengate.units import UNITS, Dimension, delta_pattern, quantity_pattern

Schema = dict[str, Any]


def schema(shared: bool = False) -> Schema:
    """Return the JSON Schema (draft 2020-12) of the budget file, or of a `shared` policy that budgets extend.

    It accepts what the reader accepts, but for what takes two places of the file to see.
    """
    found = _keys(SHARED if shared else BUDGET)
    known = {"properties": {"rules": {"items": {"properties": {"metric": _KNOWN, "unless": _PAYS}}}}}
    found.setdefault("allOf", []).append(known if shared else {"if": _NAMES_ACCURACIES, "else": known})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:greengate:policy:1" if shared else "urn:greengate:budget:1",
        "title": "greengate shared policy" if shared else "greengate budget",
        "description": "What a model may cost, and by how much a change may move it.",
        **found,
    }


#: The ids of accuracies with names, as files write them that do not say what models call theirs.
_NAMED = rf"^(?:{'|'.join(FAMILIES.values())})\.{NAME.removeprefix('^')}"

#: What rules may write for a metric where no model gives its accuracy a name.
_KNOWN: Schema = {"anyOf": [{"enum": list(METRICS)}, {"type": "string", "pattern": _NAMED}]}
_PAYS: Schema = {"properties": {"metric": _KNOWN}}

#: Holds for a budget of which some model does: what rules may write stands in another place of the file then.
_HAS_NAME: Schema = {"type": "object", "required": ["name"]}
_ACCURACY: Schema = {"anyOf": [_HAS_NAME, {"type": "array", "contains": _HAS_NAME}]}
_MODEL: Schema = {"type": "object", "properties": {"accuracy": _ACCURACY}, "required": ["accuracy"]}
_NAMES_ACCURACIES: Schema = {"properties": {"models": {"contains": _MODEL}}, "required": ["models"]}


def _schema(shape: Shape) -> Schema | bool:
    match shape:
        case Keys():
            return _keys(shape)
        case Named():
            fixed = {name: {"anyOf": [_key(key), _schema(shape.item)]} for name, key in shape.fixed.items()}
            return {"type": "object", "properties": fixed, "additionalProperties": _schema(shape.item)}
        case Variants():
            return {"anyOf": [_schema(variant) for variant in shape.variants.values()]}
        case Either():
            return {"anyOf": [_scalar(shape.text), _keys(shape.keys)]}
        case Several():
            return {"anyOf": [_schema(shape.items.item), _schema(shape.items)]}
        case Items():
            return {"type": "array", "items": _schema(shape.item), "minItems": shape.fewest}
        case Anything():
            return {"type": "object", "additionalProperties": True}
        case Never():
            return False
    return _scalar(shape)


def _scalar(shape: Shape) -> Schema:
    match shape:
        case Text(choices=()):
            return {"type": "string", "pattern": shape.pattern}
        case Text(code="unknown-metric"):
            # Any name may be what a model calls an accuracy; see _KNOWN.
            return {"anyOf": [*_KNOWN["anyOf"], {"type": "string", "pattern": NAME}]}
        case Text():
            return {"enum": list(shape.choices)}
        case Whole(low=low, high=high):
            return {"type": "integer", "minimum": low, "maximum": high}
        case Number():
            return {"type": ["number", "boolean"] if shape.flags else "number"}
        case Flag():
            return {"type": "boolean"}
        case Date():
            return {"type": "string", "format": "date", "pattern": rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{END}"}
        case Quantity():
            return _quantity(shape.dimension, shape.signed)
        case Change():
            return _change(shape)
        case AnyChange():
            both: tuple[Dimension, ...] = ("count", "ratio")
            return {"anyOf": [_change(shape.of(each)) for each in both]}
    return {"type": ["string", "number"]}  # a limit before its metric is known


def _change(shape: Change) -> Schema:
    return {"type": "string", "pattern": delta_pattern(shape.dimension, shape.positive, shape.below_100)}


def _quantity(dimension: Dimension | None, signed: bool = False) -> Schema:
    if dimension is None:
        return {"anyOf": [_quantity(known) for known in UNITS]}
    text = {"type": "string", "pattern": quantity_pattern(dimension, signed)}
    match dimension:
        case "ratio":
            return {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
        case "count":
            return {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, text]}
    return text


def _key(key: Key) -> Schema:
    found = _schema(key.shape)
    return {"description": key.about, **found} if isinstance(found, dict) else {"not": {}}


def _keys(shape: Keys) -> Schema:
    found: Schema = {
        "type": "object",
        "properties": {name: _key(key) for name, key in shape.keys.items()},
        "required": [name for name, key in shape.keys.items() if key.required],
        "additionalProperties": False,
    }
    conditions: list[Schema] = [{"not": {"required": list(pair)}} for pair in shape.apart]
    if shape.by_metric:
        conditions += _by_metric(shape)
    if conditions:
        found["allOf"] = conditions
    if shape.any_of:
        found["anyOf"] = _one_of(shape.any_of)
    if shape.needs:
        found["dependentSchemas"] = {key: {"anyOf": _one_of(others)} for key, others in shape.needs}
    return found


def _one_of(names: tuple[str, ...]) -> list[Schema]:
    return [{"required": [name]} for name in names]


def _by_metric(shape: Keys) -> list[Schema]:
    """Return an if and a then for each group of metrics whose limits look alike.

    A name that is no metric's is an accuracy of one kind or another.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for metric in METRICS.values():
        groups.setdefault((metric.dimension, metric.better), []).append(metric.id)
    found = [_where(_of(ids), _limits(shape, ids[0])) for ids in groups.values()]
    others = {"type": "string", "not": _KNOWN}
    return [*found, _where(others, {"anyOf": [_limits(shape, family) for family in FAMILIES.values()]})]


def _of(ids: list[str]) -> Schema:
    """Return what the ids of a group match: the accuracies with names too, where their family is one of it."""
    named = [{"type": "string", "pattern": rf"^{id}\."} for id in ids if id in FAMILIES.values()]
    return {"anyOf": [{"enum": ids}, *named]} if named else {"enum": ids}


def _where(metric: Schema, then: Schema) -> Schema:
    return {"if": {"properties": {"metric": metric}, "required": ["metric"]}, "then": then}


def _limits(shape: Keys, metric: str) -> Schema:
    bound = bind(shape, metric).keys.items()
    return {"properties": {name: _schema(key.shape) for name, key in bound if key.shape != shape.keys[name].shape}}
