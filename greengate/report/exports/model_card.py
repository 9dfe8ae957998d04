"""The metadata of a Hugging Face model card: YAML between two lines of dashes, to stand above a README.

https://huggingface.co/docs/hub/model-cards-co2 and the model-index of
https://huggingface.co/docs/hub/model-cards#evaluation-results. Scalars are written as JSON, which is YAML.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from greengate.metrics import METRICS
from greengate.profile import Measurement, Missing
from greengate.report.exports.sheet import Sheet
from greengate.verdict_file import SI


def render(sheets: Sequence[Sheet]) -> str:
    """Write the metadata of one model; of several, one block each."""
    return "\n".join("\n".join(_card(sheet)) for sheet in sheets) + "\n"


def _card(sheet: Sheet) -> Iterator[str]:
    yield "---"
    yield from _emissions(sheet)
    yield "model-index:"
    yield f"- name: {_text(sheet.model.name)}"
    yield "  results:"
    yield "  - task: {type: other, name: efficiency of inference}"
    yield f"    dataset: {{type: other, name: {_text(f'fed inputs {sheet.workload.feed}')}}}"
    yield "    metrics:"
    for name, found in sheet.measured.items():
        row = METRICS[name]
        title = f"{row.title} ({SI[row.dimension]}, {found.method})"
        yield f"    - {{type: {name}, value: {found.value!r}, name: {_text(title)}}}"
    yield "---"


def _emissions(sheet: Sheet) -> Iterator[str]:
    """Give the grams of 1,000 inferences, and say in the same breath that they are not those of training."""
    carbon = sheet.measurements.get("co2e_per_1k")
    if not isinstance(carbon, Measurement):
        reason = carbon.reason if isinstance(carbon, Missing) else "it was not asked for"
        yield f"# co2_eq_emissions: not measured: {' '.join(reason.split())}"
        return
    how = f"greengate {sheet.greengate}, {carbon.method}; of 1,000 inferences, not of training"
    yield "co2_eq_emissions:"
    yield f"  emissions: {carbon.value * 1000!r}"
    yield f"  source: {_text(' '.join(f'{how}; {carbon.detail}'.split()).rstrip('; '))}"
    yield '  training_type: "none: inference"'
    yield f"  hardware_used: {_text(sheet.hardware.cpu)}"


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
