"""What a model said of labelled data, sample by sample, so that two models can be held side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answers:
    """One score's raw numbers: `score` as in the budget, `data` the digest of the labelled file it was taken on.

    `columns` hold one number a sample, in the file's order; a store keeps none of them.
    """

    score: str
    data: str
    columns: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
