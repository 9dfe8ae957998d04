"""What stands beside the numbers."""

from __future__ import annotations

from dataclasses import replace

import verdicts
from verdicts import NO_BASELINE, compared, exact, grown

from greengate.metrics import METRICS
from greengate.profile import Missing
from greengate.report.facts import Fact, Gap, baseline_text, facts, gaps, in_table_order, rule_of, scope_text
from greengate.verdict import BaselineRef, Context, ModelCase

LOST = Missing("the worker crashed", "failed", "give it more memory")


def test_a_fact_that_holds_for_all_models_is_told_once() -> None:
    found = facts(verdicts.passing())
    assert [fact.label for fact in found] == ["Hardware", "Workload", "Runtime", "Policy", "Baseline", "Gate"]
    assert not any(fact.models for fact in found)


def test_a_fact_that_differs_names_its_models() -> None:
    hardware = [fact for fact in facts(verdicts.two_models()) if fact.label == "Hardware"]
    assert [fact.models for fact in hardware] == [("sentiment-small",), ("vision",)]
    assert hardware[0].text.startswith("AMD")


def facts_of(label: str, *models: ModelCase, whole: bool = False) -> list[tuple[str, tuple[str, ...]]]:
    verdict = verdicts.two_models()
    verdict = replace(verdict, case=replace(verdict.case, models=models))
    return [(fact.text, fact.models) for fact in facts(verdict, whole=whole) if fact.label == label]


def test_what_machines_and_workloads_share_is_told_once_and_of_each_what_differs() -> None:
    first, *_ = verdicts.two_models().case.models
    bigger = replace(verdicts.HARDWARE, memory=16_000_000_000)
    second = replace(first, name="b", hardware=bigger, workload=replace(verdicts.WORKLOAD, feed="sha256:" + "9" * 64))
    third = replace(second, name="c")
    assert facts_of("Hardware", first, second, third) == [
        ("AMD EPYC 7B13, 2 cores, Linux 6.1", ()),
        ("8.23 GB", ("sentiment-small",)),
        ("16.0 GB", ("b", "c")),
    ]
    assert facts_of("Workload", first, second, third) == [
        ("batch size 1, 1 thread, precision as stored", ()),
        ("feed sha256:0123456789ab", ("sentiment-small",)),
        ("feed sha256:999999999999", ("b", "c")),
    ]
    newer = replace(second, runtime={**verdicts.RUNTIME, "provider": "CUDA"})
    assert facts_of("Runtime", first, newer) == [
        ("onnxruntime 1.32.0, python 3.11.9", ()),
        ("provider CUDA", ("b",)),
    ]
    # For readers that take one value a model nothing is taken apart.
    assert [models for _, models in facts_of("Hardware", first, second, whole=True)] == [("sentiment-small",), ("b",)]


def test_of_machines_that_share_no_more_than_a_detail_nothing_is_told_in_parts() -> None:
    first, second = verdicts.two_models().case.models
    assert facts_of("Hardware", first, second) == [
        ("AMD EPYC 7B13, 2 cores, 8.23 GB, Linux 6.1", ("sentiment-small",)),
        ("Apple M2, 8 cores, 8.23 GB, Darwin 24.1", ("vision",)),
    ]


def test_a_model_of_which_nothing_was_measured_shares_nothing() -> None:
    first, _ = verdicts.two_models().case.models
    second = replace(first, name="b", hardware=replace(verdicts.HARDWARE, memory=16_000_000_000))
    nothing = replace(first, name="c", hardware=None, workload=None, runtime={})
    assert facts_of("Hardware", first, second, nothing) == [
        ("AMD EPYC 7B13, 2 cores, Linux 6.1", ("sentiment-small", "b")),
        ("8.23 GB", ("sentiment-small",)),
        ("16.0 GB", ("b",)),
        ("nothing was measured", ("c",)),
    ]


def test_what_was_left_out_on_purpose_is_said() -> None:
    assert scope_text(Context("ci", strict=True, part="gpu", static_only=True)) == "exact metrics only, part gpu"
    verdict = verdicts.passing()
    partly = replace(verdict, case=replace(verdict.case, context=Context("ci", strict=True, part="gpu")))
    assert Fact("Scope", "part gpu") in facts(partly)


def test_a_baseline_in_words() -> None:
    assert baseline_text(None) == "none"
    assert baseline_text(BaselineRef("ref:abc", "ref:abc")) == "ref:abc"
    whole = BaselineRef("dir:store", "accepted", "sha256:" + "a" * 64, version=0, commit="c" * 40)
    assert baseline_text(whole) == "dir:store (accepted, version 0, commit cccccccccccc, sha256:aaaaaaaaaaaa)"


def test_a_gap_is_told_once_for_all_its_rows() -> None:
    no_baseline = [("a", compared("size", NO_BASELINE, exact(1), NO_BASELINE))]
    no_baseline += [("b", compared("flops", NO_BASELINE, exact(1), NO_BASELINE))]
    assert gaps(no_baseline) == [Gap(NO_BASELINE.reason, NO_BASELINE.help, ("a", "b"))]


def test_both_sides_of_a_row_may_be_missing_for_their_own_reasons() -> None:
    found = gaps([("a", compared("size", NO_BASELINE, LOST, LOST))])
    assert [gap.reason for gap in found] == [LOST.reason, NO_BASELINE.reason]


def test_a_change_alone_may_be_missing() -> None:
    apart = Missing("not comparable", "incomparable")
    assert gaps([("a", compared("size", exact(1), exact(2), apart))]) == [Gap("not comparable", "", ("a",))]
    assert gaps([("a", grown("size", 1, 2))]) == []


def test_a_rule_is_found_by_its_id() -> None:
    verdict = verdicts.failing()
    assert rule_of(verdict, verdict.outcomes[3]) == verdicts.TAIL_RULE
    assert rule_of(verdict, replace(verdict.outcomes[3], rule="gone")) is None


def test_measurements_stand_in_the_order_of_the_table_without_what_no_version_measures() -> None:
    names = [one.metric for one in in_table_order(verdicts.mild().case.models[0].comparisons)]
    assert names == sorted(names, key=list(METRICS).index)
    assert "accuracy" in names  # declared here, though this version does not measure it
    assert "energy_per_1k" in names  # a rule asks for it
    unasked = [one.metric for one in in_table_order(verdicts.failing().case.models[0].comparisons)]
    assert "energy_per_1k" not in unasked
    assert "latency_p99" in names
