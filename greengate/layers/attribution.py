"""Where a change comes from: the modules that hold most of it, few enough to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from greengate.comparison import Change, Comparison, Contribution
from greengate.layers.kernels import attribute_kernels
from greengate.layers.matching import Match, match
from greengate.layers.paths import Path, family, level_of, written
from greengate.profile import Layer, Measurement, Profile

#: Lines a reader takes in, the rest among them.
MOST = 5
#: The share of a module's change that one part must hold for the part to be named instead of the module.
CONCENTRATED = 2 / 3
#: Shares of the whole below which a module is not looked into, and is not named.
LIGHT, NEGLIGIBLE = 0.1, 0.01
#: Where names bring less than this share together, layers are told by operator.
SPREAD = 0.5
#: Siblings that differ only by number and changed each in its own way are told one by one up to here.
FEW = 4

#: A count beyond this is nonsense.
MEASURABLE = 10**200

#: What each exact metric sums over layers, with the factor between the two; for macs and flops also per item.
_AMOUNTS: Mapping[str, tuple[str, int]] = {
    "macs": ("macs", 1),
    "flops": ("macs", 2),
    "params": ("params", 1),
    "size": ("weight_bytes", 1),
    "activation_memory": ("activation_bytes", 1),
}


def attribute(baseline: Profile, candidate: Profile, comparisons: Mapping[str, Comparison]) -> Mapping[str, Comparison]:
    """Say for every exact metric that changed which layers it comes from, or which functions where those were counted.

    Nothing is said where a side's layers are not known or one of them could not be counted.
    """
    found = attribute_kernels(baseline, candidate, comparisons)
    differences = {metric: _difference(found[metric]) for metric in _AMOUNTS if metric in found}
    changed = {metric: value for metric, value in differences.items() if value}
    if not (changed and baseline.layers and candidate.layers):
        return found
    matches = match(baseline.layers, candidate.layers)
    for metric, total in changed.items():
        amount, factor = _AMOUNTS[metric]
        per = candidate.workload.batch_size if amount == "macs" else 1
        peak = amount == "activation_bytes"
        where = _contributions(_entries(matches, amount), factor / per, None if peak else total)
        # A peak is no sum: it can rise by at most as much as layers put out more.
        if not peak or _explains(sum(one.delta for one in where), total):
            found[metric] = replace(found[metric], where=where)
    return found


def attribution(baseline: Sequence[Layer], candidate: Sequence[Layer], metric: str) -> tuple[Contribution, ...]:
    """Return what the difference between two models' layers is made of, per call, largest first.

    The contributions sum to the difference; () where there is none, or a layer's MACs are not known.
    """
    amount, factor = _AMOUNTS[metric]
    return _contributions(_entries(match(baseline, candidate), amount), float(factor), None)


def _explains(output: float, peak: float) -> bool:
    return output >= peak if peak > 0 else output <= peak


def _difference(compared: Comparison) -> float:
    before, after = compared.baseline, compared.candidate
    if not (isinstance(before, Measurement) and isinstance(after, Measurement) and isinstance(compared.change, Change)):
        return 0.0
    return after.value - before.value


@dataclass(frozen=True)
class _Entry:
    """A layer that changed, by how much, and how deep the module is that one model lacks; 0 where neither does."""

    path: Path
    op: str
    delta: int
    kind: Literal["changed", "added", "removed"]
    whole: int


@dataclass(frozen=True)
class _Group:
    """Entries that are told together: their paths agree up to `depth`, numbers of siblings aside."""

    depth: int
    entries: tuple[_Entry, ...]

    @cached_property
    def weight(self) -> int:
        """How much changed, ups and downs alike."""
        return sum(abs(entry.delta) for entry in self.entries)

    @cached_property
    def delta(self) -> int:
        """What is left of the ups and downs."""
        return sum(entry.delta for entry in self.entries)

    @property
    def kind(self) -> Literal["changed", "added", "removed"]:
        """Whether the group is of whole modules that one model lacks."""
        kinds = {entry.kind for entry in self.entries}
        if len(kinds) > 1 or any(entry.whole > self.depth for entry in self.entries):
            return "changed"
        return kinds.pop()

    @property
    def path(self) -> str:
        """The path with numbers folded."""
        levels = [level_of(entry.path[deep] for entry in self.entries) for deep in range(self.depth)]
        return written(levels)

    def parts(self, stages: bool) -> list[_Group]:
        """Split one level deeper; `stages`: also siblings that differ only by number, where they are few and unlike."""
        found: dict[tuple[str, str] | None, list[_Entry]] = {}
        for entry in self.entries:
            deeper = len(entry.path) > self.depth
            found.setdefault(self._key(entry) if deeper else None, []).append(entry)
        whole = found.pop(None, [])
        parts = [
            _Group(self.depth + 1, tuple(part))
            for siblings in found.values()
            for part in _by_number(siblings, self.depth, stages)
        ]
        return parts + [_Group(self.depth, tuple(whole))] * bool(whole)

    def _key(self, entry: _Entry) -> tuple[str, str]:
        """Return what entries of one part share: siblings that are new, or lost, are told apart from those of both."""
        kind = entry.kind if entry.whole == self.depth + 1 else "changed"
        return family(entry.path[self.depth])[0], kind


def _by_number(siblings: list[_Entry], depth: int, stages: bool) -> Iterable[list[_Entry]]:
    """Take the sibling apart from the others that changed most of all, or each where they are a few and unlike."""
    each: dict[str, list[_Entry]] = {}
    for entry in siblings:
        each.setdefault(entry.path[depth], []).append(entry)
    if len(each) == 1:
        return [siblings]
    weights = {name: sum(abs(entry.delta) for entry in found) for name, found in each.items()}
    first = max(weights, key=lambda name: weights[name])
    if stages and len(each) <= FEW and len({sum(entry.delta for entry in found) for found in each.values()}) > 1:
        return each.values()
    if weights[first] >= CONCENTRATED * sum(weights.values()):
        return [each.pop(first), [entry for found in each.values() for entry in found]]
    return [siblings]


def _entries(matches: Iterable[Match], amount: str) -> tuple[_Entry, ...] | None:
    """Return the layers that changed; None where a layer's amount is not known."""
    entries = []
    for one in matches:
        old, new = _amount(one.before, amount), _amount(one.after, amount)
        if old is None or new is None:
            return None
        if old != new:
            entries.append(_Entry(one.path, one.op, new - old, one.kind, one.whole))
    return tuple(entries)


def _contributions(entries: tuple[_Entry, ...] | None, factor: float, total: float | None) -> tuple[Contribution, ...]:
    """Name the groups; what they leave of `total`, or of all layers' difference, is a last one without a path."""
    if entries is None:
        return ()
    everything = _Group(0, entries)
    difference = everything.delta * factor if total is None else total
    if not difference:
        return ()
    groups = _groups(everything) if entries else []
    named = _most(groups)
    if _changed(named) < SPREAD * _changed(groups):
        # Names that group nothing tell less than what the layers do.
        named = _most(_groups(_Group(0, tuple(map(_by_operator, entries)))))
    told = [(group.path, group.delta * factor, group.kind) for group in named]
    rest = difference - sum(delta for _, delta, _ in told)
    if rest and len(told) == MOST:
        told, rest = told[:-1], rest + told[-1][1]
    found = [Contribution(path, delta, delta / difference, kind) for path, delta, kind in told]
    return (*found, Contribution("", rest, rest / difference)) if rest else tuple(found)


def _by_operator(entry: _Entry) -> _Entry:
    return replace(entry, path=(entry.op, entry.path[-1]), whole=min(entry.whole, 1))


def _changed(groups: Iterable[_Group]) -> int:
    return sum(abs(group.delta) for group in groups)


def _most(groups: list[_Group]) -> list[_Group]:
    """Return the groups to name, largest difference first; those that are negligible are not."""
    least = max(1, NEGLIGIBLE * _changed(groups))
    named = sorted((one for one in groups if abs(one.delta) >= least), key=lambda one: (-abs(one.delta), one.path))
    return named if len(named) <= MOST else named[: MOST - 1]


def _amount(layer: Layer | None, amount: str) -> int | None:
    found: int | None = 0 if layer is None else getattr(layer, amount)
    # Layers come from files, too: what no float can hold is not known.
    return found if found is not None and abs(found) < MEASURABLE else None


def _groups(everything: _Group) -> list[_Group]:
    """Split by module: once at least, then only where most of a module's change is in one part of it."""
    done: list[_Group] = []
    todo = [everything]
    branched = False
    while todo:
        group = todo.pop()
        parts = [] if _is_told_whole(group) else group.parts(stages=not branched)
        if len(parts) == 1 and _says_more(group, parts[0]):
            todo.append(parts[0])
        elif len(parts) > 1 and _is_worth(group, parts, everything, branched):
            branched = True
            todo += parts
        else:
            done.append(group)
    return done


def _is_told_whole(group: _Group) -> bool:
    """Tell whether no part is worth a name: one model lacks the whole module, or nodes took the place of others."""
    if group.depth == 0:
        return False
    replaced = {entry.kind for entry in group.entries} == {"added", "removed"}
    return group.kind != "changed" or (replaced and all(len(entry.path) == group.depth + 1 for entry in group.entries))


def _is_worth(group: _Group, parts: list[_Group], everything: _Group, branched: bool) -> bool:
    """Tell whether naming the parts says more than naming the module: never where all changed alike.

    Modules that are new or lost are told apart from their siblings.
    """
    if not branched:
        return group.depth == 0 or len({part.delta for part in parts}) > 1
    if group.weight < LIGHT * everything.weight:
        return False
    is_apart = len({part.kind for part in parts}) > 1 and len(parts) <= FEW
    return is_apart or max(part.weight for part in parts) >= CONCENTRATED * group.weight


def _says_more(group: _Group, part: _Group) -> bool:
    """Tell whether the only part is deeper, and more than a node named after its operator."""
    if part.depth == group.depth:
        return False
    return group.depth == 0 or any(
        len(entry.path) > part.depth or family(entry.path[-1])[0] != entry.op for entry in part.entries
    )
