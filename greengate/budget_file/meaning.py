"""What the parts of a budget say about each other: names, selectors, waivers, trade-offs.

What could not be read is left out of account: while one name is not known, no other is called unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from greengate import intensity
from greengate.bound import matches
from greengate.budget_file.check import Findings, Value
from greengate.budget_file.scalars import closest, quantity, quoted
from greengate.budget_file.scores import find_clashes
from greengate.budget_file.shape import NAME
from greengate.budget_file.trades import find_idle_trades
from greengate.metrics import METRICS
from greengate.recipe import names_code
from greengate.units import QuantityError


@dataclass(frozen=True)
class Names:
    """Who is called what; `complete` unless some entry's name could not be read."""

    entries: dict[str, Value]
    complete: bool


def find_contradictions(budget: Value, found: Findings, beneath: Sequence[Value] = ()) -> None:
    """Note every mistake that takes two places to see, of this file or of those it extends, `beneath`, nearest first.

    A shared file has no models: its selectors, and whom its waivers are for, are each repository's own matter.
    """
    models = _names(budget, "models", model_name, "name", found)
    own = _names(budget, "rules", rule_id, "id", found)
    rules = _inherited(own, beneath, found)
    called: dict[str, Value] = {}
    for model in entries(budget, "models"):
        find_clashes(model, called, found)
        _ranges(model, found)
        _default_name(model, found)
        _kind(model, found)
    for rule in entries(budget, "rules"):
        find_idle_trades(rule, found)
        _selectors(rule, models, found)
        for override in entries(rule, "overrides"):
            _selectors(override, models, found)
    for seat in entries(budget, "approvers"):
        _seats(seat, rules, found)
    _carbon(budget, found)
    if (taken := rules.entries.get("carbon_budget")) is not None and nearest((budget, *beneath), "carbon_budget"):
        found.note(
            "duplicate-id", taken.span, "`carbon_budget` is what reports call the file's own", "call it otherwise"
        )
    granted: dict[tuple[str, str], Value] = {}
    for waiver in entries(budget, "waivers"):
        _waiver(waiver, rules, granted, found)
        _lifetime(waiver, nearest((budget, *beneath), "max_waiver_days"), found)


def nearest(files: Sequence[Value], key: str) -> Value | None:
    """Return what the first file that says anything of a key says."""
    return next((told for one in files if (told := one.get(key)) is not None), None)


def _inherited(own: Names, beneath: Sequence[Value], found: Findings) -> Names:
    """Return the rules of a file with those it extends; a rule that is written anew keeps its metric."""
    known = dict(own.entries)
    for file in beneath:
        for rule in entries(file, "rules"):
            name, metric = rule_id(rule), rule.get("metric")
            if name is None or metric is None:
                continue
            mine = known.setdefault(name.content, rule)
            again = mine.get("metric")
            if mine is own.entries.get(name.content) and again is not None and again.content != metric.content:
                message = f"the rule {quoted(name.content)} is on {metric.content} in {metric.span}"
                found.note("duplicate-id", again.span, message, "give this one another `id`")
    return replace(own, entries=known)


def entries(parent: Value, key: str) -> list[Value]:
    """Return the readable items of a list; none where it is absent."""
    listed = parent.get(key)
    return [] if listed is None else [item for item in listed.content if item is not None]


def model_name(model: Value) -> Value | None:
    """Return a model's name: as written, else its file's name without the ending."""
    path = model.get("path")
    if "name" in model.content or path is None:
        return model.get("name")
    if names_code(path.content):
        return Value(path.content.rpartition(":")[2], path.span)
    return Value(PurePosixPath(path.content).stem, path.span)


def rule_id(rule: Value) -> Value | None:
    """Return a rule's id: as written, else its metric."""
    metric = rule.get("metric")
    return rule.get("id") if "id" in rule.content or metric is None else Value(metric.text, metric.span)


def _names(budget: Value, key: str, name_of: Callable[[Value], Value | None], named_by: str, found: Findings) -> Names:
    listed = budget.get(key)
    known: dict[str, Value] = {}
    complete = listed is not None or (key == "rules" and key not in budget.content)
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


def _carbon(budget: Value, found: Findings) -> None:
    carbon = budget.get("carbon")
    if carbon is None:
        return
    country, pue = carbon.get("country"), carbon.get("pue")
    if country is not None and country.content not in intensity.table():
        message = f"no intensity is shipped for {quoted(country.content)}"
        near = closest(country.content, intensity.table())
        found.note("bad-value", country.span, message, f"{near}write `intensity`, `source` and `year` instead")
    if pue is not None and not 1 <= pue.content <= 10:
        found.note("bad-value", pue.span, f"a PUE is at least 1, not {pue.text}", "write for example `1.2`")
        pue = None
    written = carbon.get("intensity")
    if written is not None and not intensity.is_possible(written.content * (1 if pue is None else pue.content)):
        message = f"no grid emits {written.text}" + ("" if pue is None else f", with a PUE of {pue.text}")
        help = "write what the grid emits a kWh, such as `56 g/kWh`: from 0.01 g to 10 kg, with the PUE"
        found.note("bad-value", written.span, message, help)


def _kind(model: Value, found: Findings) -> None:
    """Note keys that this kind of model has no use for, so that nobody believes them to hold."""
    path = model.get("path")
    if path is None or path.content.endswith(".fake.yaml"):
        return
    idle = [] if names_code(path.content) else ["weights", "args"]
    if path.content.endswith(".onnx"):
        on_board = (device := model.get("device")) is not None and device.content != "cpu"
        tf32 = on_board and (precision := model.get("precision")) is not None and precision.content == "tf32"
        idle += ["inputs_from", "compile", "channels_last", *(["precision"] if not tf32 else [])]
    if path.content.endswith((".onnx", ".pt", ".jit", ".pt2")):
        idle.append("generate")
    for key in idle:
        written = model.get(key)
        if written is not None:
            what = _MEANT_FOR.get(key, "PyTorch models")
            message = f"`{key}` is for {what}, and {quoted(path.content)} is none"
            found.note("bad-value", written.span, message, f"remove `{key}`, or check the `path`")


#: What kind of model a key is for.
_MEANT_FOR = {
    **dict.fromkeys(("weights", "args"), "code that makes a model"),
    "generate": "language models, made by code or in a folder with config.json",
}


def _ranges(model: Value, found: Findings) -> None:
    inputs = model.get("inputs")
    for described in [] if inputs is None else inputs.content.values():
        if described is None or not isinstance(described.content, dict):
            continue
        low, high = described.get("min"), described.get("max")
        if low is not None and high is not None and low.content >= high.content:
            message = f"no value is at least {low.text} and below {high.text}"
            found.note("bad-value", high.span, message, "write a `max` above `min`; it is never fed itself")


def _seats(seat: Value, rules: Names, found: Findings) -> None:
    for pattern in entries(seat, "rules") if rules.complete else ():
        if not any(matches(name, (pattern.content,)) for name in rules.entries):
            help = f"{closest(pattern.content, rules.entries)}the rules are {_few(rules)}"
            found.note("unmatched-selector", pattern.span, f"{quoted(pattern.content)} matches no rule", help)


def _lifetime(waiver: Value, longest: Value | None, found: Findings) -> None:
    """Note a waiver that ends before it begins, or lasts longer than the policy lets one last."""
    first, last = waiver.get("granted"), waiver.get("expires")
    if last is None:
        return
    if first is None:
        if longest is not None and "granted" not in waiver.content:
            help = "add `granted`, the day it was given"
            found.note("missing-key", waiver.span, "a waiver needs its first day where `max_waiver_days` is set", help)
        return
    days = (last.content - first.content).days
    if days < 0:
        found.note("bad-value", last.span, f"the waiver ends on {last.text}, before it begins", "mend one of the days")
    elif longest is not None and days > longest.content:
        message = f"the waiver lasts {days} days, longer than the {longest.content} that the policy allows"
        found.note("bad-value", last.span, message, "let it end earlier; it can be renewed then")


def _selectors(rule: Value, models: Names, found: Findings) -> None:
    if not models.complete:
        return
    for pattern in entries(rule, "models"):
        if not any(matches(name, (pattern.content,)) for name in models.entries):
            message = f"{quoted(pattern.content)} matches no model"
            help = f"{closest(pattern.content, models.entries)}the models are {_few(models)}"
            found.note("unmatched-selector", pattern.span, message, help)


def _waiver(waiver: Value, rules: Names, granted: dict[tuple[str, str], Value], found: Findings) -> None:
    # One that names no rule or model of the file counts as absent; the judge lists it.
    rule_name, model = waiver.get("rule"), waiver.get("model")
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
