"""What the parts of a budget say about each other: names, selectors, waivers, trade-offs.

What could not be read is left out of account: while one name is not known, no other is called unknown.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from greengate.budget_file.check import Findings, Value
from greengate.budget_file.scalars import closest, quantity, quoted
from greengate.budget_file.shape import NAME
from greengate.metrics import METRICS
from greengate.units import QuantityError


@dataclass(frozen=True)
class Names:
    """Who is called what; `complete` unless some entry's name could not be read."""

    entries: dict[str, Value]
    complete: bool


def find_contradictions(budget: Value, found: Findings) -> None:
    """Note every mistake that takes two places of the file to see."""
    models = _names(budget, "models", model_name, "name", found)
    rules = _names(budget, "rules", rule_id, "id", found)
    for model in entries(budget, "models"):
        _ranges(model, found)
        _default_name(model, found)
    for rule in entries(budget, "rules"):
        _trade_off(rule, found)
        _selectors(rule, models, found)
    granted: dict[tuple[str, str], Value] = {}
    for waiver in entries(budget, "waivers"):
        _waiver(waiver, models, rules, granted, found)


def entries(parent: Value, key: str) -> list[Value]:
    """Return the readable items of a list; none where it is absent."""
    listed = parent.get(key)
    return [] if listed is None else [item for item in listed.content if item is not None]


def model_name(model: Value) -> Value | None:
    """Return a model's name: as written, else its file's name without the ending."""
    path = model.get("path")
    if "name" in model.content or path is None:
        return model.get("name")
    return Value(PurePosixPath(path.content).stem, path.span)


def rule_id(rule: Value) -> Value | None:
    """Return a rule's id: as written, else its metric."""
    return rule.get("id") if "id" in rule.content else rule.get("metric")


def matches(name: str, patterns: list[str]) -> bool:
    """Tell whether a rule with these selectors binds a model; without selectors it binds every model."""
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _names(budget: Value, key: str, name_of: Callable[[Value], Value | None], named_by: str, found: Findings) -> Names:
    listed = budget.get(key)
    known: dict[str, Value] = {}
    complete = listed is not None
    for entry in [] if listed is None else listed.content:
        name = None if entry is None else name_of(entry)
        if name is None:
            complete = False
        elif name.content in known:
            first = name_of(known[name.content]) or name
            help = f"the first is in line {first.span.line}; give one of them another `{named_by}`"
            found.note("duplicate-id", name.span, f"two {key} are called {quoted(name.content)}", help)
        else:
            known[name.content] = entry
    return Names(known, complete)


def _default_name(model: Value, found: Findings) -> None:
    name = model_name(model)
    if name is not None and re.search(NAME, name.content) is None:
        message = f"a model cannot be called {quoted(name.content)} after its file"
        found.note("bad-value", name.span, message, "add a `name` of letters, digits, `_`, `.` and `-`")


def _ranges(model: Value, found: Findings) -> None:
    inputs = model.get("inputs")
    for described in [] if inputs is None else inputs.content.values():
        if described is None or not isinstance(described.content, dict):
            continue
        low, high = described.get("min"), described.get("max")
        if low is not None and high is not None and low.content >= high.content:
            message = f"no value is at least {low.text} and below {high.text}"
            found.note("bad-value", high.span, message, "write a `max` above `min`; it is never fed itself")


def _trade_off(rule: Value, found: Findings) -> None:
    unless = rule.get("unless")
    if unless is None or rule.get("metric") is None:
        return
    for kind in ("max_increase", "max_decrease"):
        own, granted = rule.get(kind), unless.get(kind)
        if own is not None and granted is not None and granted.content.value < own.content.value:
            message = f"`unless` grants {granted.text}, less than the rule's own {own.text}"
            found.note("contradictory-limits", granted.span, message, f"write more than {own.text}, or remove it")


def _selectors(rule: Value, models: Names, found: Findings) -> None:
    if not models.complete:
        return
    for pattern in entries(rule, "models"):
        if not any(matches(name, [pattern.content]) for name in models.entries):
            message = f"{quoted(pattern.content)} matches no model"
            help = f"{closest(pattern.content, models.entries)}the models are {_few(models)}"
            found.note("unmatched-selector", pattern.span, message, help)


def _waiver(waiver: Value, models: Names, rules: Names, granted: dict[tuple[str, str], Value], found: Findings) -> None:
    rule_name, model = waiver.get("rule"), waiver.get("model")
    for name, names, kind in ((rule_name, rules, "rule"), (model, models, "model")):
        if name is not None and names.complete and name.content not in names.entries:
            help = f"{closest(name.content, names.entries)}the {kind}s are {_few(names)}"
            found.note(f"unknown-{kind}", name.span, f"no {kind} is called {quoted(name.content)}", help)
    rule = rules.entries.get(rule_name.content) if rule_name is not None else None
    if rule_name is None or rule is None:
        return
    _ceiling(waiver, rule, found)
    if model is None:
        return
    first = granted.setdefault((rule_name.content, model.content), waiver)
    if first is not waiver:
        message = f"two waivers of rule {quoted(rule_name.content)} are for {quoted(model.content)}"
        found.note("duplicate-id", waiver.span, message, f"the first is in line {first.span.line}; keep one of them")
    patterns = [item.content for item in entries(rule, "models")]
    if model.content in models.entries and not matches(model.content, patterns):
        message = f"the rule {quoted(rule_name.content)} does not bind {quoted(model.content)}"
        found.note("unmatched-selector", model.span, message, f"the rule is for {', '.join(patterns)}")


def _ceiling(waiver: Value, rule: Value, found: Findings) -> None:
    ceiling, metric = waiver.get("ceiling"), rule.get("metric")
    if ceiling is None or metric is None:
        return
    try:
        value = quantity(ceiling.content, METRICS[metric.content].dimension)
    except QuantityError as error:
        found.note(error.code, ceiling.span, error.message, error.help)
        return
    most, least = rule.get("max"), rule.get("min")
    own = most or least
    if (most is not None and value < most.content) or (least is not None and value > least.content):
        message = f"the waiver's ceiling {ceiling.text} is tighter than the rule's own {own.text if own else ''}"
        found.note("contradictory-limits", ceiling.span, message, "write a wider ceiling, or remove the waiver")


def _few(names: Names) -> str:
    shown = list(names.entries)[:12]
    return ", ".join(shown) + (f" and {len(names.entries) - 12} more" if len(names.entries) > 12 else "")
