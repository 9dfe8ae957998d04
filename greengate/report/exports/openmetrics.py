"""OpenMetrics text, for a Prometheus textfile collector or a GitLab metrics report.

https://prometheus.io/docs/specs/om/open_metrics_spec/: one family a metric, its unit in its name, `# EOF` at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from greengate.metrics import METRICS, family_of, name_of
from greengate.profile import Measurement
from greengate.report.exports.sheet import Sheet
from greengate.units import Dimension
from greengate.verdict import Status

#: The unit in a family's name, and how many of them one SI unit is.
_UNITS: dict[Dimension, tuple[str, float]] = {
    "bytes": ("bytes", 1.0),
    "time": ("seconds", 1.0),
    "energy": ("joules", 1.0),
    "mass": ("grams", 1000.0),
    "ratio": ("ratio", 1.0),
}


def render(sheets: Sequence[Sheet]) -> str:
    """Write every number with its interval, the status of each model, and what it was made on."""
    lines = [line for metric in METRICS for line in _family(metric, sheets)]
    lines += _info(sheets)
    lines += _status([sheet for sheet in sheets if sheet.status is not None])
    return "\n".join([*lines, "# EOF"]) + "\n"


def _family(metric: str, sheets: Sequence[Sheet]) -> Iterator[str]:
    row = METRICS[metric]
    unit, factor = _UNITS.get(row.dimension, ("", 1.0))
    measured = [
        (sheet, one, found) for sheet in sheets for one, found in sheet.measured.items() if family_of(one) == metric
    ]
    if not measured:
        return
    values = [(sheet, _about(one, found), found.value * factor) for sheet, one, found in measured]
    yield from _samples(_name(metric, "", unit), unit, f"{row.title}: {row.about}", values)
    for end in ("low", "high"):
        ends = [
            (sheet, _about(one, found), getattr(found.interval, end) * factor)
            for sheet, one, found in measured
            if found.interval is not None
        ]
        if ends:
            yield from _samples(_name(metric, end, unit), unit, f"{row.title}: {end} end of its interval", ends)


def _name(metric: str, end: str, unit: str) -> str:
    return "_".join(word for word in ("greengate", metric, end, unit) if word)


def _about(metric: str, found: Measurement) -> dict[str, str]:
    """Return the labels that tell samples of one family apart: two accuracies of a model by their names."""
    named = {} if metric == family_of(metric) else {"name": name_of(metric)}
    return {"method": found.method, **named}


def _samples(name: str, unit: str, about: str, values: Sequence[tuple[Sheet, dict[str, str], float]]) -> Iterator[str]:
    yield f"# TYPE {name} gauge"
    if unit:
        yield f"# UNIT {name} {unit}"
    yield f"# HELP {name} {_escaped(about)}."
    for sheet, labels, value in values:
        yield f"{name}{_labels(sheet, **labels)} {value!r}"


def _info(sheets: Sequence[Sheet]) -> Iterator[str]:
    if sheets:
        yield "# TYPE greengate_model info"
        yield "# HELP greengate_model What was measured, and on what."
    for sheet in sheets:
        more = {"digest": sheet.model.digest, "format": sheet.model.format, "architecture": sheet.hardware.architecture}
        yield f"greengate_model_info{_labels(sheet, **more)} 1"


def _status(sheets: Sequence[Sheet]) -> Iterator[str]:
    if sheets:
        yield "# TYPE greengate_status stateset"
        yield "# HELP greengate_status How the model was judged."
    for sheet in sheets:
        for status in Status:
            labels = _labels(sheet, greengate_status=status.name.lower())
            yield f"greengate_status{labels} {int(sheet.status is status)}"


def _labels(sheet: Sheet, **more: str) -> str:
    labels = {"model": sheet.model.name, "hardware": sheet.hardware.id, **more}
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items()) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
