"""Verdicts made by hand, one for each thing a report must tell well."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace

from greengate.budget import Budget, Limit, LimitKind, ModelEntry, Rule, Severity
from greengate.comparison import Change, Comparison, Contribution
from greengate.errors import Span
from greengate.profile import File, Hardware, Input, Interval, Measurement, Missing, Model, Workload, WorkloadSpec
from greengate.verdict import BaselineRef, Case, Check, Context, ModelCase, Outcome, Policy, Status, Verdict

DIGEST = "sha256:" + "0123456789abcdef" * 4
HARDWARE = Hardware("AMD EPYC 7B13", "x86_64", 2, ("avx2", "fma"), 8_232_000_000, "Linux 6.1")
WORKLOAD = Workload(1, 1, 0, (Input("x", "float32", (1, 3, 224, 224), "uniform 0..1"),), DIGEST)
RUNTIME = {"onnxruntime": "1.32.0", "python": "3.11.9"}
BASELINE = BaselineRef("file:models/old.onnx", "the model file", DIGEST)
NO_BASELINE = Missing("there is no baseline", "skipped", "accept one with `greengate baseline accept`")
TODAY = datetime.date(2026, 11, 23)


def span(line: int, column: int = 5, file: str = "budgets.yaml") -> Span:
    return Span(file, line, column, 2, "  - {id: size, metric: size}")


def limit(kind: LimitKind, value: float, text: str, line: int, relative: bool = True) -> Limit:
    return Limit(kind, value, text, span(line, 30), relative)


def exact(value: float, method: str = "executed") -> Measurement:
    return Measurement(value, method)  # type: ignore[arg-type]


def timed(value: float, spread: float) -> Measurement:
    return Measurement(value, "timed", Interval(value - spread, value + spread), 7, "7 launches x 812 calls")


def compared(metric: str, before: Measurement | Missing, after: Measurement | Missing, change: object) -> Comparison:
    if isinstance(change, tuple):
        value, low, high, basis = change
        change = Change(value, low, high, basis, relative=metric != "accuracy")
    return Comparison(metric, before, after, change)  # type: ignore[arg-type]


def grown(metric: str, before: float, after: float, method: str = "read") -> Comparison:
    change = after / before - 1
    return compared(metric, exact(before, method), exact(after, method), (change, change, change, "exact"))


def parts(whole: Comparison, *shares: tuple[str, float], kind: str = "changed") -> Comparison:
    """Say that a metric's difference comes from these paths, in these shares of it."""
    if isinstance(whole.baseline, Missing) or isinstance(whole.candidate, Missing):
        return whole
    delta = whole.candidate.value - whole.baseline.value
    found = [Contribution(path, delta * share, share, kind if path else "changed") for path, share in shares]  # type: ignore[arg-type]
    return replace(whole, where=tuple(found))


SIZE = grown("size", 10_123_456, 12_127_900)
PARAMS = grown("params", 2_530_000, 2_530_000)
FLOPS = grown("flops", 1.234e9, 1.29e9, "executed")
LATENCY = compared("latency_p50", timed(0.00429, 0.00002), timed(0.00452, 0.00003), (0.054, 0.048, 0.0604, "paired"))
STEADY = compared("latency_p50", timed(0.00429, 0.00002), timed(0.00431, 0.00003), (0.0031, -0.0024, 0.0089, "paired"))
TAIL = compared("latency_p95", timed(0.0441, 0.0009), timed(0.0462, 0.0008), (0.0476, 0.0391, 0.0562, "paired"))
P99 = Missing("1,000 calls are needed, 812 were made", "unsettled", "give it more time with --max-seconds")
ENERGY = Missing("no rule names it", "skipped")
COMMON = (PARAMS, compared("latency_p99", P99, P99, P99), compared("energy_per_1k", ENERGY, ENERGY, ENERGY))


def rule(
    name: str, metric: str, limits: Sequence[Limit], severity: Severity = "fail", floor: float | None = None
) -> Rule:
    return Rule(name, metric, tuple(limits), span(limits[0].span.line), floor, severity=severity)


def outcome(judged: Rule, model: str, status: Status, *reasons: str, step: str = "") -> Outcome:
    checks = tuple(Check(one, status, reason) for one, reason in zip(judged.limits, reasons, strict=False))
    return Outcome(judged.id, model, judged.metric, status, reasons[0], step, checks, judged.span)


def model_case(name: str, comparisons: Sequence[Comparison], **other: object) -> ModelCase:
    path = f"models/{name}.onnx"
    found = Model(name, path, "onnx", DIGEST, (File(f"{name}.onnx", DIGEST[7:], 12_127_900),))
    every = {one.metric: one for one in (*COMMON, *comparisons)}
    made = ModelCase(name, every, BASELINE, found, HARDWARE, WORKLOAD, RUNTIME)
    return replace(made, **other)  # type: ignore[arg-type]


def verdict(models: Sequence[ModelCase], rules: Sequence[Rule], outcomes: Sequence[Outcome]) -> Verdict:
    entries = tuple(ModelEntry(model.name, f"models/{model.name}.onnx", span(3), WorkloadSpec()) for model in models)
    budget = Budget("budgets.yaml", DIGEST, 1, entries, tuple(rules))
    case = Case(budget, Policy("budgets.yaml", DIGEST), tuple(models), Context("laptop", strict=False), TODAY)
    worst = max((one.status for one in outcomes), default=Status.INCONCLUSIVE)
    return Verdict(case, tuple(outcomes), worst, 41.25, "0.1.0")


SIZE_RULE = rule("size", "size", [limit("max", 120e6, "120 MB", 12), limit("max_increase", 0.1, "10%", 12)])
COMPUTE_RULE = rule("compute", "flops", [limit("max_increase", 0.15, "15%", 13)])
P50_RULE = rule("p50", "latency_p50", [limit("max_increase", 0.05, "5%", 14)], floor=0.0002)
TAIL_RULE = rule("tail", "latency_p95", [limit("max", 0.045, "45 ms", 15)])
QUALITY_RULE = rule("quality", "accuracy", [limit("max_decrease", 0.002, "0.2 pp", 16, relative=False)])


def passing() -> Verdict:
    size = grown("size", 12_127_900, 10_123_456)
    model = model_case("digits", [size, FLOPS, STEADY])
    return verdict(
        [model],
        [SIZE_RULE, COMPUTE_RULE, P50_RULE],
        [
            outcome(SIZE_RULE, "digits", Status.PASS, "10.1 MB is within the limit of 120 MB", "-16.5 % is within ..."),
            outcome(COMPUTE_RULE, "digits", Status.PASS, "+4.5 % is within the limit of +15.0 %"),
            outcome(P50_RULE, "digits", Status.PASS, "+0.3 % [-0.2, +0.9] is within the limit of +5.0 %"),
        ],
    )


def failing() -> Verdict:
    """Return two rules over budget, one straddling, one within."""
    size = parts(SIZE, ("encoder/layer.12", 0.993), ("", 0.007), kind="added")
    flops = parts(FLOPS, ("encoder/layer.0-11/ffn", 0.78), ("head/@dense #1", 0.217), ("", 0.003))
    model = model_case("digits", [size, flops, LATENCY, TAIL], notes=("the process was not pinned to a core",))
    grow = Check(SIZE_RULE.limits[0], Status.PASS, "12.1 MB is within the limit of 120 MB")
    over = Check(SIZE_RULE.limits[1], Status.FAIL, "+19.8 % is beyond the limit of +10.0 %")
    return verdict(
        [model],
        [SIZE_RULE, COMPUTE_RULE, P50_RULE, TAIL_RULE],
        [
            replace(outcome(SIZE_RULE, "digits", Status.FAIL, over.reason), checks=(grow, over)),
            outcome(COMPUTE_RULE, "digits", Status.PASS, "+4.5 % is within the limit of +15.0 %"),
            outcome(
                P50_RULE,
                "digits",
                Status.INCONCLUSIVE,
                "+5.4 % [+4.8, +6.0] may be on either side of the limit of +5.0 %",
                step="measure longer with --max-seconds, on a quieter machine, or widen the limit",
            ),
            outcome(TAIL_RULE, "digits", Status.FAIL, "46.2 ms [45.4, 47.0] is beyond the limit of 45.0 ms"),
        ],
    )


def undecided() -> Verdict:
    """Return a verdict without a baseline: absolute limits hold, relative ones cannot be judged."""
    size = compared("size", NO_BASELINE, exact(12_127_900, "read"), NO_BASELINE)
    flops = compared("flops", NO_BASELINE, exact(1.29e9), NO_BASELINE)
    tail = compared("latency_p95", NO_BASELINE, timed(0.0412, 0.0008), NO_BASELINE)
    model = model_case("digits", [size, flops, tail], baseline=None)
    small = rule("size", "size", [limit("max", 120e6, "120 MB", 12)])
    lost = {"step": NO_BASELINE.help}
    return verdict(
        [model],
        [small, COMPUTE_RULE, TAIL_RULE],
        [
            outcome(small, "digits", Status.PASS, "12.1 MB is within the limit of 120 MB"),
            outcome(COMPUTE_RULE, "digits", Status.INCONCLUSIVE, NO_BASELINE.reason, **lost),
            outcome(TAIL_RULE, "digits", Status.PASS, "41.2 ms [40.4, 42.0] is within the limit of 45.0 ms"),
        ],
    )


def mild() -> Verdict:
    """Return everything between pass and inconclusive: traded, deferred, waived, warned; and a ratio in pp."""
    quality = compared(
        "accuracy", exact(0.9812, "declared"), exact(0.9801, "declared"), (-0.0011, -0.0011, -0.0011, "exact")
    )
    skipped = Missing("no energy counter can be read here", "unavailable", "judged in CI on the metered runner")
    energy = compared("energy_per_1k", skipped, skipped, skipped)
    model = model_case("digits", [SIZE, FLOPS, TAIL, quality, energy])
    warn = replace(SIZE_RULE, severity="warn")
    power = rule("energy", "energy_per_1k", [limit("max_increase", 0.05, "5%", 11)])
    return verdict(
        [model],
        [power, warn, COMPUTE_RULE, TAIL_RULE, QUALITY_RULE],
        [
            outcome(power, "digits", Status.DEFERRED, skipped.reason, step=skipped.help),
            outcome(warn, "digits", Status.WARN, "+19.8 % is beyond the limit of +10.0 %"),
            outcome(COMPUTE_RULE, "digits", Status.TRADED, "an accuracy gain of 0.6 pp pays for +4.5 %"),
            outcome(TAIL_RULE, "digits", Status.WAIVED, "46.2 ms is within the waiver's ceiling of 60 ms"),
            outcome(QUALITY_RULE, "digits", Status.PASS, "-0.1 pp is within the limit of -0.2 pp"),
        ],
    )


def two_models() -> Verdict:
    """Return two models on two machines with their own baselines; nobody measured the second."""
    other = replace(HARDWARE, cpu="Apple M2", architecture="arm64", cores=8, system="Darwin 24.1")
    stored = BaselineRef(".greengate/baselines", "accepted 2026-10-01", DIGEST, version=3, commit="abcdef0123456789")
    first = model_case("sentiment-small", [SIZE, LATENCY])
    second = ModelCase("vision", {}, stored, None, other, None, {})
    tight = rule("size", "size", [limit("max_increase", 0.19799, "19.799%", 12)])
    waiting = {"step": "run the job that measures this model, or check it here"}
    return verdict(
        [first, second],
        [tight, P50_RULE],
        [
            outcome(tight, "sentiment-small", Status.FAIL, "+19.800 % is beyond the limit of +19.799 %"),
            outcome(P50_RULE, "sentiment-small", Status.INCONCLUSIVE, "+5.4 % [+4.8, +6.0] may be on either side"),
            outcome(tight, "vision", Status.INCONCLUSIVE, "nobody measured it", **waiting),
            outcome(P50_RULE, "vision", Status.INCONCLUSIVE, "nobody measured it", **waiting),
        ],
    )


def unchanged() -> Verdict:
    """Return a model that got smaller, and one that the change does not touch, so that it was left out."""
    left = Missing(
        "the change does not touch it: only docs/a.md changed since 0123456789ab",
        "unchanged",
        "measure it all the same: leave --skip-unchanged out",
    )
    size = grown("size", 12_127_900, 10_123_456)
    nothing = [compared(metric, left, left, left) for metric in ("size", "flops", "energy_per_1k")]
    first = model_case("digits", [size, FLOPS])
    second = ModelCase("vision", {one.metric: one for one in nothing}, None, None, None, None, {})
    return verdict(
        [first, second],
        [SIZE_RULE],
        [
            outcome(SIZE_RULE, "digits", Status.PASS, "-16.5 % is within the limit of +10.0 %"),
            outcome(SIZE_RULE, "vision", Status.DEFERRED, left.reason, step=left.help),
        ],
    )


def unbound() -> Verdict:
    """Return a model that no rule judges."""
    return verdict([model_case("digits", [SIZE])], [], [])


HOSTILE = (
    "::stop-commands::x",
    "a\n::error::pwned",
    "a\r\n::set-env name=x::y",
    "%0A::error::pwned",
    "##[error]pwned",
    "x | y || z",
    "`code` ``two``",
    "<img src=x onerror=alert(1)>",
    "</details></td>&amp;<!-- -->",
    "@octocat and octo@example.org",
    "fixes #123 GH-7 org/repo#9",
    "[click](https://evil.example) https://evil.example www.evil.example",
    "![image](https://evil.example/x.png)",
    "**bold** _under_ ~~gone~~ $x^2$",
    "\x1b[31mred\x1b[0m \x07 \x00 \x9b2J",
    "\u202edrow\u2066 sed\u200b",
    "not-utf8-\udcff",
    "\\| \\` backslash\\",
    "]]> <![CDATA[ &#0; \ufffe",
    "[bold red]markup[/] :smile:",
    "x.yaml,line=1,title=no: such",
    "{{ 7 * 7 }} {% raw %}",
    "x" * 300,
)


def hostile(name: str) -> Verdict:
    """Return a failing verdict in which every text that a stranger chooses is `name`."""
    judged = replace(SIZE_RULE, id=name, span=span(12, file=name))
    strange = model_case(
        name,
        [parts(SIZE, (name, 1.5), (f"{name}/x", -0.5))],
        notes=(name,),
        runtime={name: name},
        baseline=BaselineRef(name, name, name),
        hardware=replace(HARDWARE, cpu=name, system=name),
    )
    lost = Missing(name, "failed", name)
    known = compared("latency_p50", lost, replace(timed(0.004, 0.0001), detail=name), lost)
    strange = replace(strange, comparisons={**strange.comparisons, "latency_p50": known})
    slow = replace(P50_RULE, id=f"2 {name}")
    made = verdict(
        [strange],
        [judged, slow],
        [
            outcome(judged, name, Status.FAIL, name, name, step=name),
            outcome(slow, name, Status.INCONCLUSIVE, name, step=name),
        ],
    )
    case = replace(made.case, policy=Policy(name, name), budget=replace(made.case.budget, path=name))
    return replace(made, case=case, greengate=name)


ALL: Mapping[str, Verdict] = {
    "pass": passing(),
    "fail": failing(),
    "inconclusive": undecided(),
    "mild": mild(),
    "two-models": two_models(),
    "unchanged": unchanged(),
    "unbound": unbound(),
}
