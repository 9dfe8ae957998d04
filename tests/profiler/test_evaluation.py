"""Scores against scikit-learn's, intervals against their own coverage, and what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from greengate.profiler import evaluation
from greengate.profiler.evaluation import columns, interval, paired, unanswered, value


def made(seed: int, n: int = 200, classes: int = 6) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    scores = rng.normal(size=(n, classes))
    scores[np.arange(n), labels] += 1.0
    return scores, labels


def scored(metric: str, said: Any, labels: Any) -> float:
    return value(metric, columns(metric, said, labels))


@pytest.mark.parametrize("seed", range(5))
def test_every_score_is_scikit_learns(seed: int) -> None:
    said, labels = made(seed)
    rng = np.random.default_rng(seed)
    assert scored("top1", said, labels) == pytest.approx(oracle.accuracy_score(labels, said.argmax(1)))
    for k in (2, 3, 5):
        expected = oracle.top_k_accuracy_score(labels, said, k=k, labels=range(6))
        assert scored(f"topk:{k}", said, labels) == pytest.approx(expected)
    assert scored("f1", said, labels) == pytest.approx(oracle.f1_score(labels, said.argmax(1), average="macro"))
    binary, probability = labels % 2, np.round(rng.random(200), 1)  # rounded: ties
    assert scored("roc_auc", probability, binary) == pytest.approx(oracle.roc_auc_score(binary, probability))
    assert scored("roc_auc", np.stack([1 - probability, probability], 1), binary) == pytest.approx(
        oracle.roc_auc_score(binary, probability)
    )
    assert scored("f1", probability[:, None], binary) == pytest.approx(oracle.f1_score(binary, probability > 0.5))
    logits = rng.normal(size=200)
    assert scored("f1", logits, binary) == pytest.approx(oracle.f1_score(binary, logits > 0))
    truth = rng.normal(size=200)
    near = truth + rng.normal(size=200) / 3
    assert scored("r2", near[:, None], truth) == pytest.approx(oracle.r2_score(truth, near))
    wide, wider = rng.normal(size=(200, 4)), rng.normal(size=(200, 4))
    assert scored("mse", wide, wider) == pytest.approx(oracle.mean_squared_error(wider, wide))


def test_classes_that_a_model_names_itself_are_taken_as_they_are() -> None:
    assert scored("top1", np.array([3, 1, 2]), np.array([3, 1, 1])) == pytest.approx(2 / 3)
    assert scored("top1", np.array([[0.2], [0.9]]), np.array([0, 1])) == 1.0


def test_ties_go_to_the_first_class_as_argmax_has_it() -> None:
    said = np.zeros((3, 4))
    assert scored("top1", said, np.array([0, 1, 2])) == pytest.approx(1 / 3)
    assert scored("topk:2", said, np.array([0, 1, 2])) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("metric", "said", "labels", "words"),
    [
        ("top1", np.zeros((2, 3)), np.zeros(3, int), "2 outputs for 3 labels"),
        ("top1", np.zeros((2, 3)), np.zeros(2), "are no classes"),
        ("topk:3", np.zeros((2, 3)), np.array([0, 3]), "out of bounds"),
        ("topk:5", np.zeros((2, 3)), np.zeros(2, int), "top 5 of 3 classes is everything"),
        ("roc_auc", np.zeros((2, 3)), np.zeros(2, int), "tell two classes apart"),
        ("roc_auc", np.zeros(2), np.array([0, 2]), "needs labels 0 and 1"),
        ("mse", np.zeros((2, 3)), np.zeros((2, 2)), "outputs of shape [2, 3] for labels of shape [2, 2]"),
        ("r2", np.zeros((2, 3)), np.zeros((2, 3)), "one number a sample"),
    ],
)
def test_what_does_not_fit_says_so(metric: str, said: Any, labels: Any, words: str) -> None:
    with pytest.raises((ValueError, IndexError)) as caught:
        columns(metric, said, labels)
    assert words in str(caught.value)


NAN, INF = float("nan"), float("inf")
ONE_NAN = np.array([[0.1, NAN, 0.2], [0.1, 0.2, 0.3], [0.5, 0.2, 0.3]])


@pytest.mark.parametrize("metric", ["top1", "topk:2", "f1", "roc_auc", "mse", "r2"])
def test_a_model_that_says_nan_gives_no_answer(metric: str) -> None:
    assert unanswered(metric, ONE_NAN) == "the model says NaN for 1 of 3 samples"
    assert unanswered(metric, np.full((4, 1), NAN, np.float16)) == "the model says NaN for 4 of 4 samples"
    for fine in (ONE_NAN[1:], np.array([[1], [2]]), np.array([True, False]), np.zeros((2, 0))):
        assert not unanswered(metric, fine)


@pytest.mark.parametrize(
    ("metric", "fits"),
    [("top1", True), ("topk:2", True), ("f1", True), ("roc_auc", False), ("mse", False), ("r2", False)],
)
def test_infinite_numbers_have_an_order_and_no_distance(metric: str, fits: bool) -> None:
    said = unanswered(metric, np.array([[INF, 0.0, -INF], [0.0, 1.0, 2.0]]))
    assert said == ("" if fits else "the model says an infinite number for 1 of 2 samples")
    if metric == "topk:2":
        assert scored(metric, np.array([[INF, 0.0, -INF]] * 3), np.array([0, 1, 2])) == pytest.approx(2 / 3)


@pytest.mark.parametrize("metric", ["top1", "topk:2", "topk:3"])
def test_nan_is_never_a_hit(metric: str) -> None:
    assert columns(metric, np.full((3, 3), NAN), np.array([0, 1, 2])) == {"hit": [0.0, 0.0, 0.0]}
    assert columns(metric, ONE_NAN, np.array([1, 2, 0])) == {"hit": [0.0, 1.0, 1.0]}
    assert columns(metric, ONE_NAN, np.array([2, 2, 0])) == {"hit": [0.0, 1.0, 1.0]}


@pytest.mark.parametrize("wrong", [NAN, INF])
def test_labels_that_are_no_numbers_fit_no_model(wrong: float) -> None:
    for metric in ("mse", "r2"):
        with pytest.raises(ValueError, match="some labels are no finite numbers"):
            columns(metric, np.zeros((2, 1)), np.array([0.0, wrong]))


@pytest.mark.parametrize("wrong", [NAN, INF])
def test_what_is_no_finite_number_has_neither_a_score_nor_an_interval(wrong: float) -> None:
    """One of 20 samples: most draws hold it, some do not."""
    errors = {"error": [1.0] * 19 + [wrong]}
    with pytest.raises(ValueError, match="it is no finite number"):
        value("mse", errors)
    with pytest.raises(ValueError, match="no finite ends"):
        interval("mse", errors)


def test_draws_in_which_an_error_grows_without_bound_are_not_left_out() -> None:
    """Of 60 samples the baseline errs on three: in one draw of 20 on none, and the candidate always."""
    old, new = {"error": [0.0] * 57 + [1.0] * 3}, {"error": [0.1] * 60}
    with pytest.raises(ValueError, match="no finite ends"):
        paired("mse", old, new)
    found, low, high = paired("mse", {"error": [0.0] * 50 + [1.0] * 10}, new)
    assert low < found < high < INF


@pytest.mark.parametrize(
    ("metric", "found", "words"),
    [
        ("roc_auc", {"label": [1, 1], "score": [0.1, 0.2]}, "one class alone"),
        ("r2", {"label": [1, 1], "predicted": [1, 2]}, "all labels are equal"),
        ("top1", {"hit": []}, "no samples"),
        ("top1", {}, "no samples"),
    ],
)
def test_a_score_that_is_not_defined_is_none(metric: str, found: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        value(metric, found)


def test_a_paired_interval_is_that_of_the_samples_they_disagree_on() -> None:
    old = [1.0] * 80 + [0.0] * 20
    new = [1.0] * 78 + [0.0] * 2 + [1.0] * 8 + [0.0] * 12
    found, low, high = paired("top1", {"hit": old}, {"hit": new})
    assert found == pytest.approx(0.06)  # 8 won, 2 lost
    # Agresti and Min 2005: half a sample in each cell of the table.
    assert (low, high) == (pytest.approx(-0.003876, abs=1e-5), pytest.approx(0.121524, abs=1e-5))
    alone = interval("top1", {"hit": old})
    assert high - low < alone.high - alone.low


def test_the_same_answers_leave_little_doubt() -> None:
    hits = {"hit": [1.0] * 900 + [0.0] * 100}
    found, low, high = paired("top1", hits, hits)
    assert found == 0
    assert -0.003 < low < 0 < high < 0.003
    assert paired("mse", {"error": [1.0, 2.0, 3.0]}, {"error": [1.0, 2.0, 3.0]}) == (0.0, 0.0, 0.0)


def test_an_error_is_compared_as_a_share() -> None:
    found, low, high = paired("mse", {"error": [2.0, 4.0, 6.0] * 50}, {"error": [1.0, 2.0, 3.0] * 50})
    assert (found, low, high) == (pytest.approx(-0.5), pytest.approx(-0.5), pytest.approx(-0.5))


def test_other_samples_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="not evaluated on the same samples"):
        paired("top1", {"hit": [1.0, 0.0]}, {"hit": [1.0]})


@pytest.mark.parametrize("metric", ["top1", "roc_auc"])
def test_intervals_cover_what_is_true(metric: str) -> None:
    """95 % intervals of a gain that is known: over 40 draws, few miss it."""
    rng = np.random.default_rng(7)

    def models(n: int) -> tuple[Any, Any, Any]:
        labels = rng.integers(0, 2, n)
        base = rng.normal(size=n)
        return labels, labels * 0.8 + base, labels * 1.2 + base + rng.normal(size=n) / 3

    labels, old, new = models(400_000)
    small = "top1" if metric == "top1" else metric
    true = scored(small, new - 0.5, labels) - scored(small, old - 0.5, labels)
    missed = 0
    for _ in range(40):
        labels, old, new = models(150)
        _, low, high = paired(metric, columns(metric, old - 0.5, labels), columns(metric, new - 0.5, labels))
        missed += not low <= true <= high
    assert missed <= 7  # 2 are expected; more than 7 come by chance once in 1,000


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_paired_interval_holds_its_value_and_turns_with_the_roles(hits: list[tuple[bool, bool]]) -> None:
    old = {"hit": [float(one) for one, _ in hits]}
    new = {"hit": [float(two) for _, two in hits]}
    found, low, high = paired("top1", old, new)
    assert low <= found <= high
    back, least, most = paired("top1", new, old)
    assert (back, least, most) == (pytest.approx(-found), pytest.approx(-high), pytest.approx(-low))


def test_the_draws_are_the_same_every_time() -> None:
    said, labels = made(1)
    found = columns("f1", said, labels)
    assert interval("f1", found) == interval("f1", found)


def test_the_scores_are_those_of_the_format() -> None:
    from greengate.budget_file.format_model import _SCORE

    assert evaluation.SCORES in _SCORE.pattern
