"""Rules that a machine decides are judged on the reference's machine, and wait for it elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nouns import HARDWARE, SPAN, case, compared, exact, limit, rule

from greengate.comparison import Change, FirstLook
from greengate.judge import judge
from greengate.metrics import METRICS
from greengate.profile import Gpu
from greengate.reference import Reference
from greengate.verdict import Case, Machine, Status

P, D, I, F = Status.PASS, Status.DEFERRED, Status.INCONCLUSIVE, Status.FAIL  # noqa: E741
RUNTIME = {"onnxruntime": "1.32.0", "python": "3.11.7"}
BOARD = Gpu("NVIDIA H200", 151_000_000_000)


def prepared(metric: str, change: float, reference: Reference | None, **more: Any) -> Case:
    """Return a case of one rule, +5 % at most, on a machine with an H200."""
    found = compared(metric, Change(change, change, change, "paired"), exact(100.0), exact(100.0 * (1 + change)))
    found = replace(found, first=FirstLook(found.candidate, found.change))
    made = case([rule(metric, limit("max_increase", 0.05))], {metric: found}, **more)
    hardware = replace(HARDWARE, cpu="AMD EPYC 7B13", gpus=(BOARD,))
    models = tuple(replace(model, hardware=hardware, runtime=RUNTIME) for model in made.models)
    return replace(made, models=models, budget=replace(made.budget, reference=reference))


def status(metric: str, change: float, reference: Reference | None, **more: Any) -> Status:
    return judge(prepared(metric, change, reference, **more)).outcomes[0].status


def here(hardware: str | None = None, runtime: str | None = None) -> Reference:
    return Reference(SPAN, hardware, runtime)


@pytest.mark.parametrize(
    ("reference", "met"),
    [
        (here("AMD EPYC*"), True),
        (here("amd epyc 7b13"), True),
        (here("NVIDIA H200*"), True),  # a GPU that the model runs on
        (here("*H100*"), False),
        (here("AMD EPYC"), False),  # a pattern is of the whole name
        (here(runtime="onnxruntime 1.3*"), True),
        (here(runtime="onnxruntime 1.2*"), False),
        (here(runtime="torch *"), False),
        (here("AMD*", "onnxruntime 1.32.0"), True),
        (here("AMD*", "onnxruntime 1.31.0"), False),
        (here("Intel*", "onnxruntime 1.32.0"), False),
    ],
)
def test_a_hardware_bound_rule_waits_for_the_reference(reference: Reference, met: bool) -> None:
    for change, verdict in ((0.0, P), (0.5, F)):
        assert status("latency_p50", change, reference) is (verdict if met else D)
        assert status("latency_p50", change, reference, strict=True) is (verdict if met else I)
        assert status("latency_p50", change, reference, strict=True, part="gpu") is (verdict if met else D)


def test_the_hardwares_own_id_may_be_named() -> None:
    made = prepared("latency_p50", 0.5, None)
    assert made.models[0].hardware is not None
    assert status("latency_p50", 0.5, here(made.models[0].hardware.id)) is F


@pytest.mark.parametrize("metric", [name for name, row in METRICS.items() if row.kind in ("exact", "noisy", "derived")])
def test_what_a_machine_cannot_change_is_judged_on_any(metric: str) -> None:
    if METRICS[metric].better == "higher" or METRICS[metric].dimension == "ratio":
        return
    row = METRICS[metric]
    bound = row.kind in ("noisy", "derived")
    assert status(metric, 0.5, here("another machine"), strict=True) is (I if bound else F)
    assert status(metric, 0.5, here(runtime="another 1"), strict=True) is (
        I if bound or row.runtime_bound or row.simulated else F
    )
    assert status(metric, 0.5, None, strict=True) is F


def test_the_reason_names_both_machines_and_the_next_step() -> None:
    outcome = judge(prepared("latency_p50", 0.5, here("Intel*"), strict=True)).outcomes[0]
    assert outcome.reason == "the reference hardware is 'Intel*', this was measured on NVIDIA H200"
    assert "merge with `greengate check --profile`" in outcome.help
    outcome = judge(prepared("latency_p50", 0.5, here(runtime="torch*"), strict=True)).outcomes[0]
    assert outcome.reason == (
        "the reference runtime is 'torch*', this was measured with onnxruntime 1.32.0, python 3.11.7"
    )


def test_each_metric_keeps_the_machine_that_another_job_measured_it_on() -> None:
    made = prepared("latency_p50", 0.5, here("Intel*"))
    (model,) = made.models
    assert model.hardware is not None
    there = Machine(replace(model.hardware, cpu="Intel Xeon", gpus=()), RUNTIME)
    merged = replace(made, models=(replace(model, elsewhere={"latency_p50": there}),))
    assert judge(merged).outcomes[0].status is F
    swapped = replace(made, models=(replace(model, elsewhere={"cpu_time": there}),))
    assert judge(swapped).outcomes[0].status is D


def test_the_target_branchs_reference_binds_too() -> None:
    made = prepared("latency_p50", 0.5, None)
    softened = replace(made, budget=replace(made.budget, reference=here("Intel*")), base=made.budget)
    assert judge(softened).outcomes[0].status is F
    kept = replace(made, base=replace(made.budget, reference=here("Intel*")))
    assert judge(kept).outcomes[0].status is F  # the change judges itself where it was measured, and fails


@given(st.floats(-0.9, 2), st.sampled_from([None, "AMD*", "Intel*"]), st.booleans())
def test_a_reference_never_makes_a_verdict_better_in_ci(change: float, hardware: str | None, runtime: bool) -> None:
    free = status("latency_p50", change, None, strict=True)
    bound = status("latency_p50", change, here(hardware, "onnxruntime*" if runtime else None), strict=True)
    assert bound in (free, I)
