"""Where a change comes from, in words: one sentence a metric, in every report."""

from __future__ import annotations

from dataclasses import replace

import pytest
import verdicts
from verdicts import parts

from greengate.comparison import Comparison, Contribution
from greengate.report import explain, markdown, terminal
from greengate.report.where import percent, places

MACS = verdicts.grown("macs", 4.1e9, 6.0e9, "executed")
FLOPS = verdicts.grown("flops", 8.2e9, 12.0e9, "executed")
SIZE = verdicts.grown("size", 12_127_900, 10_123_456)
MEMORY = verdicts.grown("activation_memory", 1e6, 2e6)


def said(*comparisons: Comparison) -> list[str]:
    return [f"{where.metric} {where.text}" for where in places(comparisons)]


@pytest.mark.parametrize(
    ("compared", "sentence"),
    [
        (
            parts(MACS, ("encoder/layer.0-11/ffn", 0.78), ("head", 0.22)),
            "MACs +1.90 GMAC: 78 % in encoder/layer.0-11/ffn, 22 % in head",
        ),
        (parts(MACS, ("head", 1.0)), "MACs +1.90 GMAC: 100 % in head"),
        (parts(MACS, ("a", 0.6), ("b", 0.2), ("", 0.2)), "MACs +1.90 GMAC: 60 % in a, 20 % in b, 20 % elsewhere"),
        (parts(MACS, ("a", 0.998), ("", 0.002)), "MACs +1.90 GMAC: >99 % in a"),
        (parts(MACS, ("a", 0.997), ("b", 0.003)), "MACs +1.90 GMAC: >99 % in a, <1 % in b"),
        (parts(SIZE, ("layer.3", 1.0), kind="removed"), "Size -2.00 MB: 100 % in layer.3 (removed)"),
        (
            parts(MACS, ("encoder/layer.12", 1.5), ("head", -0.5), kind="added"),
            "MACs +1.90 GMAC: +2.85 GMAC in encoder/layer.12 (new), -950 MMAC in head (new)",
        ),
        (
            parts(MACS, ("a", 1.2), ("b", -0.4), ("", 0.2)),
            "MACs +1.90 GMAC: +2.28 GMAC in a, -760 MMAC in b, +380 MMAC elsewhere",
        ),
        (parts(MACS, ("a", 1.2), ("", -0.2)), "MACs +1.90 GMAC: +2.28 GMAC in a, -380 MMAC elsewhere"),
        (parts(MEMORY, ("a", 1.0)), "Activation memory +1.00 MB of output: 100 % in a"),
    ],
)
def test_a_sentence_says_where(compared: Comparison, sentence: str) -> None:
    assert said(compared) == [sentence]


def test_what_is_not_known_is_not_said() -> None:
    assert said(MACS, SIZE) == []


def test_macs_and_flops_are_told_once() -> None:
    macs, flops = parts(MACS, ("head", 1.0)), parts(FLOPS, ("head", 1.0))
    assert said(macs, flops) == ["MACs +1.90 GMAC: 100 % in head"]
    assert said(flops) == ["FLOPs +3.80 GFLOP: 100 % in head"]


def test_a_long_path_keeps_its_ends() -> None:
    (sentence,) = said(parts(MACS, ("net/" + "block/" * 40 + "head", 1.0)))
    assert len(sentence) < 120
    assert "100 % in net/block" in sentence
    assert sentence.endswith("/head")


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100 %"), (0.999, ">99 %"), (0.994, "99 %"), (0.5, "50 %"), (0.006, "1 %"), (0.004, "<1 %")],
)
def test_no_part_is_rounded_to_all_or_nothing(share: float, text: str) -> None:
    assert percent(share) == text


# --- in the reports ------------------------------------------------------------------------------


def test_the_terminal_says_it_below_the_table_for_metrics_of_rules() -> None:
    text = " ".join(terminal.render(verdicts.failing()).split())
    assert "where Size +2.00 MB: 99 % in encoder/layer.12 (new), 1 % elsewhere" in text
    assert "where FLOPs +56.0 MFLOP: 78 % in encoder/layer.0-11/ffn, 22 % in head/@dense #1" in text
    assert "where" not in terminal.render(verdicts.undecided())


def test_the_terminal_says_it_once_for_two_rules_of_one_metric() -> None:
    verdict = verdicts.failing()
    twice = replace(verdict, outcomes=(*verdict.outcomes, replace(verdict.outcomes[0], rule="size-again")))
    assert terminal.render(twice).count("99 % in encoder/layer.12") == 1


def test_the_comment_folds_it_away_and_sets_paths_in_code() -> None:
    text = markdown.render(verdicts.failing())
    fold = text[text.index("<details><summary>Where it changed</summary>") :].partition("</details>")[0]
    assert "- Size +2.00 MB: 99 % in `encoder/layer.12` (new), 1 % elsewhere\n" in fold
    assert "- FLOPs +56.0 MFLOP: 78 % in `encoder/layer.0-11/ffn`, 22 % in head/@\N{WORD JOINER}dense" in fold
    assert "encoder" not in text.partition("<details>")[0]
    assert "Where it changed" not in markdown.render(verdicts.undecided())


def test_the_comment_names_the_model_where_there_are_several() -> None:
    verdict = verdicts.two_models()
    first = verdict.case.models[0]
    changed = replace(first, comparisons={**first.comparisons, "size": parts(verdicts.SIZE, ("head", 1.0))})
    case = replace(verdict.case, models=(changed, *verdict.case.models[1:]))
    assert "- `sentiment-small` Size +2.00 MB: 100 % in `head`\n" in markdown.render(replace(verdict, case=case))


def test_explain_says_it_beside_the_arithmetic() -> None:
    lines = explain.render(verdicts.failing(), "size").splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("  where"))
    assert lines[at] == "  where      +2.00 MB: 99 % in encoder/layer.12 (new), 1 % elsewhere"
    assert lines[at - 1].startswith("  change")
    assert not any(line.startswith("  where") for line in explain.render(verdicts.failing(), "p50").splitlines())


def test_what_no_layer_explains_is_said_to_be_outside_them() -> None:
    whole = replace(SIZE, where=(Contribution("", -2_004_444.0, 1.0),))
    assert said(whole) == ["Size -2.00 MB: outside the layers that ran"]
