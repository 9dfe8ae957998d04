"""What a change does to the policy: rules removed, loosened or tightened, with both numbers."""

from __future__ import annotations

from collections.abc import Iterator

from greengate.budget import Budget, Limit, Rule
from greengate.errors import Span
from greengate.verdict import Notice

_SEVERITIES = ("fail", "warn", "off")


def differences(base: Budget, head: Budget) -> Iterator[Notice]:
    """Name every rule that the change removes or alters, and every other key of the policy that it alters."""
    own = {rule.id: rule for rule in head.rules}
    for rule in base.rules:
        if rule.id not in own:
            numbers = ", ".join(f"{limit.kind}: {limit.text}" for limit in rule.limits)
            yield _notice(f"the change removes the rule {rule.id!r} ({numbers}); it still binds", rule.span)
        else:
            for text in _between(rule, own[rule.id]):
                yield _notice(f"the change {text} in the rule {rule.id!r}", own[rule.id].span)
    known = {rule.id for rule in base.rules}
    for rule in head.rules:
        if rule.id not in known:
            yield _notice(f"the change adds the rule {rule.id!r}", rule.span)
    yield from _models(base, head)
    if [one.digest for one in base.shared] != [one.digest for one in head.shared]:
        before, after = (", ".join(one.file for one in side.shared) or "nothing" for side in (base, head))
        yield _notice(f"the change alters what the budget extends, from {before} to {after}; both bind")
    for key in (
        "on_inconclusive",
        "max_waiver_days",
        "approvers",
        "baseline",
        "worker",
        "power_log",
        "calibration",
        "carbon",
        "reference",
        "carbon_budget",
    ):
        if _differ(getattr(base, key), getattr(head, key)):
            yield _notice(f"the change alters `{key}`; the target branch's binds")


def against_locks(budget: Budget) -> Iterator[Notice]:
    """Name everything in which a file would loosen what a shared one locks."""
    held = {rule.id: rule for rule in budget.rules}
    for shared in reversed(budget.shared):
        for locked in (rule for rule in shared.rules if rule.locked):
            mine = held[locked.id]
            if mine.span != locked.span:
                looser = [text for text in _between(locked, mine) if not text.startswith(("tightens", "adds"))]
                for text in looser:
                    what = f"the rule {mine.id!r} {text}, which {locked.span} locks: the locked rule binds"
                    yield _notice(what, mine.span)

    yield from _against_locked_carbon(budget)


def _against_locked_carbon(budget: Budget) -> Iterator[Notice]:
    mine = budget.carbon_budget
    for locked in (one.carbon_budget for one in budget.shared):
        if locked is None or mine is None or not locked.locked or mine.span == locked.span:
            continue
        said = [] if mine.limit.value <= locked.limit.value else [f"loosens `max` to {mine.limit.text}"]
        said += [f"alters `{key}`" for key in ("period", "records") if getattr(mine, key) != getattr(locked, key)]
        said += ["counts estimates"] if mine.allow_estimated and not locked.allow_estimated else []
        if said:
            what = f"the carbon budget {', '.join(said)}; {locked.span} locks its own, which binds too"
            yield _notice(what, mine.span)


def _notice(text: str, span: Span | None = None) -> Notice:
    return Notice("policy", text, span)


def _models(base: Budget, head: Budget) -> Iterator[Notice]:
    own = {model.name: model for model in head.models}
    for model in base.models:
        mine = own.get(model.name)
        if mine is None:
            yield _notice(f"the change removes the model {model.name!r} from the budget", model.span)
            continue
        for key in ("path", "workload", "accuracy", "baseline", "training"):
            if _differ(getattr(model, key), getattr(mine, key)):
                more = "" if key == "path" else "; the target branch's binds"
                yield _notice(f"the change alters `{key}` of the model {model.name!r}{more}", mine.span)
    known = {model.name for model in base.models}
    for mine in head.models:
        if mine.name not in known and mine.baseline is not None:
            what = f"the change names a `baseline` for the new model {mine.name!r}; the target branch's binds"
            yield _notice(what, mine.span)


def _between(base: Rule, head: Rule) -> Iterator[str]:
    """Say in words what differs between two versions of one rule."""
    if base.metric != head.metric:
        yield f"replaces the metric {base.metric} by {head.metric}"
        return
    own = {limit.kind: limit for limit in head.limits}
    for limit in base.limits:
        mine = own.pop(limit.kind, None)
        if mine is None:
            yield f"removes `{limit.kind}: {limit.text}`"
        elif mine.value != limit.value:
            word = "loosens" if _looser(limit, mine) else "tightens"
            yield f"{word} `{limit.kind}` from {limit.text} to {mine.text}"
        elif mine.over != limit.over:
            yield f"alters the time of `{limit.kind}` from {limit.over} to {mine.over} days"
    for limit in own.values():
        yield f"adds `{limit.kind}: {limit.text}`"
    if base.severity != head.severity:
        softer = _SEVERITIES.index(head.severity) > _SEVERITIES.index(base.severity)
        yield f"{'loosens' if softer else 'tightens'} `severity` from {base.severity} to {head.severity}"
    if (base.ignore_below or 0) != (head.ignore_below or 0):
        softer = (head.ignore_below or 0) > (base.ignore_below or 0)
        word = "loosens" if softer else "tightens"
        yield f"{word} `ignore_below` from {base.ignore_below or 'none'} to {head.ignore_below or 'none'}"
    for key in ("on_inconclusive", "models", "unless", "overrides", "allow_estimated"):
        if _differ(getattr(base, key), getattr(head, key)):
            yield f"alters `{key}`"


def _looser(before: Limit, after: Limit) -> bool:
    if before.kind.startswith("min"):
        return after.value < before.value
    return abs(after.value) > abs(before.value)


def _differ(one: object, other: object) -> bool:
    """Tell whether two parts of a policy differ in more than their place."""
    return one != other and _without_places(one) != _without_places(other)


def _without_places(value: object) -> object:
    """Return a value in which the same policy on another line is equal."""
    if isinstance(value, Span):
        return None
    if isinstance(value, tuple):
        return tuple(map(_without_places, value))
    if hasattr(value, "__dataclass_fields__"):
        return tuple(_without_places(getattr(value, name)) for name in value.__dataclass_fields__)
    return value
