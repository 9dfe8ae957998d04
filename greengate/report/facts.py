"""What a reader must know beside the numbers: machine, workload, runtime, policy, baseline, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from greengate import estimate
from greengate.bound import carbon_budgets, policies, rules_for
from greengate.budget import CarbonBudget, Rule
from greengate.comparison import Comparison
from greengate.errors import Span
from greengate.harmless import clean
from greengate.ledger import Account, account, counted_for, current
from greengate.metrics import METRICS, ordered
from greengate.profile import Hardware, Measurement, Missing, Workload
from greengate.report.numbers import how, marked
from greengate.report.words import listed, plural, short_digest
from greengate.units import format_quantity
from greengate.verdict import BaselineRef, Case, Context, ModelCase, Outcome, Policy, Verdict
from greengate.verdict_file import NO_BASELINE


@dataclass(frozen=True)
class Fact:
    """One thing that the numbers rest on; `models` names those it holds for, empty: for all."""

    label: str
    text: str
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class Gap:
    """Why something is missing, the next step, and the rows of the report in which it leaves a cell empty."""

    reason: str
    help: str
    rows: tuple[str, ...]


def facts(verdict: Verdict, *, whole: bool = False) -> list[Fact]:
    """Return what the verdict rests on, each fact once where it holds for every model.

    Where machines, workloads or runtimes differ in part, what they share is a fact of its own, unless they are wanted
    `whole`.
    """
    case = verdict.case
    split = _whole if whole else _split
    found = [
        *split("Hardware", case.models, lambda model: _hardware(model.hardware)),
        *split("Workload", case.models, lambda model: _workload(model.workload)),
        *(fact for fact in _whole("Operations", case.models, lambda model: (counted_text(model),)) if fact.text),
        *split("Runtime", case.models, lambda model: _runtime(model.runtime)),
        Fact("Policy", policy_text(case.policy)),
        *(Fact("Shared policy", text) for text in shared_texts(case)),
        *_whole("Baseline", case.models, lambda model: (baseline_text(model.baseline),)),
    ]
    scope = scope_text(case.context)
    if scope:
        found.append(Fact("Scope", scope))
    found += [Fact("Carbon budget", text) for text in carbon_texts(case)]
    return [
        *found,
        Fact("Gate", f"greengate {clean(verdict.greengate)}, {verdict.seconds:,.1f} s {own_cost(verdict)}".rstrip()),
    ]


_Parts = tuple[str, ...]


def _whole(label: str, models: Iterable[ModelCase], parts: Callable[[ModelCase], _Parts]) -> list[Fact]:
    found: dict[str, list[str]] = {}
    for model in models:
        found.setdefault(", ".join(parts(model)), []).append(model.name)
    if len(found) == 1:
        return [Fact(label, next(iter(found)))]
    return [Fact(label, line, tuple(names)) for line, names in found.items()]


def _split(label: str, models: Sequence[ModelCase], parts: Callable[[ModelCase], _Parts]) -> list[Fact]:
    """Tell what models share once, and of each what differs; whole, where already the first part does."""
    told = [model for model in models if model.hardware is not None]
    shared = [part for part in parts(told[0]) if all(part in parts(model) for model in told)] if told else []
    if len({parts(model) for model in told}) < 2 or shared[:1] != list(parts(told[0])[:1]):
        return _whole(label, models, parts)
    names = () if len(told) == len(models) else tuple(model.name for model in told)
    own = _whole(label, told, lambda model: tuple(part for part in parts(model) if part not in shared))
    others = [model for model in models if model.hardware is None]
    known = [replace(fact, models=fact.models or names) for fact in own if fact.text]
    return [Fact(label, ", ".join(shared), names), *known, *_of(label, others, parts)]


def _of(label: str, models: Iterable[ModelCase], parts: Callable[[ModelCase], _Parts]) -> list[Fact]:
    every = tuple(model.name for model in models)
    return [replace(fact, models=fact.models or every) for fact in _whole(label, models, parts)]


def hardware_text(hardware: Hardware | None) -> str:
    """Name the machine in one line."""
    return ", ".join(_hardware(hardware))


def _hardware(hardware: Hardware | None) -> _Parts:
    if hardware is None:
        return ("nothing was measured",)
    memory = format_quantity(hardware.memory, "bytes")
    return clean(hardware.cpu), plural(hardware.cores, "core"), memory, clean(hardware.system)


def workload_text(workload: Workload | None) -> str:
    """Say what was run in one line."""
    return ", ".join(_workload(workload))


def _workload(workload: Workload | None) -> _Parts:
    if workload is None:
        return ("nothing was run",)
    threads = plural(workload.threads, "thread")
    feed = clean(f"feed {short_digest(workload.feed)}")
    return f"batch size {workload.batch_size}", threads, clean(f"precision {workload.precision}"), feed


def counted_text(model: ModelCase) -> str:
    """Say which sides' operations were counted without running them; empty where both ran."""
    compared = model.comparisons.get("macs")
    sides = {} if compared is None else {"baseline": compared.baseline, "candidate": compared.candidate}
    methods = {role: side.method for role, side in sides.items() if isinstance(side, Measurement)}
    static = [role for role, method in methods.items() if method == "static"]
    if not static:
        return ""
    ran = [f"{role} {method}" for role, method in methods.items() if method != "static"]
    return ", ".join([f"{' and '.join(static)} counted without running (static)", *ran])


def runtime_text(runtime: Mapping[str, str]) -> str:
    """Name the runtime's parts with their versions."""
    return ", ".join(_runtime(runtime))


def _runtime(runtime: Mapping[str, str]) -> _Parts:
    return tuple(clean(f"{name} {version}") for name, version in runtime.items()) or ("none",)


def baseline_text(baseline: BaselineRef | None) -> str:
    """Say which baseline was used."""
    if baseline is None:
        return "none"
    parts = [baseline.about] if baseline.about and baseline.about != baseline.uri else []
    parts += [f"version {baseline.version}"] if baseline.version is not None else []
    parts += [f"commit {baseline.commit[:12]}"] if baseline.commit else []
    parts += [short_digest(baseline.digest)] if baseline.digest else []
    return clean(f"{baseline.uri} ({', '.join(parts)})" if parts else baseline.uri)


def policy_text(policy: Policy) -> str:
    """Say whose policy binds, by digest and commit, and what else a reader must know of it."""
    commit = f", commit {policy.commit[:12]}" if policy.commit else ""
    bootstrap = "bootstrap, " if policy.bootstrap else ""
    text = f"{bootstrap}{policy.source} ({short_digest(policy.digest)}{commit})"
    return clean("; ".join((text, *policy.notes)))


def shared_texts(case: Case) -> list[str]:
    """Name every policy file that the binding policies extend, by digest and commit, each once."""
    found = [one for policy in (case.base, case.budget) if policy is not None for one in policy.shared]
    commits = (f", commit {one.commit[:12]}" if one.commit else "" for one in found)
    texts = (f"{one.file} ({short_digest(one.digest)}{at})" for one, at in zip(found, commits, strict=True))
    return [clean(text) for text in dict.fromkeys(texts)]


def place_text(case: Case, span: Span) -> str:
    """Write a place of a policy with the commit that its file was read from, where it was read from one."""
    known = {one.file: one.commit for policy in (case.budget, case.base) if policy is not None for one in policy.shared}
    if case.base is not None and case.base.models:
        known[case.base.models[0].span.file] = case.policy.commit
    commit = known.get(span.file)
    return clean(f"{span} @ {commit[:12]}" if commit else str(span))


def scope_text(context: Context) -> str:
    """Say what the gate left out on purpose; empty when nothing."""
    parts = ["exact metrics only"] if context.static_only else []
    parts += [f"part {context.part}"] if context.part else []
    return clean(", ".join(parts))


def own_cost(verdict: Verdict) -> str:
    """Say what the run of the gate took, joules of the whole machine included; empty where nobody watched it."""
    cost = verdict.cost
    if cost is None:
        return ""
    if isinstance(cost.energy, Missing):
        drew = f"energy not counted: {cost.energy.reason}"
    else:
        drew = f"{marked(cost.energy, format_quantity(cost.energy.value, 'energy'))} ({how(cost.energy)})"
    return clean(f"of measuring; the whole run {cost.seconds:,.1f} s, {drew}")


def carbon_texts(case: Case) -> tuple[str, ...]:
    """Say of every carbon budget what its trainings emitted, how that is known, what is left and what lies outside."""
    found: list[str] = []
    for under in dict.fromkeys(one.under for one in case.ledgers):
        policy = case.base if under == "base" else case.budget
        budgets = () if policy is None else carbon_budgets(policy)
        if under == "base":
            budgets = tuple(current(one, carbon_budgets(case.budget), case.today) for one in budgets)
        found += [_carbon_text(account(counted_for(each, case.ledgers, under), each), each) for each in budgets]
    return tuple(dict.fromkeys(found))


def _carbon_text(found: Account, budget: CarbonBudget) -> str:
    total = found.counted + found.modelled
    left = budget.limit.value - total
    parts = [
        f"{plural(len(found.measured), 'training')} measured, {format_quantity(found.counted, 'mass')}",
        f"{plural(len(found.estimated), 'training')} estimated, \u2248 {format_quantity(found.modelled, 'mass')}",
        f"{plural(len(found.unknown), 'training')} of which nothing is known",
    ]
    parts = [part for part in parts if not part.startswith("0 ")]
    mark = "\u2248 " if found.estimated else ""
    room = f"{mark}{format_quantity(abs(left), 'mass')} {'left' if left >= 0 else 'too much'}"
    locked = f", locked by {budget.span.file}" if budget.locked else ""
    text = f"{budget.period}, at most {budget.limit.text} CO2e{locked}: {'; '.join(parts) or 'no training'}; {room}"
    if found.outside:
        names = listed([f"{one.file} ({one.started})" for one in found.outside], most=4)
        text += f"; outside of the period and not counted: {names}"
    return clean(text)


def rule_of(verdict: Verdict, outcome: Outcome) -> Rule | None:
    """Return the rule an outcome judges as it holds for its model, None where the policy has none of its name."""
    case = verdict.case
    policy = case.base if outcome.under == "base" and case.base is not None else case.budget
    model = next((one.bound_as for one in case.models if one.name == outcome.model), outcome.model)
    named = [rule for each in policies(policy) for rule in rules_for(each, model) if rule.id == outcome.rule]
    return next((rule for rule in named if rule.span == outcome.span), next(iter(named), None))


def gaps(comparisons: Iterable[tuple[str, Comparison]]) -> list[Gap]:
    """Return why cells of a table are empty, each reason once, for pairs of a row's name and what it shows."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, compared in comparisons:
        sides = [side for side in (compared.candidate, compared.baseline) if isinstance(side, Missing)]
        sides = [side for side in sides if side != NO_BASELINE]
        # A change is missing because a side is; saying so again teaches nobody anything.
        if not sides and isinstance(compared.change, Missing) and compared.change != NO_BASELINE:
            sides = [compared.change]
        for reason in dict.fromkeys((side.reason, side.help) for side in sides):
            found.setdefault(reason, []).append(name)
    return [Gap(reason, help_, tuple(dict.fromkeys(names))) for (reason, help_), names in found.items()]


def titled(metric: str) -> str:
    """Return a metric's title."""
    return METRICS[metric].title


def in_table_order(comparisons: Mapping[str, Comparison]) -> list[Comparison]:
    """Return comparisons in the order of METRICS, without those that this version measures nowhere.

    Energy takes minutes and instructions take long, so most checks do without, and most models generate no text: where
    nobody asked, none has a row.
    """
    known = [comparisons[name] for name in ordered(comparisons)]
    return [compared for compared in known if is_measured(compared) or is_missed(compared.metric, compared.candidate)]


def is_missed(metric: str, side: Measurement | Missing) -> bool:
    """Tell whether a metric without a number deserves a row."""
    row = METRICS[metric]
    unasked = isinstance(side, Missing) and side.kind in ("skipped", "unchanged")
    textless = metric in estimate.GENERATED and isinstance(side, Missing) and side.kind in ("skipped", "unsupported")
    slow = row.simulated or row.dimension in ("energy", "mass")
    return row.measured and not (slow and unasked) and not textless


def is_measured(compared: Comparison) -> bool:
    """Tell whether at least one side has a number."""
    return isinstance(compared.baseline, Measurement) or isinstance(compared.candidate, Measurement)
