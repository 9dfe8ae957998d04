"""Files of policy tests to nouns, every mistake with its place."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from greengate import yamlspan
from greengate.bound import policies
from greengate.budget import Budget, Limit, LimitKind, Rule
from greengate.budget_file.check import Findings, Value, check
from greengate.budget_file.meaning import entries
from greengate.budget_file.scalars import Refusal, closest, quoted, scalar
from greengate.comparison import Change
from greengate.errors import Diagnostic, GreengateError
from greengate.metrics import METRICS
from greengate.profile import Measurement
from greengate.tasks.policy_tests.format import OUTCOME, TESTS, UNJUDGED, Expected, PolicyTest, approval, ceilings
from greengate.tasks.policy_tests.measured import Told, metric_of, told
from greengate.units import Delta
from greengate.verdict import Approval, Status
from greengate.yamlspan import Mapping, Node, Scalar

FOLDER = "policy_tests"
#: What the candidate and its baseline are called in tests, where no file is measured.
CANDIDATE, BASELINE, OTHER = "sha256:of-the-test", "sha256:of-its-baseline", "sha256:of-another-model"


def find(named: Iterable[str], folder: Path) -> list[Path]:
    """Return the files to read: those named, those of named folders, else those of `policy_tests`.

    Raises GreengateError `no-policy-tests` where there is none.
    """
    places = [Path(one) for one in named] or [folder / FOLDER]
    found = [file for place in places for file in (_of(place) if place.is_dir() else [place])]
    if not found or (not list(named) and not (folder / FOLDER).is_dir()):
        where = ", ".join(map(str, places))
        help = "write policy_tests/*.yaml beside the budget, or name a file; docs/policy.md shows one"
        raise GreengateError(Diagnostic("no-policy-tests", f"no policy test was found in {where}", help))
    return found


def _of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))


def read(path: Path, budget: Budget, today: datetime.date) -> tuple[PolicyTest, ...]:
    """Return the tests of a file, which speak of a budget's rules and models.

    Raises GreengateError with every mistake found.
    """
    shown = str(path)
    node, mistakes = yamlspan.examine(yamlspan.decode(yamlspan.read_bytes(path, shown), shown), shown)
    found = Findings(mistakes)
    root = None if node is None else check(TESTS, node, "the file", "version: 1", found)
    tests = [] if root is None else [_test(one, budget, today, found) for one in entries(root, "tests")]
    if found:
        raise GreengateError(*sorted(found, key=lambda one: (one.span.line, one.span.column) if one.span else (0, 0)))
    return tuple(one for one in tests if one is not None)


def _test(entry: Value, budget: Budget, today: datetime.date, found: Findings) -> PolicyTest | None:
    model = _model(entry, budget, found)
    day = _plain(entry, "today")
    measured = dict(_measurements(entry.get("measurements"), budget, found))
    expected = tuple(_expected(entry.get("expect"), budget, found))
    yes = tuple(_approvals(entries(entry, "approvals"), model or "", budget, day or today, found))
    name, verdict = _plain(entry, "name"), _plain(entry, "verdict")
    if model is None or name is None:
        return None
    return PolicyTest(
        name=name,
        span=entry.span,
        model=model,
        comparisons={metric: one.comparison for metric, one in measured.items()},
        expected=expected,
        verdict=None if verdict is None else Status[verdict.upper()],
        drifts={metric: one.drift for metric, one in measured.items() if one.drift is not None},
        approvals=yes,
        authors=tuple(one.content for one in entries(entry, "authors")),
        today=day,
        strict=_plain(entry, "where") != "laptop",
        hardware=_plain(entry, "hardware"),
        runtime=_plain(entry, "runtime"),
    )


def _plain(entry: Value, key: str) -> Any:
    held = entry.get(key)
    return None if held is None else held.content


def _model(entry: Value, budget: Budget, found: Findings) -> str | None:
    named = entry.get("model")
    known = [model.name for model in budget.models]
    if named is None:
        if "model" not in entry.content and len(known) > 1:
            message = "the budget has several models, and the test names none"
            found.note("missing-key", entry.span, message, f"add `model`, one of {', '.join(known)}")
        return known[0] if len(known) == 1 else None
    if named.content not in known:
        message = f"no model is called {quoted(named.content)}"
        found.note("unknown-model", named.span, message, f"{closest(named.content, known)}use {', '.join(known)}")
    return str(named.content)


def _pairs(held: Value | None, name: str, found: Findings) -> list[tuple[Scalar, Node]]:
    if held is None:
        return []
    if not isinstance(held.content, Mapping):
        found.note("wrong-type", held.span, f"`{name}` must be a mapping", f"write `{name}: {{size: ...}}`")
        return []
    return list(held.content.pairs)


def _measurements(held: Value | None, budget: Budget, found: Findings) -> Iterable[tuple[str, Told]]:
    floors = {rule.metric for policy in policies(budget) for rule in policy.rules if _has_floor(rule)}
    for key, node in _pairs(held, "measurements", found):
        metric = metric_of(key, found)
        one = None if metric is None else told(metric, node, found)
        if one is None or metric is None:
            continue
        compared = one.comparison
        if (
            metric.id in floors
            and not isinstance(compared.baseline, Measurement)
            and isinstance(compared.change, Change)
        ):
            message = f"a rule on {metric.id} has `ignore_below`, which asks for the baseline's own number"
            found.note("missing-key", node.span, message, "write `baseline` beside the change")
        yield metric.id, one


def _has_floor(rule: Rule) -> bool:
    return rule.ignore_below is not None or any(one.ignore_below is not None for one in rule.overrides)


def _rule(key: Scalar, budget: Budget, found: Findings) -> Rule | None:
    known = {rule.id: rule for rule in budget.rules}
    if key.text not in known:
        message = f"no rule is called {quoted(key.text)}"
        found.note("unknown-rule", key.span, message, f"{closest(key.text, known)}the rules are {', '.join(known)}")
    return known.get(key.text)


def _expected(held: Value | None, budget: Budget, found: Findings) -> Iterable[Expected]:
    pairs = _pairs(held, "expect", found)
    if held is not None and isinstance(held.content, Mapping) and not pairs:
        found.note("missing-key", held.span, "the test expects nothing", "write `expect: {size: pass}`")
    for key, node in pairs:
        rule = _rule(key, budget, found)
        read = scalar(OUTCOME, node, f"`{key.text}`", f"{key.text}: fail") if isinstance(node, Scalar) else None
        if isinstance(read, Refusal) or read is None:
            code, message, help = (read.code, read.message, read.help) if read else ("wrong-type", "no outcome", "fail")
            found.note(code, node.span, message, help)
        elif rule is not None:
            yield Expected(rule.id, None if read == UNJUDGED else Status[str(read).upper()], key.span)


def _approvals(
    held: Iterable[Value], model: str, budget: Budget, today: datetime.date, found: Findings
) -> Iterable[Approval]:
    for one in held:
        node = one.content
        key = node.get("rule") if isinstance(node, Mapping) else None
        if not isinstance(key, Scalar):
            found.note(
                "missing-key", one.span, "an approval names a rule", "write `{rule: energy, by: lead@example.org}`"
            )
            continue
        rule = _rule(key, budget, found)
        if rule is None:
            continue
        read = check(approval(METRICS[rule.metric]), node, "the approval", "{rule: energy}", found)
        if read is not None and (ceiling := _ceiling(read, rule)) is not None:
            yield Approval(
                rule=rule.id,
                model=model,
                candidate=OTHER if _plain(read, "other_candidate") else CANDIDATE,
                baseline=BASELINE,
                ceiling=ceiling,
                reason="written in the test",
                by=str(_plain(read, "by")),
                granted=_plain(read, "granted") or today,
                expires=_plain(read, "expires") or today,
                source=f"line {one.span.line}",
                proof="reviewed",
            )


def _ceiling(read: Value, rule: Rule) -> Limit | None:
    written = {kind: value for kind in ceilings(METRICS[rule.metric]) if (value := read.get(kind)) is not None}
    for kind, value in written.items():
        named: LimitKind = kind  # type: ignore[assignment]
        if isinstance(value.content, Delta):
            return Limit(named, value.content.value, value.text, value.span, value.content.relative)
        return Limit(named, float(value.content), value.text, value.span)
    return None
