"""Nodes against the format: values with their places, and every mistake on the way."""

from __future__ import annotations

import re
from collections import abc
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from greengate.budget_file.scalars import Refusal, closest, quoted, scalar, wrong_type
from greengate.budget_file.shape import (
    NAME,
    Anything,
    AsIs,
    Either,
    Items,
    Key,
    Keys,
    Named,
    Never,
    Several,
    Shape,
    Text,
    Variants,
    bind,
)
from greengate.errors import Diagnostic, Span
from greengate.metrics import METRICS, name_of
from greengate.yamlspan import Mapping, Node, Scalar, Sequence, data


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the file: plain, or a dict or list of Values; `text` is a scalar as written.

    In a dict or list, None stands for what is there but could not be read.
    """

    content: Any
    span: Span
    text: str = ""

    def get(self, key: str) -> Value | None:
        """Return the value of a key, None where it is absent or could not be read."""
        found: Value | None = self.content.get(key)
        return found


#: What messages call a whole file, which nobody is told to remove.
_WHOLE = ("the budget", "the shared policy")


class Findings(list[Diagnostic]):
    """The mistakes found so far; `scores` are the ids of the accuracies that models have, by what rules may write."""

    def __init__(self, found: Iterable[Diagnostic] = (), scores: abc.Mapping[str, str] | None = None) -> None:
        super().__init__(found)
        self.scores = scores or {}

    def note(self, code: str, span: Span, message: str, help: str) -> None:
        """Add one mistake."""
        self.append(Diagnostic(code, message, help, span))


def check(shape: Shape, node: Node, name: str, fix: str, found: Findings) -> Value | None:
    """Return a node as a Value, None where nothing of it can be used.

    Messages call it `name`, and show `fix` as what could be written.
    """
    shape = _meant(shape, node)
    match shape, node:
        case Keys(), Mapping():
            return _keys(shape, node, name, found)
        case Named(), Mapping():
            return _named(shape, node, found)
        case Variants(), Mapping():
            return _variant(shape, node, name, fix, found)
        case (AsIs(), _) | (Anything(), Mapping()):
            return Value(node if isinstance(shape, AsIs) else data(node), node.span)
        case Several(items), _:
            return _several(items, node, name, fix, found)
        case Items(), Sequence() if len(node.items) >= shape.fewest:
            read = [check(shape.item, item, shape.called, fix, found) for item in node.items]
            return Value(read, node.span)
        case Items(), Sequence():
            found.note(shape.code, node.span, f"{name} is empty", f"write `{fix}`")
            return None
        case Items(code="empty-budget"), Scalar(kind="null"):
            found.note(shape.code, node.span, f"{name} is empty", f"write `{fix}`")
            return None
        case ((Keys() | Named() | Variants() | Items() | Anything()), _):
            content: object = wrong_type(shape, node, name, fix)
        case _:
            content = _scalar(shape, node, name, fix, found)
    if isinstance(content, Refusal):
        found.note(content.code, node.span, content.message, content.help)
        return None
    return Value(content, node.span, node.text if isinstance(node, Scalar) else "")


def _meant(shape: Shape, node: Node) -> Shape:
    if isinstance(shape, Either):
        return shape.keys if isinstance(node, Mapping) else shape.text
    return shape


def _several(items: Items, node: Node, name: str, fix: str, found: Findings) -> Value | None:
    if isinstance(node, Sequence):
        return check(items, node, name, fix, found)
    one = check(items.item, node, name, fix, found)
    return None if one is None else Value([one], node.span)


def _scalar(shape: Shape, node: Node, name: str, fix: str, found: Findings) -> object:
    if not isinstance(node, Scalar):
        return wrong_type(shape, node, name, fix)
    if isinstance(shape, Text) and shape.code == "unknown-metric":
        # A file that others extend has no models: it names an accuracy by its id, `accuracy.f1`.
        id = found.scores.get(node.text, node.text)
        if id in METRICS and re.search(NAME, name_of(id)):
            return id
        shape = replace(shape, choices=(*shape.choices, *found.scores))
    return scalar(shape, node, name, fix)


def _line(name: str, key: Key) -> str:
    return f"{name}: {key.example}"


def _keys(shape: Keys, node: Mapping, name: str, found: Findings) -> Value:
    if shape.by_metric and isinstance(metric := node.get("metric"), Scalar):
        id = found.scores.get(metric.text, metric.text)
        shape = bind(shape, id) if id in METRICS else shape
    content: dict[str, Value | None] = {}
    for written, value in node.pairs:
        key = shape.keys.get(written.text)
        if key is None:
            message = f"{quoted(written.text)} is not a key of {name}"
            known = f"the keys are {', '.join(shape.keys)}"
            found.note("unknown-key", written.span, message, f"{closest(written.text, shape.keys)}{known}")
        elif isinstance(key.shape, Never):
            content[written.text] = None
            _wrong_side(key.shape, written, found)
        else:
            content[written.text] = check(key.shape, value, f"`{written.text}`", _line(written.text, key), found)
    _present(shape, node, name, found)
    return Value(content, node.span)


def _wrong_side(never: Never, written: Scalar, found: Findings) -> None:
    metric = never.metric
    message = f"`{written.text}` bounds {name_of(metric.id)} on the side where it gets better"
    found.note("wrong-direction", written.span, message, f"{metric.better} is better: write `{never.instead}`")


def _present(shape: Keys, node: Mapping, name: str, found: Findings) -> None:
    """Note keys that are absent, or that cannot stand beside the others."""
    spans = {key.text: key.span for key, _ in node.pairs}
    for key, row in shape.keys.items():
        if row.required and key not in spans:
            found.note("missing-key", node.span, f"{name} has no `{key}`", f"add `{_line(key, row)}`")
    if shape.any_of and not spans.keys() & set(shape.any_of):
        allowed = [key for key in shape.any_of if not isinstance(shape.keys[key].shape, Never)]
        message = f"{name} sets none of {', '.join(allowed)}"
        advice = f"add for example `{_line(allowed[0], shape.keys[allowed[0]])}`"
        advice += "" if name in _WHOLE else f", or remove {name}"
        found.note(shape.any_of_code, node.span, message, advice)
    for key, other in shape.apart:
        if key in spans and other in spans:
            found.note("bad-value", spans[other], f"`{other}` and `{key}` exclude each other", "keep one of them")
    for key, companions in shape.needs:
        if key in spans and not spans.keys() & set(companions):
            allowed = [item for item in companions if not isinstance(shape.keys[item].shape, Never)]
            message = f"`{key}` belongs to a limit on a change, and {name} has none"
            found.note("no-limit", spans[key], message, f"add `{' or '.join(allowed)}`, or remove `{key}`")


def _named(shape: Named, node: Mapping, found: Findings) -> Value:
    content = {}
    for written, value in node.pairs:
        key = shape.fixed.get(written.text)
        if key is not None and not isinstance(value, Mapping):
            content[written.text] = check(key.shape, value, f"`{written.text}`", _line(written.text, key), found)
        else:
            name = f"the {shape.called} {quoted(written.text)}"
            content[written.text] = check(shape.item, value, name, f"{written.text}: {shape.example}", found)
    return Value(content, node.span)


def _variant(shape: Variants, node: Mapping, name: str, fix: str, found: Findings) -> Value | None:
    for key, keys in shape.variants.items():
        if any(written.text == key for written, _ in node.pairs):
            return _keys(keys, node, f"{name} from a {key}", found)
    found.note("missing-key", node.span, f"{name} has none of {', '.join(shape.variants)}", f"write `{fix}`")
    return None
