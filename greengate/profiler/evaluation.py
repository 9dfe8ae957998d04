"""Accuracy on labelled data: a score from what a model said of each sample, and paired intervals over the samples.

numpy is imported inside the functions; a column holds one number a sample.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from greengate.profile import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Columns = Mapping[str, Sequence[float]]

CONFIDENCE = 0.95
_Z = 1.959963984540054
RESAMPLES = 2000

#: What a labelled .npz can be scored by; the pattern of `metric` in a budget.
SCORES = r"top1|topk:[1-9][0-9]{0,3}|mse|r2|f1|roc_auc"


def lower_is_better(metric: str) -> bool:
    """Tell whether a score is an error, not an accuracy."""
    return metric == "mse"


def kind(metric: str) -> str:
    """Return the score without its parameter: `top`, `mse`, `r2`, `f1` or `roc_auc`."""
    return "top" if metric.startswith("top") else metric


def columns(metric: str, output: Any, labels: Any) -> dict[str, list[float]]:
    """Return what a score needs of each sample, from a model's first output and the labels.

    A class is the largest of several numbers, a whole number, or one number above 0.5 (above 0 where some lie outside
    of 0 to 1). Raises ValueError where output and labels do not fit the score.
    """
    import numpy as np

    said, truth = np.asarray(output), np.asarray(labels)
    if len(said) != len(truth):
        raise ValueError(f"{len(said)} outputs for {len(truth)} labels")
    if metric in ("mse", "r2"):
        return _of_numbers(metric, said.reshape(len(said), -1), truth.reshape(len(truth), -1))
    truth = truth.reshape(-1) if truth.ndim > 1 and truth.shape[1:] == (1,) else truth
    if truth.ndim != 1 or truth.dtype.kind not in "iub":
        raise ValueError(f"labels of shape {list(truth.shape)} and type {truth.dtype} are no classes")
    if metric == "roc_auc":
        return _of_scores(said, truth)
    if kind(metric) == "top":
        found = re.fullmatch(r"topk:(\d+)", metric)
        hits = _hits(said, truth, int(found[1]) if found else 1)
        return {"hit": hits.astype(float).tolist()}
    return {"label": truth.astype(float).tolist(), "predicted": _classes(said).astype(float).tolist()}


def unanswered(metric: str, output: Any) -> str:
    """Say on how many samples a model gives no answer that can be scored; empty for none.

    Classes keep an order with infinite numbers among them; an error or a curve has none.
    """
    import numpy as np

    flat = np.asarray(output).reshape(len(output), -1)
    lacks = _nan(flat).any(axis=1)
    if lacks.any():
        return f"the model says NaN for {lacks.sum():,} of {len(flat):,} samples"
    ends = np.isinf(flat.astype(float)).any(axis=1) if metric in ("mse", "r2", "roc_auc") else lacks
    return f"the model says an infinite number for {ends.sum():,} of {len(flat):,} samples" if ends.any() else ""


def _nan(flat: Any) -> Any:
    return flat != flat  # noqa: PLR0124 - of numbers of every type NaN alone is unlike itself


def _of_numbers(metric: str, said: Any, truth: Any) -> dict[str, list[float]]:
    import numpy as np

    if said.shape != truth.shape:
        raise ValueError(f"outputs of shape {list(said.shape)} for labels of shape {list(truth.shape)}")
    said, truth = said.astype(float), truth.astype(float)
    if not np.isfinite(truth).all():
        raise ValueError("some labels are no finite numbers")
    if metric == "mse":
        return {"error": ((said - truth) ** 2).mean(axis=1).tolist()}
    if said.shape[1] != 1:
        raise ValueError("r2 is for models with one number a sample")
    return {"label": truth[:, 0].tolist(), "predicted": said[:, 0].tolist()}


def _of_scores(said: Any, truth: Any) -> dict[str, list[float]]:
    scores = said[:, 1] if said.ndim == 2 and said.shape[1] == 2 else said.reshape(len(said), -1)
    if scores.ndim == 2:
        if scores.shape[1] != 1:
            raise ValueError("roc_auc is for models that tell two classes apart")
        scores = scores[:, 0]
    if not set(truth.tolist()) <= {0, 1}:
        raise ValueError("roc_auc needs labels 0 and 1")
    return {"label": truth.astype(float).tolist(), "score": scores.astype(float).tolist()}


def _classes(said: Any) -> Any:
    flat = said.reshape(len(said), -1)
    if flat.shape[1] > 1:
        return flat.argmax(axis=1)
    only = flat[:, 0]
    if only.dtype.kind in "iub":
        return only
    inside = bool(((only >= 0) & (only <= 1)).all())
    return only > (0.5 if inside else 0.0)


def _hits(said: Any, truth: Any, k: int) -> Any:
    flat = said.reshape(len(said), -1)
    # No comparison with NaN holds, so it would come out first.
    sure = ~_nan(flat).any(axis=1)
    if k == 1:
        return (_classes(said) == truth) & sure
    if flat.shape[1] < k:
        raise ValueError(f"top {k} of {flat.shape[1]} classes is everything")
    # The label's rank among the outputs; ties go to the earlier class, as argmax has it.
    own = flat[range(len(flat)), truth][:, None]
    before = (flat > own) | ((flat == own) & (_places(flat) < truth[:, None]))
    return (before.sum(axis=1) < k) & sure


def _places(flat: Any) -> Any:
    import numpy as np

    return np.arange(flat.shape[1])[None, :]


def value(metric: str, found: Columns) -> float:
    """Return a score. Raises ValueError where it is not defined, as roc_auc for one class alone."""
    score = float(_SCORED[kind(metric)](_arrays(found)))
    if not math.isfinite(score):
        raise ValueError("it is no finite number")
    return score


def interval(metric: str, found: Columns) -> Interval:
    """Return a 95 % interval over samples: Wilson's for shares, else percentiles of a seeded bootstrap."""
    arrays = _arrays(found)
    if kind(metric) == "top":
        return wilson(float(arrays["hit"].mean()), len(arrays["hit"]))
    low, high = _percentiles(_resampled(arrays, _SCORED[metric]))
    return Interval(low, high, CONFIDENCE)


def wilson(share: float, n: int) -> Interval:
    """Return Wilson's 95 % interval of a share of n samples."""
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n)) / (1 + _Z**2 / n)
    return Interval(min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)), CONFIDENCE)


def paired(metric: str, before: Columns, after: Columns) -> tuple[float, float, float]:
    """Return candidate - baseline (of an error: candidate / baseline - 1) and its 95 % interval, sample by sample.

    Shares: the adjusted Wald interval of a paired difference (Agresti and Min 2005), which counts the samples on
    which the two disagree, as McNemar's test does. Else percentiles of a paired, seeded bootstrap.
    Raises ValueError where the samples differ.
    """
    old, new = _arrays(before), _arrays(after)
    if {len(column) for column in (*old.values(), *new.values())} != {len(next(iter(old.values())))}:
        raise ValueError("the two were not evaluated on the same samples")
    if kind(metric) == "top":
        return _of_shares(old["hit"], new["hit"])
    both = {f"old {name}": column for name, column in old.items()} | {f"new {n}": c for n, c in new.items()}

    def change(one: Mapping[str, Array]) -> float:
        was = _SCORED[metric]({name[4:]: column for name, column in one.items() if name.startswith("old ")})
        now = _SCORED[metric]({name[4:]: column for name, column in one.items() if name.startswith("new ")})
        if not lower_is_better(metric):
            return now - was
        return math.inf if was == 0 < now else now / was - 1

    low, high = _percentiles(_resampled(both, change))
    return float(change(both)), low, high


def _of_shares(old: Array, new: Array) -> tuple[float, float, float]:
    n = len(old)
    won, lost = float(((new == 1) & (old == 0)).sum()), float(((new == 0) & (old == 1)).sum())
    more, gained, dropped = n + 2, won + 0.5, lost + 0.5
    middle = (gained - dropped) / more
    half = _Z * math.sqrt(gained + dropped - (gained - dropped) ** 2 / more) / more
    found = (won - lost) / n
    return found, max(-1.0, min(middle - half, found)), min(1.0, max(middle + half, found))


def _arrays(found: Columns) -> dict[str, Array]:
    import numpy as np

    arrays = {name: np.asarray(column, dtype=float) for name, column in found.items()}
    if not arrays or not all(len(column) for column in arrays.values()):
        raise ValueError("there are no samples")
    return arrays


def _resampled(arrays: Mapping[str, Array], score: Callable[[Mapping[str, Array]], float]) -> list[float]:
    """Return the score of samples drawn with replacement; draws in which it is not defined are left out."""
    import numpy as np

    chance = np.random.default_rng(0)
    n = len(next(iter(arrays.values())))
    found = []
    for _ in range(RESAMPLES):
        drawn = chance.integers(0, n, n)
        try:
            found.append(float(score({name: column[drawn] for name, column in arrays.items()})))
        except (ValueError, ZeroDivisionError):
            continue
    if len(found) < RESAMPLES // 2:
        raise ValueError("too few samples for an interval")
    return found


def _percentiles(found: list[float]) -> tuple[float, float]:
    """Return the ends of an interval. Raises ValueError where draws without a finite score reach them."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        low, high = np.percentile(found, [100 * (1 - CONFIDENCE) / 2, 100 * (1 + CONFIDENCE) / 2])
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("its interval has no finite ends on these samples")
    return float(low), float(high)


# --- scores -----------------------------------------------------------------------------------------------------------


def _mean(name: str) -> Callable[[Mapping[str, Array]], float]:
    return lambda found: float(found[name].mean())


def _r2(found: Mapping[str, Array]) -> float:
    label, predicted = found["label"], found["predicted"]
    spread = float(((label - label.mean()) ** 2).sum())
    if spread == 0:
        raise ValueError("r2 is not defined where all labels are equal")
    return 1 - float(((label - predicted) ** 2).sum()) / spread


def _f1(found: Mapping[str, Array]) -> float:
    """F1 of the class 1 where there are only 0 and 1, else the mean over classes (macro)."""
    label, predicted = found["label"], found["predicted"]
    classes = sorted({*label.tolist(), *predicted.tolist()})
    of = [1.0] if set(classes) <= {0.0, 1.0} else classes
    return sum(_f1_of(label == one, predicted == one) for one in of) / len(of)


def _f1_of(is_it: Any, said_it: Any) -> float:
    hits = float((is_it & said_it).sum())
    either = float(is_it.sum() + said_it.sum())
    return 2 * hits / either if either else 0.0


def _roc_auc(found: Mapping[str, Array]) -> float:
    """Area under the curve: how often a positive scores above a negative, ties counting half (Mann and Whitney)."""
    import numpy as np

    positive = found["label"] == 1
    ups, downs = int(positive.sum()), int((~positive).sum())
    if not ups or not downs:
        raise ValueError("roc_auc is not defined for one class alone")
    _, place, counts = np.unique(found["score"], return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - ups * (ups + 1) / 2) / (ups * downs))


_SCORED: dict[str, Callable[[Mapping[str, Array]], float]] = {
    "top": _mean("hit"),
    "mse": _mean("error"),
    "r2": _r2,
    "f1": _f1,
    "roc_auc": _roc_auc,
}
