"""Einstein summation over any number of operands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from greengate.profiler.operations.formulas.kinds import Attributes, told
from greengate.profiler.operations.trace import Executed, NotUnderstood, Shape

_Sizes = dict[str, int]


def einsum(node: Executed, attributes: Attributes) -> int:
    """MACs of Einsum: operands are joined from left to right, as the runtime does, two at a time.

    Joining two operands costs the product of all index sizes that take part, where at least one of them is summed;
    a join that sums nothing is element-wise. An index of one operand alone that nothing later needs is summed before
    the join and takes no part. A letter twice in one term is its diagonal. ONNX operator Einsum.
    """
    return _walk(node, attributes)[0]


def beside_einsum(node: Executed, attributes: Attributes) -> int:
    """Element-wise work of Einsum: joins that sum nothing (1 per element), and sums of one operand alone."""
    return _walk(node, attributes)[1]


def _walk(node: Executed, attributes: Attributes) -> tuple[int, int]:
    """Return MACs and element-wise operations."""
    equation = told(attributes).get("equation")
    if equation is None:
        raise NotUnderstood("an equation that cannot be told")
    shapes = [node.input(position) for position in range(len(node.inputs))]
    terms, result = _read(equation, shapes)
    sizes = _sizes(terms, shapes, equation)
    current, macs, beside = dict.fromkeys(terms[0]), 0, 0
    for position, term in enumerate(terms[1:], 1):
        later = {letter for rest in terms[position + 1 :] for letter in rest} | set(result)
        left, right = list(current), list(dict.fromkeys(term))
        kept_left = [letter for letter in left if letter in later or letter in right]
        kept_right = [letter for letter in right if letter in later or letter in left]
        beside += _volume(left, sizes) if kept_left != left else 0
        beside += _volume(right, sizes) if kept_right != right else 0
        joined = dict.fromkeys(kept_left + kept_right)
        volume = _volume(joined, sizes)
        current = dict.fromkeys(letter for letter in joined if letter in later)
        if len(current) < len(joined):
            macs += volume
        else:
            beside += volume
    if len(terms) == 1 and set(current) - set(result):
        beside += _volume(current, sizes)
    return macs, beside


def _volume(letters: Sequence[str] | Mapping[str, None], sizes: Mapping[str, int]) -> int:
    return math.prod(sizes[letter] for letter in letters)


def _read(equation: str, shapes: Sequence[Shape]) -> tuple[list[str], str]:
    """Return one term an operand and the result; dimensions behind `...` get digits, counted from the right."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise NotUnderstood(f"the equation {equation!r} for {len(shapes)} operands")
    spread = max(
        (len(shape) - len(term.replace("...", "")) for term, shape in zip(terms, shapes, strict=True)), default=0
    )
    if spread > 9 or (spread > 0 and "..." not in left) or any(letter.isdigit() for letter in equation):
        raise NotUnderstood(f"the equation {equation!r}")
    digits = "987654321"[-spread:] if spread > 0 else ""
    if not arrow:
        letters = left.replace(",", "").replace("...", "")
        result = ("..." if "..." in left else "") + "".join(sorted(x for x in set(letters) if letters.count(x) == 1))

    def spelled(term: str, rank: int) -> str:
        count = rank - len(term.replace("...", ""))
        return term.replace("...", digits[len(digits) - count :] if count else "")

    named = [spelled(term, len(shape)) for term, shape in zip(terms, shapes, strict=True)]
    return named, result.replace("...", digits)


def _sizes(terms: Sequence[str], shapes: Sequence[Shape], equation: str) -> _Sizes:
    """Return the size of every index; 1 broadcasts."""
    sizes: _Sizes = {}
    for term, shape in zip(terms, shapes, strict=True):
        if len(term) != len(shape):
            raise NotUnderstood(f"the equation {equation!r}")
        for letter, size in zip(term, shape, strict=True):
            sizes[letter] = size if sizes.get(letter, 1) == 1 else sizes[letter]
    return sizes
