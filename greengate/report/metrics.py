"""Every number of the candidates as OpenMetrics text, so plain that GitLab's metrics report reads it too.

GitLab splits a line as a shell would and drops what follows `#`, so labels hold neither spaces nor quotes nor signs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from greengate.metrics import METRICS, family_of, name_of, ordered
from greengate.profile import Measurement
from greengate.verdict import Verdict
from greengate.verdict_file import SI

_PLAIN = re.compile(r"[^A-Za-z0-9_.:/-]+")


def render(verdict: Verdict) -> str:
    """Write one gauge a metric, one sample a model, in SI units; what is missing has no sample."""
    lines = [line for metric in METRICS for line in _family(verdict, metric)]
    return "\n".join([*lines, *_statuses(verdict), "# EOF"]) + "\n"


def _family(verdict: Verdict, metric: str) -> Iterator[str]:
    samples = [
        f"greengate_{metric}{{{_labels(model.name, one)}}} {found.value:.12g}"
        for model in verdict.case.models
        for one in ordered(model.comparisons)
        if family_of(one) == metric and isinstance(found := model.comparisons[one].candidate, Measurement)
    ]
    if samples:
        row = METRICS[metric]
        yield f"# HELP greengate_{metric} {row.title} of the candidate, in {SI[row.dimension]}: {row.about}."
        yield f"# TYPE greengate_{metric} gauge"
        yield from samples


def _statuses(verdict: Verdict) -> Iterator[str]:
    yield "# HELP greengate_status The verdict: 0 PASS, 1 TRADED, 2 DEFERRED, 3 WAIVED, 4 WARN, 5 INCONCLUSIVE, 6 FAIL."
    yield "# TYPE greengate_status gauge"
    yield f"greengate_status {int(verdict.status)}"


def _labels(model: str, metric: str) -> str:
    named = "" if metric == family_of(metric) else f',name="{_label(name_of(metric))}"'
    return f'model="{_label(model)}"{named}'


def _label(name: str) -> str:
    return _PLAIN.sub("_", name)
