"""What models call their accuracies: a name, and which row of METRICS it has."""

from __future__ import annotations

from greengate.answers import Slice
from greengate.budget import AccuracySource
from greengate.budget_file.check import Findings, Value
from greengate.budget_file.scalars import quoted
from greengate.metrics import FAMILIES, METRICS
from greengate.yamlspan import Mapping, Node, Scalar, Sequence


def declared(document: Node) -> dict[str, str]:
    """Return the id of every accuracy that some model of a document names, by what rules may write for it.

    Read before anything is checked: which limits a rule may have depends on it. What is malformed is left out. Of two
    directions of one name the first counts; see find_clashes.
    """
    found: dict[str, str] = {}
    for model in _items(_get(document, "models")):
        for source in _items(_get(model, "accuracy")):
            name = _get(source, "name")
            if isinstance(name, Scalar) and isinstance(source, Mapping):
                id = _id(name.text, {key.text: one.text for key, one in source.pairs if isinstance(one, Scalar)})
                found.setdefault(name.text, id)
    return {name: id for name, id in found.items() if name not in METRICS}


def id_of(source: Value) -> str:
    """Return the metric that a checked source measures."""
    written = {key: one.text for key, one in source.content.items() if one is not None}
    return _id(written.get("name", ""), written)


def source_of(written: Value) -> AccuracySource:
    """Return a checked source as a noun."""
    plain = {key: one.content for key, one in written.content.items() if key not in ("name", "better", "ratio")}
    part = Slice(plain.pop("mask", ""), tuple(sorted({one.content for one in plain.pop("labels", ())})))
    return AccuracySource(plain, written.span, id_of(written), slice=part)


def find_clashes(model: Value, known: dict[str, Value], found: Findings) -> None:
    """Note accuracies that cannot be told apart: twice in one model, or a name with two meanings in the file."""
    listed = model.get("accuracy")
    own: dict[str, Value] = {}
    for source in [] if listed is None else listed.content:
        if source is None:
            continue
        id, name = id_of(source), source.get("name")
        if id in own:
            message = f"the model has two sources of {quoted(name.text if name else id)}"
            help_ = f"the first is in line {own[id].span.line}; give each a `name` of its own"
            found.note("duplicate-id", source.span, message, help_)
        own.setdefault(id, source)
        if name is None:
            continue
        first = known.setdefault(name.content, source)
        if name.content in METRICS and id != name.content:
            message = f"an accuracy cannot be called {quoted(name.content)}, which is a metric of its own"
            _, _, rest = name.content.partition(".")
            help_ = f"write `name: {rest}`, and `metric: {rest}` in rules" if rest else "give it another `name`"
            found.note("bad-value", name.span, message, help_)
        elif id_of(first) != id:
            message = f"{quoted(name.content)} is another kind of number here than in line {first.span.line}"
            found.note("bad-value", name.span, message, "give it another `name`, or the same `better` and `ratio`")


def _id(name: str, written: dict[str, str]) -> str:
    if written.get("metric") == "mse":
        written = {"better": "lower", "ratio": "false"}
    better = "lower" if written.get("better") == "lower" else "higher"
    family = FAMILIES[written.get("ratio", "").lower() != "false", better]
    return f"{family}.{name}" if name and name != family else family


def _get(node: Node | None, key: str) -> Node | None:
    return node.get(key) if isinstance(node, Mapping) else None


def _items(node: Node | None) -> list[Node]:
    if isinstance(node, Sequence):
        return list(node.items)
    return [] if node is None else [node]
