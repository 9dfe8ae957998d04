"""From a trace to numbers: every executed node is counted, known to be free, or named as not understood."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from greengate.profiler.operations.formulas import (
    BESIDE,
    FORMULAS,
    PARTLY_QUANTISED,
    QUANTISED,
    Attributes,
    Formula,
    NotUnderstood,
)
from greengate.profiler.operations.free import FREE
from greengate.profiler.operations.stored import MICROSOFT, Declared
from greengate.profiler.operations.trace import Executed

_INT8_ACCUMULATION = 4


@dataclass(frozen=True)
class Line:
    """What one node did in all its executions. `bytes` are of its outputs, of the largest execution.

    `macs` and `elementwise` are None where they are not understood; `narrow` is the part of `macs` that multiplies
    numbers of 8 bits or fewer. `stored` is None where several stored nodes, or none, can be behind it.
    """

    op: str
    name: str
    macs: int | None
    elementwise: int | None
    bytes: int
    narrow: int
    stored: Declared | None


@dataclass(frozen=True)
class Count:
    """What one call computes.

    `counted` and `free` are executions. `unknown` names every operator not understood with its executions: while it
    is not empty, `macs` is of no use. `unweighed` does the same for `elementwise`. `operators` are the kinds that ran.
    `quantised` is the part of `macs` that multiplies numbers of 8 bits or fewer.
    """

    macs: int
    counted: int
    free: int
    unknown: Mapping[str, int]
    elementwise: int = 0
    unweighed: Mapping[str, int] = field(default_factory=dict)
    quantised: int = 0
    operators: int = 0
    understood: int = 0
    lines: tuple[Line, ...] = ()

    @property
    def coverage(self) -> str:
        """How many kinds of operator were understood, as a reader sees it."""
        return f"{self.understood} of {self.operators} operators understood"


def count(
    executed: Iterable[Executed] | Mapping[Executed, int],
    declared: Iterable[Declared],
    narrowed: frozenset[str] = frozenset(),
) -> Count:
    """Sum what ran. `narrowed` names nodes that an optimised run executes in 8 bits or fewer."""
    index, tally = _Index(declared), _Tally()
    times = executed if isinstance(executed, Mapping) else Counter(executed)
    for node, often in times.items():
        one = index.find(node, often)
        macs = tally.understand(one)
        elementwise = None if macs is None else tally.weigh(one)
        narrow = _narrow(one, narrowed, macs) * often if macs else 0
        stored = one.stored[0] if len(one.stored) == 1 else None
        tally.put(Line(node.op, node.name, _times(macs, often), _times(elementwise, often), node.bytes, narrow, stored))
    return tally.done()


def _times(value: int | None, often: int) -> int | None:
    return None if value is None else value * often


@dataclass(frozen=True)
class _Found:
    """An executed node with all stored ones that it can be; `domain` is None where they disagree about it."""

    node: Executed
    often: int
    stored: list[Declared]
    domain: str | None

    @property
    def key(self) -> tuple[str, str]:
        """Its row in the tables; that of no operator where its domain cannot be told."""
        return "in several domains" if self.domain is None else self.domain, self.node.op

    @property
    def title(self) -> str:
        """Its name with its domain, where that is not the standard one."""
        return f"{self.domain}.{self.node.op}" if self.domain else self.node.op

    def macs(self) -> int:
        """Return the MACs of one execution. Raises NotUnderstood."""
        if self.key in FREE:
            return 0
        if self.domain is None:
            raise NotUnderstood("in several domains")
        if self.key not in FORMULAS:
            raise NotUnderstood("")
        return _agreed(FORMULAS[self.key], self.node, self.stored)

    def elementwise(self) -> int:
        """Return the element-wise operations of one execution. Raises NotUnderstood."""
        return _agreed(BESIDE.get(self.key) or FREE[self.key], self.node, self.stored)


class _Index:
    """Finds the stored nodes that can be behind an executed one."""

    def __init__(self, declared: Iterable[Declared]) -> None:
        self.named: dict[tuple[str, str], list[Declared]] = {}
        self.inlined: dict[str, list[Declared]] = {}
        self.domains: dict[str, set[str]] = {}
        for node in declared:
            self.named.setdefault((node.op, node.name), []).append(node)
            self.domains.setdefault(node.op, set()).add(node.domain)
            if node.inlined:
                self.inlined.setdefault(node.op, []).append(node)

    def find(self, node: Executed, often: int) -> _Found:
        """Return every stored node that the runtime may have run under this name, and their domain.

        Nodes keep their names; those of functions get others, and those without a name are numbered, which can meet
        the number of another graph's. A node that the runtime made by itself has none.
        """
        found = self.named.get((node.op, node.name), [])
        inlined = self.inlined.get(node.op, [])
        numbered = node.name.rpartition("_")[0] == node.op
        if inlined and (numbered or not found):
            found = [*found, *(item for item in inlined if item not in found)]
        return _Found(node, often, found, self._domain(node.op, found))

    def _domain(self, op: str, found: list[Declared]) -> str | None:
        domains = {item.domain for item in found} or self.domains.get(op, set())
        if not domains:
            own, standard = ((domain, op) in FORMULAS or (domain, op) in FREE for domain in (MICROSOFT, ""))
            return MICROSOFT if own and not standard else ""
        return next(iter(domains)) if len(domains) == 1 else None


class _Tally:
    """The sums, while they grow."""

    def __init__(self) -> None:
        self.unknown: Counter[str] = Counter()
        self.unweighed: Counter[str] = Counter()
        self.kinds: dict[tuple[str, str], bool] = {}
        self.lines: dict[tuple[str, str], Line] = {}
        self.counted = self.free = 0

    def understand(self, one: _Found) -> int | None:
        """Return the MACs of one execution; None, and its name kept, where they are not understood."""
        try:
            macs = one.macs()
        except NotUnderstood as reason:
            self.unknown[f"{one.title} ({reason})" if str(reason) else one.title] += one.often
            self.kinds[one.key] = False
            return None
        self.kinds.setdefault(one.key, True)
        self.counted += one.often if one.key in FORMULAS else 0
        self.free += one.often if one.key in FREE else 0
        return macs

    def weigh(self, one: _Found) -> int | None:
        """Return the element-wise operations of one execution; None, and its name kept, where they are not told."""
        try:
            return one.elementwise()
        except NotUnderstood as reason:
            self.unweighed[f"{one.title} ({reason})"] += one.often
            return None

    def put(self, line: Line) -> None:
        """Add what a node did in executions of one shape."""
        old = self.lines.get((line.op, line.name))
        self.lines[line.op, line.name] = line if old is None else _joined(old, line)

    def done(self) -> Count:
        """Return the sums."""
        lines = tuple(self.lines.values())
        return Count(
            macs=sum(line.macs or 0 for line in lines),
            counted=self.counted,
            free=self.free,
            unknown=self.unknown,
            elementwise=sum(line.elementwise or 0 for line in lines),
            unweighed=self.unweighed,
            quantised=sum(line.narrow for line in lines),
            operators=len(self.kinds),
            understood=sum(self.kinds.values()),
            lines=lines,
        )


def _joined(old: Line, new: Line) -> Line:
    def total(left: int | None, right: int | None) -> int | None:
        return None if left is None or right is None else left + right

    return replace(
        old,
        macs=total(old.macs, new.macs),
        elementwise=total(old.elementwise, new.elementwise),
        bytes=max(old.bytes, new.bytes),
        narrow=old.narrow + new.narrow,
    )


def _agreed(formula: Formula, node: Executed, found: list[Declared]) -> int:
    """Apply a formula with the attributes of every stored node it can be. Raises NotUnderstood unless they agree."""
    if not found:
        return _applied(formula, node, None)
    results = {_applied(formula, _aligned(node, item), item.attributes) for item in found}
    if len(results) > 1:
        raise NotUnderstood("nodes that cannot be told apart")
    return results.pop()


def _applied(formula: Formula, node: Executed, attributes: Attributes) -> int:
    try:
        return formula(node, attributes)
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise NotUnderstood("shapes that its formula does not fit") from error


def _aligned(node: Executed, item: Declared) -> Executed:
    """Put the shapes at the positions of the inputs that are given: the runtime lists them without gaps."""
    if all(item.given):
        return node
    if sum(item.given) != len(node.inputs):
        return replace(node, inputs=())
    shapes = iter(node.inputs)
    return replace(node, inputs=tuple(next(shapes) if given else None for given in item.given))


def _narrow(one: _Found, narrowed: frozenset[str], macs: int) -> int:
    """Return how many MACs of one execution multiply numbers of 8 bits or fewer: some, all or none of its `macs`.

    That is told by its operator, or by an optimised run. Weights of few bits are restored to floats, unless the model
    asks for products of 8 bits (accuracy_level 4).
    """
    if one.key in PARTLY_QUANTISED:
        return _agreed(PARTLY_QUANTISED[one.key], one.node, one.stored)
    if one.key == (MICROSOFT, "MatMulNBits"):
        narrow = any((item.attributes or {}).get("accuracy_level", 0) == _INT8_ACCUMULATION for item in one.stored)
    else:
        narrow = one.key in QUANTISED or one.node.name in narrowed
    return macs if narrow else 0
