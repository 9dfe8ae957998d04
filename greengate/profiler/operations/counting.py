"""From a trace to MACs: every executed node is counted, known to be free, or named as not understood."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from greengate.profiler.operations.formulas import FORMULAS, Attributes, NotUnderstood
from greengate.profiler.operations.free import FREE
from greengate.profiler.operations.trace import Executed


@dataclass(frozen=True)
class Declared:
    """One node of the graph as stored: what the trace does not tell. The standard domain is the empty text."""

    op: str
    domain: str
    name: str
    attributes: Attributes


@dataclass(frozen=True)
class Count:
    """MACs of one call, executions counted and free, and every operator not understood with its executions."""

    macs: int
    counted: int
    free: int
    unknown: Mapping[str, int]


def count(executed: Iterable[Executed], declared: Iterable[Declared]) -> Count:
    """Sum the MACs of what ran. The sum is of no use while `unknown` is not empty."""
    index = _Index(declared)
    macs = counted = free = 0
    unknown: Counter[str] = Counter()
    for node in executed:
        try:
            domain, attributes = index.find(node)
            key = (domain, node.op)
            if key in FREE:
                free += 1
            elif key in FORMULAS:
                macs += FORMULAS[key](node, attributes)
                counted += 1
            else:
                raise NotUnderstood("")
        except NotUnderstood as reason:
            named = index.title(node.op)
            unknown[f"{named} ({reason})" if str(reason) else named] += 1
    return Count(macs, counted, free, unknown)


class _Index:
    """Finds the stored node behind an executed one: by name where that is unique, else by operator."""

    def __init__(self, declared: Iterable[Declared]) -> None:
        self.named: dict[tuple[str, str], list[Declared]] = {}
        self.ops: dict[str, list[Declared]] = {}
        for node in declared:
            self.named.setdefault((node.op, node.name), []).append(node)
            self.ops.setdefault(node.op, []).append(node)

    def find(self, node: Executed) -> tuple[str, Attributes]:
        """Return domain and attributes. Raises NotUnderstood where stored nodes disagree about the domain.

        The runtime names nodes that have no name, and renames those of functions; it unfolds some operators into
        standard ones. Attributes are None unless all candidates agree on them.
        """
        found = self.named.get((node.op, node.name)) or self.ops.get(node.op, [])
        domains = {item.domain for item in found} or {""}
        if len(domains) > 1:
            raise NotUnderstood(f"in the domains {', '.join(sorted(domain or 'ai.onnx' for domain in domains))}")
        agreed = (
            found[0].attributes if found and all(item.attributes == found[0].attributes for item in found) else None
        )
        return domains.pop(), agreed

    def title(self, op: str) -> str:
        """Return an operator's name with its domain, where it is not the standard one."""
        domains = {item.domain for item in self.ops.get(op, ()) if item.domain}
        return f"{domains.pop()}.{op}" if len(domains) == 1 else op
