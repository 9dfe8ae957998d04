"""One scalar against its shape: the plain value, or why not and what to write."""

from __future__ import annotations

import datetime
import difflib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from greengate.budget_file.shape import (
    AnyChange,
    Anything,
    ByMetric,
    Change,
    Date,
    Flag,
    Items,
    Keys,
    Named,
    Number,
    Quantity,
    Shape,
    Text,
    Variants,
    Whole,
)
from greengate.units import (
    MEASURES,
    UNITS,
    Delta,
    Dimension,
    QuantityError,
    delta_pattern,
    parse_delta,
    parse_quantity,
    quantity_pattern,
)
from greengate.yamlspan import Mapping, Node, Scalar, Sequence


@dataclass(frozen=True)
class Refusal:
    """Why a value cannot be used; not yet a place."""

    code: str
    message: str
    help: str


Plain = str | int | float | bool | Delta | datetime.date | Scalar
#: Dimensions whose quantities are numbers without a unit.
_BARE: tuple[Dimension, ...] = ("count", "ratio", "rate")
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")


def quoted(text: str) -> str:
    """Return a text of the user's for a message, cut where it is long."""
    return repr(text if len(text) <= 60 else f"{text[:60]}...")


def wrong_type(shape: Shape, node: Node, name: str, fix: str) -> Refusal:
    """Say what a value must be, and what it is."""
    advice = f"write `{fix}`"
    if isinstance(shape, Text) and isinstance(node, Scalar) and node.kind in ("int", "float", "bool"):
        advice = f'put it in quotes: "{node.text}"'
    return Refusal("wrong-type", f"{name} must be {_wanted(shape)}, not {_found(node)}", advice)


def scalar(shape: Shape, node: Scalar, name: str, fix: str) -> Plain | Refusal:
    """Return the plain value that a scalar stands for, or the refusal."""
    match shape, node.kind:
        case Text(), "str" | "date":
            return _text(shape, node.text, name)
        case Whole(), "int" | "float":
            return _whole(shape, node, name, fix)
        case Number(), "int" | "float":
            return float(node.value or 0)
        case ((Number(flags=True) | Flag()), "bool"):
            return bool(node.value)
        case Date(), "str" | "date":
            return _date(node.text, name, fix)
        case Quantity(), "int" | "float" | "str":
            return _quantity(shape, node, name)
        case Change(), "int" | "float" | "str":
            return _change(shape, node)
        case AnyChange(), "int" | "float" | "str":
            dimension: Dimension = "ratio" if node.text.endswith("pp") else "count"
            return _change(shape.of(dimension), node)
        case ByMetric(), "int" | "float" | "str":
            return node  # its metric is unknown, and that is noted where it stands
    return wrong_type(shape, node, name, fix)


def quantity(node: Scalar, dimension: Dimension, signed: bool = False) -> float:
    """Return a positive quantity, any at all where it is `signed`, in its SI unit. Raises QuantityError."""
    text, bare = node.text, node.kind != "str"
    if bare and dimension in ("count", "ratio"):
        value = float(node.value or 0)
        if value <= 0 or (dimension == "ratio" and value > 1):
            allowed = "above 0 and at most 1" if dimension == "ratio" else "above 0"
            raise QuantityError("bad-value", f"{text!r} is out of bounds", f"write a number {allowed}")
        return value
    value = parse_quantity(text, dimension)
    if dimension == "ratio":
        raise QuantityError("wrong-type", f"a ratio must be a number, not the text {text!r}", "remove the quotes")
    if re.search(quantity_pattern(dimension, signed), text) is None:
        raise QuantityError("bad-value", f"{text!r} is not more than zero", f"write {MEASURES[dimension]} above zero")
    return value


def closest(word: str, known: Iterable[str]) -> str:
    """Return `did you mean x? ` for the known word that is most like one, else nothing."""
    near = difflib.get_close_matches(word[:100], list(known), 1)
    return f"did you mean `{near[0]}`? " if near else ""


def _text(shape: Text, text: str, name: str) -> str | Refusal:
    if shape.choices and text not in shape.choices:
        metric = shape.code == "unknown-metric"
        message = f"no metric is called {quoted(text)}" if metric else f"{name} cannot be {quoted(text)}"
        return Refusal(shape.code, message, f"{closest(text, shape.choices)}use one of {', '.join(shape.choices)}")
    if not shape.choices and re.search(shape.pattern, text) is None:
        return Refusal("bad-value", f"{name} cannot be {quoted(text)}", shape.say)
    return text


def _whole(shape: Whole, node: Scalar, name: str, fix: str) -> int | Refusal:
    number = float(node.value or 0)
    if number != math.floor(number):
        return wrong_type(shape, node, name, fix)
    if shape.low <= number <= shape.high:
        return int(number)
    if shape.code == "unsupported-version":
        message = f"this greengate reads version {shape.high} of the budget format, not {node.text}"
        return Refusal(shape.code, message, f"write `{fix}`")
    bound = f"at least {shape.low}" if number < shape.low else f"at most {shape.high}"
    return Refusal(shape.code, f"{name} must be {bound}, not {node.text}", f"write for example `{fix}`")


def _date(text: str, name: str, fix: str) -> datetime.date | Refusal:
    try:
        if _DATE.fullmatch(text):
            return datetime.date.fromisoformat(text)
    except ValueError:
        return Refusal("bad-value", f"{name}: the calendar has no {text}", f"write for example `{fix}`")
    return Refusal("bad-value", f"{name} must be a date, not {quoted(text)}", f"write for example `{fix}`")


def _quantity(shape: Quantity, node: Scalar, name: str) -> float | Scalar | Refusal:
    if shape.dimension is None:
        return _any_quantity(node)
    try:
        return quantity(node, shape.dimension, shape.signed)
    except QuantityError as error:
        if error.code == "unknown-unit" and node.text.endswith("%") and name in ("`max`", "`min`"):
            change = "max_increase" if name == "`max`" else "max_decrease"
            return Refusal(error.code, error.message, f"to limit the change write `{change}: {node.text}`")
        return Refusal(error.code, error.message, error.help)


def _any_quantity(node: Scalar) -> Scalar | Refusal:
    """Return the scalar itself where some dimension fits: which one it must be is not known here."""
    errors = []
    for dimension in UNITS:
        try:
            quantity(node, dimension)
            return node
        except QuantityError as error:
            errors.append(error)
    wrong = next((item for item in errors if item.code in ("bad-value", "bad-number")), None)
    if wrong is not None:
        return Refusal(wrong.code, wrong.message, wrong.help)
    return Refusal("unknown-unit", f"{quoted(node.text)} has no known unit", "use a unit of the rule's metric")


def _change(shape: Change, node: Scalar) -> Delta | Refusal:
    try:
        delta = parse_delta(node.text, shape.dimension)
    except QuantityError as error:
        return Refusal(error.code, error.message, error.help)
    if re.search(delta_pattern(shape.dimension, shape.positive, shape.below_100), node.text):
        return delta
    unit = "pp" if shape.dimension == "ratio" else "%"
    if node.text.startswith("-"):
        return Refusal("bad-value", f"{node.text!r} has a minus", f"write the size of the change, `{node.text[1:]}`")
    if delta.value > 0:
        return Refusal("bad-value", f"{node.text!r} allows everything", f"write less than 100 {unit}")
    return Refusal("bad-value", f"{node.text!r} is not more than zero", f"write a positive number of {unit}")


def _wanted(shape: Shape) -> str:
    match shape:
        case Keys() | Named() | Variants() | Anything():
            return "a mapping"
        case Items():
            return "a list"
        case Whole():
            return "a whole number"
        case Number():
            return "a number"
        case Flag():
            return "true or false"
        case Date():
            return "a date"
        case ByMetric() | Quantity(dimension=None):
            return "a quantity"
        case Quantity(dimension=dimension) if dimension is not None:
            return f"a quantity of {MEASURES[dimension]}" if dimension not in _BARE else MEASURES[dimension]
        case Change(dimension=dimension):
            return "a change in pp" if dimension == "ratio" else "a change in %"
        case AnyChange():
            return "a change in % or pp"
    return "a text"


def _found(node: Node) -> str:
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar(kind="null"):
            return "nothing"
        case Scalar(kind="str" | "date"):
            return f"the text {quoted(node.text)}"
        case Scalar(kind="bool"):
            return node.text
    return f"the number {node.text}"
