"""Which elements of two sequences belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

Pairs = list[tuple[int, int]]

#: Comparing in order costs up to the product of both lengths; beyond it only equality counts.
_MOST_COMPARED = 1_000_000


def in_order(before: Sequence[int], after: Sequence[int]) -> Pairs:
    """Pair equal elements, positions rising on both sides, like a comparison of two texts line by line.

    Sequences too long for that are paired by equality alone: the first of a kind with the first, and so on.
    """
    start, end = 0, 0
    shorter = min(len(before), len(after))
    while start < shorter and before[start] == after[start]:
        start += 1
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    pairs = [(index, index) for index in range(start)]
    left, right = before[start : len(before) - end], after[start : len(after) - end]
    if not left or not right:
        inner: Pairs = []
    elif len(left) * len(right) <= _MOST_COMPARED:
        blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
        inner = [(block.a + step, block.b + step) for block in blocks for step in range(block.size)]
    else:
        inner = by_kind(left, right)
    pairs += [(start + one, start + other) for one, other in inner]
    return pairs + [(len(before) - back, len(after) - back) for back in range(end, 0, -1)]


def by_kind(before: Sequence[int], after: Sequence[int]) -> Pairs:
    """Pair the first of a kind with the first of that kind, the second with the second, wherever they stand."""
    waiting: dict[int, list[int]] = defaultdict(list)
    for index in range(len(after) - 1, -1, -1):
        waiting[after[index]].append(index)
    return [(index, waiting[kind].pop()) for index, kind in enumerate(before) if waiting.get(kind)]


def unpaired(length: int, taken: set[int]) -> list[int]:
    """Return the positions of a sequence that no pair has taken."""
    return [index for index in range(length) if index not in taken]


def alike(before: Sequence[int], after: Sequence[int]) -> Pairs:
    """Pair equal elements in order, then those that are left wherever they stand."""
    pairs = in_order(before, after)
    return pairs + _among_the_rest(pairs, before, after, by_kind)


def closest(exact: tuple[Sequence[int], Sequence[int]], rough: tuple[Sequence[int], Sequence[int]]) -> Pairs:
    """Pair elements that are exactly alike, then, in order, those that are roughly alike: (before, after) of each."""
    pairs = alike(*exact)
    return pairs + _among_the_rest(pairs, *rough, in_order)


def _among_the_rest(
    pairs: Pairs, before: Sequence[int], after: Sequence[int], matched: Callable[[Sequence[int], Sequence[int]], Pairs]
) -> Pairs:
    if len(pairs) == min(len(before), len(after)):
        return []
    left = unpaired(len(before), {one for one, _ in pairs})
    right = unpaired(len(after), {other for _, other in pairs})
    found = matched([before[index] for index in left], [after[index] for index in right])
    return [(left[one], right[other]) for one, other in found]
