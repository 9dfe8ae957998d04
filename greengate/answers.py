"""What a model said of labelled data, sample by sample, so that two models can be held side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Slice:
    """The samples of labelled data that count: where the array `mask` is true, or those of some `labels`; else all."""

    mask: str = ""
    labels: tuple[int, ...] = ()

    def __str__(self) -> str:
        """Say it in words that follow those for the whole; empty for all samples."""
        if self.labels:
            return f"labelled {' or '.join(map(str, self.labels))}"
        return f"where {self.mask}" if self.mask else ""


#: All samples.
WHOLE = Slice()


@dataclass(frozen=True)
class Answers:
    """One score's raw numbers: `score` as in the budget, `data` the digest of the labelled file it was taken on.

    `slice` says in words which of its samples count, empty for all. `columns` hold one number a sample, in the file's
    order; a store keeps none of them.
    """

    score: str
    data: str
    columns: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    slice: str = ""
