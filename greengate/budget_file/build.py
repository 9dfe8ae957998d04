"""Values that were found right, into the nouns of budget.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from greengate import intensity
from greengate.budget import (
    Approvers,
    Budget,
    Carbon,
    CarbonBudget,
    Limit,
    LimitKind,
    ModelEntry,
    Override,
    Rule,
    SharedPolicy,
    TradeOff,
    Waiver,
    WorkerLimits,
)
from greengate.budget_file.check import Value
from greengate.budget_file.meaning import entries, model_name, nearest, rule_id
from greengate.budget_file.metering import calibration, power_log
from greengate.budget_file.scalars import quantity
from greengate.budget_file.scores import source_of
from greengate.budget_file.shared import Read
from greengate.generation import Generation
from greengate.metrics import METRICS
from greengate.profile import InputSpec, WorkloadSpec
from greengate.recipe import Recipe
from greengate.reference import Reference
from greengate.units import Delta

_KINDS: tuple[LimitKind, ...] = (
    "max",
    "min",
    "max_increase",
    "max_decrease",
    "suspicious_increase",
    "suspicious_decrease",
)

#: Keys of a model that say how it is run.
_SETTINGS = ("inputs_from", "device", "precision", "compile", "channels_last")


def build(root: Value, path: str, digest: str, beneath: Sequence[Read] = ()) -> Budget:
    """Return the budget of a checked file, with what it extends, `beneath`, nearest first."""
    shared = _shared(beneath)
    files = (root, *(one.root for one in beneath))
    models = tuple(_model(item, _plain(root.get("workload"))) for item in entries(root, "models"))
    names = {model.name for model in models}
    rules = _together(_rules(root), shared)
    return Budget(
        path=path,
        digest=digest,
        version=root.content["version"].content,
        models=models,
        rules=rules,
        waivers=(*_waivers(root, rules), *(one for file in shared[:1] for one in file.waivers if one.model in names)),
        baseline=_optional(root, "baseline"),
        worker=WorkerLimits(**_plain(root.get("worker"))),
        power_log=power_log(root.get("energy")),
        calibration=calibration(root.get("energy")),
        carbon=_carbon(root.get("carbon")),
        carbon_budget=_carbon_budget(nearest(files, "carbon_budget")),
        max_waiver_days=_said(files, "max_waiver_days"),
        on_inconclusive=_said(files, "on_inconclusive"),
        approvers=_seats(files),
        reference=_reference(nearest(files, "reference")),
        shared=shared,
    )


def _shared(beneath: Sequence[Read]) -> tuple[SharedPolicy, ...]:
    """Return every shared file as it holds together with those it extends itself."""
    found: tuple[SharedPolicy, ...] = ()
    for place, one in reversed(list(enumerate(beneath))):
        files = tuple(each.root for each in beneath[place:])
        rules = _rules(one.root)
        policy = SharedPolicy(
            file=one.place.shown,
            digest=one.digest,
            commit=one.place.commit,
            rules=rules,
            waivers=(
                *_waivers(one.root, _together(rules, found)),
                *(each for file in found[:1] for each in file.waivers),
            ),
            on_inconclusive=_said(files, "on_inconclusive"),
            approvers=_seats(files),
            reference=_reference(nearest(files, "reference")),
            carbon_budget=_carbon_budget(one.root.get("carbon_budget")),
        )
        found = (policy, *found)
    return found


def _rules(root: Value) -> tuple[Rule, ...]:
    return tuple(_rule(item) for item in entries(root, "rules"))


def _together(own: tuple[Rule, ...], shared: tuple[SharedPolicy, ...]) -> tuple[Rule, ...]:
    """Return the rules that hold: of those with one id the nearest file's, the file's own first."""
    found = {rule.id: rule for rule in own}
    for policy in shared:
        for rule in policy.rules:
            found.setdefault(rule.id, rule)
    return tuple(found.values())


def _waivers(root: Value, rules: tuple[Rule, ...]) -> tuple[Waiver, ...]:
    metrics = {rule.id: rule.metric for rule in rules}
    return tuple(_waiver(item, metrics) for item in entries(root, "waivers"))


def _seats(files: Sequence[Value]) -> tuple[Approvers, ...]:
    named = next((file for file in files if file.get("approvers") is not None), None)
    return () if named is None else tuple(_approvers(item) for item in entries(named, "approvers"))


def _said(files: Sequence[Value], key: str) -> Any:
    told = nearest(files, key)
    return None if told is None else told.content


def _plain(value: Value | None) -> dict[str, Any]:
    """Return a mapping of scalars without its places."""
    return {} if value is None else {key: item.content for key, item in value.content.items()}


def _carbon(entry: Value | None) -> Carbon | None:
    if entry is None:
        return None
    plain = _plain(entry)
    pue = float(plain.get("pue", 1.0))
    if "country" in plain:
        known = intensity.table()[plain["country"]]
        return Carbon(known.kilograms_a_joule, known.source, entry.span, pue)
    return Carbon(plain["intensity"], f"{plain['source']}, {plain['year']}", entry.span, pue)


def _carbon_budget(entry: Value | None) -> CarbonBudget | None:
    if entry is None:
        return None
    return CarbonBudget(
        limit=_limit("max", entry.content["max"]),
        period=entry.content["period"].content,
        span=entry.span,
        records=_texts(entry, "records") or ("training/*.json",),
        allow_estimated=_optional(entry, "allow_estimated") or False,
        locked=_optional(entry, "locked") or False,
    )


def _optional(parent: Value, key: str) -> Any:
    found = parent.get(key)
    return None if found is None else found.content


def _model(entry: Value, workload: dict[str, Any]) -> ModelEntry:
    accuracy, inputs, text = entry.get("accuracy"), entry.get("inputs"), entry.get("generate")
    described = {} if inputs is None else dict(inputs.content)
    is_recorded = isinstance(getattr(described.get("from"), "content", None), str)
    recorded = described.pop("from") if is_recorded else None
    return ModelEntry(
        name=_name(model_name(entry)),
        path=entry.content["path"].content,
        span=entry.span,
        workload=WorkloadSpec(
            **workload,
            inputs=tuple(_input(name, item) for name, item in described.items()),
            recorded=None if recorded is None else recorded.content,
            generate=None if text is None else Generation(**_plain(text)),
            **{key: entry.content[key].content for key in _SETTINGS if key in entry.content},
        ),
        accuracy=() if accuracy is None else tuple(map(source_of, accuracy.content)),
        training=_optional(entry, "training"),
        baseline=_optional(entry, "baseline"),
        recipe=Recipe(_optional(entry, "weights"), json.dumps(_optional(entry, "args") or {}, sort_keys=True)),
    )


def _name(name: Value | None) -> str:
    assert name is not None  # noqa: S101 - the file was checked
    return str(name.content)


def _input(name: str, described: Value) -> InputSpec:
    options = {key: float(item.content) for key, item in described.content.items() if key in ("min", "max", "value")}
    shape, dtype = described.get("shape"), described.get("dtype")
    return InputSpec(
        name,
        None if shape is None else tuple(size.content for size in shape.content),
        None if dtype is None else dtype.content,
        **options,
    )


def _limits(parent: Value, metric: str | None = None) -> tuple[Limit, ...]:
    found = tuple(_limit(kind, parent.content[kind]) for kind in _KINDS if kind in parent.content)
    drift = parent.get("max_drift")
    return found if drift is None or metric is None else (*found, _drift(drift, metric))


def _drift(written: Value, metric: str) -> Limit:
    change, over = written.content["limit"], written.content["over"]
    sign = 1 if METRICS[metric].better == "lower" else -1
    text = f"{change.text} in {over.content}"
    days = int(over.content.rstrip("d ").strip())
    return Limit("max_drift", sign * change.content.value, text, written.span, change.content.relative, days)


def _limit(kind: LimitKind, written: Value) -> Limit:
    if isinstance(written.content, Delta):
        return Limit(kind, written.content.value, written.text, written.span, written.content.relative)
    return Limit(kind, written.content, written.text, written.span)


def _rule(entry: Value) -> Rule:
    unless = entry.get("unless")
    return Rule(
        id=_name(rule_id(entry)),
        metric=entry.content["metric"].content,
        limits=_limits(entry, entry.content["metric"].content),
        span=entry.span,
        ignore_below=_floor(entry),
        unless=None if unless is None else _trade_off(unless),
        severity=_optional(entry, "severity") or "fail",
        models=_texts(entry, "models"),
        on_inconclusive=_optional(entry, "on_inconclusive"),
        overrides=tuple(_override(item, entry.content["metric"].content) for item in entries(entry, "overrides")),
        allow_estimated=_optional(entry, "allow_estimated") or False,
        locked=_optional(entry, "locked") or False,
    )


def _texts(entry: Value, key: str) -> tuple[str, ...]:
    return tuple(item.content for item in entries(entry, key))


def _floor(entry: Value) -> float | None:
    floor: Delta | float | None = _optional(entry, "ignore_below")
    return floor.value if isinstance(floor, Delta) else floor


def _override(entry: Value, metric: str) -> Override:
    return Override(
        models=_texts(entry, "models"),
        limits=_limits(entry, metric),
        span=entry.span,
        ignore_below=_floor(entry),
        severity=_optional(entry, "severity"),
        on_inconclusive=_optional(entry, "on_inconclusive"),
    )


def _trade_off(entry: Value) -> TradeOff:
    gain, rate = entry.get("accuracy_gain"), entry.get("per_pp")
    kind: LimitKind = "min_decrease" if "min_decrease" in entry.content else "min_increase"
    return TradeOff(
        metric=_optional(entry, "metric") or "accuracy",
        gain=_limit(kind, entry.content[kind] if gain is None else gain),
        span=entry.span,
        approved=_optional(entry, "approved") or False,
        limits=_limits(entry),
        evaluated=_optional(entry, "evaluated") or False,
        per_pp=None if rate is None else _limit("max_increase", rate),
    )


def _reference(entry: Value | None) -> Reference | None:
    return None if entry is None else Reference(entry.span, **_plain(entry))


def _waiver(entry: Value, metrics: dict[str, str]) -> Waiver:
    plain = _plain(entry)
    written, metric = plain.pop("ceiling"), metrics.get(plain["rule"])
    ceiling = None if metric is None else quantity(written, METRICS[metric].dimension)
    return Waiver(**plain, ceiling=ceiling, text=written.text, span=entry.span)


def _approvers(entry: Value) -> Approvers:
    return Approvers(
        rules=_texts(entry, "rules"),
        who=_texts(entry, "who"),
        span=entry.span,
        needed=_optional(entry, "needed") or 1,
        four_eyes=_optional(entry, "four_eyes") or False,
    )
