"""Verdicts as JSON, `greengate.verdict/1`: written for readers, read back for explain and verify."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from greengate import codec, ledger
from greengate.bound import carbon_budgets
from greengate.comparison import Comparison
from greengate.errors import Diagnostic, GreengateError, Span
from greengate.metrics import METRICS
from greengate.profile import Measurement, Missing
from greengate.units import Dimension
from greengate.verdict import Case, Cost, Notice, Outcome, Status, Verdict

SCHEMA = "greengate.verdict/1"

#: The unit every number of a dimension is stored in.
SI: dict[Dimension, str] = {
    "count": "1",
    "macs": "MAC",
    "flops": "FLOP",
    "bytes": "B",
    "time": "s",
    "rate": "1/s",
    "energy": "J",
    "mass": "kg",
    "intensity": "kg/J",
    "ratio": "1",
}

#: What a sum over a period is compared with.
NO_BASELINE = Missing("a sum over a period is compared with no baseline", "skipped")

_LONGEST_LINE = 200
_HELP = "name a verdict written by `greengate check --report json=FILE`"
_OUTCOME = tuple(item.name for item in dataclasses.fields(Outcome))


def comparison_of(verdict: Verdict, outcome: Outcome) -> Comparison:
    """Return what an outcome was judged on; all three parts are Missing where nobody measured the metric."""
    nothing = Missing("nobody measured it", "skipped", "run the job that measures this model, or check it here")
    if outcome.rule == ledger.RULE and (found := _of_a_period(verdict.case, outcome)) is not None:
        return found
    case = next((model for model in verdict.case.models if model.name == outcome.model), None)
    return (case.comparisons.get(outcome.metric) if case else None) or Comparison(
        outcome.metric, nothing, nothing, nothing
    )


def _of_a_period(case: Case, outcome: Outcome) -> Comparison | None:
    """Return what trainings of a period emitted, as a comparison with nothing."""
    under: Literal["base", "head"] = "base" if outcome.under == "base" else "head"
    policy = case.base if under == "base" and case.base is not None else case.budget
    budget = next((one for one in carbon_budgets(policy) if one.limit.span == outcome.span), None)
    if budget is not None and under == "base":
        budget = ledger.current(budget, carbon_budgets(case.budget), case.today)
    if budget is None or ledger.named(budget.period) != outcome.model:
        return None
    kept = ledger.counted_for(budget, case.ledgers, under)
    return Comparison(outcome.metric, NO_BASELINE, ledger.account(kept, budget).total, NO_BASELINE)


def dump(verdict: Verdict) -> str:
    """Write a verdict as JSON, two spaces deep, SI units, with a trailing newline.

    Raises codec.CodecError for a number that is not finite.
    """
    text = json.dumps(_document(verdict), indent=2, ensure_ascii=False, allow_nan=False)
    # A file name that is not UTF-8 comes as lone surrogates, which only an escape can carry.
    return re.sub("[\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def load(text: str, shown: str) -> Verdict:
    """Rebuild a verdict from its JSON; `shown` is the file's name in messages.

    Raises GreengateError (`profile-invalid`) for any other schema, for fields that are unknown, absent or ill-typed,
    and for a file whose readable part says something else than the case and outcomes it rests on.
    """
    raw = _read(text, shown)
    try:
        verdict = _rebuild(raw)
    except codec.CodecError as error:
        raise _invalid(shown, str(error)) from error
    if contradiction := next(_contradictions(raw, _document(verdict), "$"), None):
        raise _invalid(shown, contradiction)
    return verdict


def _document(verdict: Verdict) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "greengate": verdict.greengate,
        "status": codec.encode(verdict.status),
        "exit": int(verdict.exit),
        "seconds": codec.encode(verdict.seconds),
        **({} if verdict.cost is None else {"cost": codec.encode(verdict.cost)}),
        "rules": [_rule(verdict, outcome) for outcome in verdict.outcomes],
        "notices": codec.encode(verdict.notices),
        "case": codec.encode(verdict.case),
    }


def _rule(verdict: Verdict, outcome: Outcome) -> dict[str, Any]:
    """Return an outcome's own fields among everything a reader needs to follow it."""
    compared = comparison_of(verdict, outcome)
    unit = SI[METRICS[outcome.metric].dimension]
    candidate, change = compared.candidate, compared.change
    return {
        "rule": outcome.rule,
        "model": outcome.model,
        "metric": outcome.metric,
        "status": codec.encode(outcome.status),
        "limit": ", ".join(f"{check.limit.kind}: {check.limit.text}" for check in outcome.checks),
        "unit": unit,
        "baseline": _measured(compared.baseline, unit),
        "candidate": _measured(candidate, unit),
        "change": _absent(change) if isinstance(change, Missing) else codec.encode(change),
        "method": None if isinstance(candidate, Missing) else candidate.method,
        "at": str(outcome.span),
        "reason": outcome.reason,
        "help": outcome.help,
        "checks": codec.encode(outcome.checks),
        "span": codec.encode(outcome.span),
        "under": outcome.under,
        "proof": codec.encode(outcome.proof),
    }


def _measured(found: Measurement | Missing, unit: str) -> dict[str, Any]:
    if isinstance(found, Missing):
        return _absent(found)
    return {
        "value": codec.encode(found.value),
        "unit": unit,
        "method": found.method,
        "interval": codec.encode(found.interval),
        "samples": found.samples,
        "detail": found.detail,
    }


def _absent(missing: Missing) -> dict[str, Any]:
    return {"missing": missing.reason, "kind": missing.kind, "help": missing.help}


def _invalid(shown: str, message: str, span: Span | None = None) -> GreengateError:
    place = span or Span(shown, 1)
    return GreengateError(Diagnostic("profile-invalid", f"not a greengate verdict: {message}", _HELP, place))


def _read(text: str, shown: str) -> dict[str, Any]:
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        line = text.split("\n")[error.lineno - 1].rstrip("\r")
        span = Span(shown, error.lineno, error.colno, source=line if len(line) <= _LONGEST_LINE else "")
        raise _invalid(shown, f"it is not JSON, {error.msg[:1].lower()}{error.msg[1:]}", span) from error
    except (ValueError, RecursionError) as error:
        raise _invalid(shown, "it holds a number too long or nests too deep") from error
    if not isinstance(raw, dict):
        raise _invalid(shown, "it holds no JSON object")
    if raw.get("schema") != SCHEMA:
        raise _invalid(shown, f"its schema is {raw.get('schema')!r}, this version reads {SCHEMA!r}")
    return raw


def _rebuild(raw: dict[str, Any]) -> Verdict:
    for name in ("greengate", "status", "seconds", "rules", "case"):
        if name not in raw:
            raise codec.CodecError(f"$.{name}", "is missing")
    rules = raw["rules"]
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        raise codec.CodecError("$.rules", "expected a list of objects")
    outcomes = tuple(
        codec.decode(Outcome, {name: rule[name] for name in _OUTCOME if name in rule}, f"$.rules[{index}]")
        for index, rule in enumerate(rules)
    )
    for index, outcome in enumerate(outcomes):
        if outcome.metric not in METRICS:
            raise codec.CodecError(f"$.rules[{index}].metric", f"{outcome.metric!r} is no metric of this version")
    return Verdict(
        codec.decode(Case, raw["case"], "$.case"),
        outcomes,
        codec.decode(Status, raw["status"], "$.status"),
        codec.decode(float, raw["seconds"], "$.seconds"),
        codec.decode(str, raw["greengate"], "$.greengate"),
        codec.decode(tuple[Notice, ...], raw.get("notices", []), "$.notices"),
        codec.decode(Cost, raw["cost"], "$.cost") if "cost" in raw else None,
    )


def _contradictions(raw: object, derived: object, where: str) -> Iterator[str]:
    """Name every place where a file says something else than what follows from its case and outcomes.

    Only what the file has is compared: a field that a later version adds may be absent.
    """
    if isinstance(raw, Mapping) and isinstance(derived, Mapping):
        for key, item in raw.items():
            if key not in derived:
                yield f"{where}.{key}: is not a known field"
            else:
                yield from _contradictions(item, derived[key], f"{where}.{key}")
    elif isinstance(raw, list) and isinstance(derived, list):
        for index, (one, other) in enumerate(zip(raw, derived, strict=True)):
            yield from _contradictions(one, other, f"{where}[{index}]")
    elif raw != derived:
        yield f"{where}: contradicts the case and outcomes of the same file"
