"""What a formula is, and the sums that many of them share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from greengate.profiler.operations.trace import Executed, NotUnderstood

#: A node's attributes; None where the node behind an execution cannot be told. The value of a small integer constant
#: that is fed to input 2 stands under "input 2".
Attributes = Mapping[str, Any] | None

#: What one execution computes. Raises NotUnderstood.
Formula = Callable[[Executed, Attributes], int]


def told(attributes: Attributes) -> Mapping[str, Any]:
    """Return attributes that a formula cannot do without. Raises NotUnderstood."""
    if attributes is None:
        raise NotUnderstood("attributes that cannot be told")
    return attributes


def elements(node: Executed, _: Attributes = None) -> int:
    """Return the elements of the first output."""
    return math.prod(node.output(0))


def biased(position: int) -> Formula:
    """One addition per output element where a bias is given as input `position`."""
    return lambda node, _: elements(node) if node.given(position) is not None else 0


def nothing(_: Executed, __: Attributes) -> int:
    """No element-wise work beside the multiply-accumulates."""
    return 0
