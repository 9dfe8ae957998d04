"""A CycloneDX 1.6 machine-learning bill of materials: one component a model, with its model card.

https://cyclonedx.org/docs/1.6/json/: energy goes into the considerations of the model card, in kWh and tCO2eq.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

from greengate.metrics import METRICS
from greengate.profile import Measurement, Missing
from greengate.report.exports.sheet import Sheet
from greengate.verdict_file import SI

_J_A_KWH = 3.6e6
_KG_A_TONNE = 1000.0
_PER = "per 1000 inferences"


def render(sheets: Sequence[Sheet]) -> str:
    """Write the bill of materials. The same numbers give the same text: its serial number is made from the digests."""
    digests = " ".join(sheet.model.digest for sheet in sheets)
    tool = {"type": "application", "name": "greengate", "version": sheets[0].greengate} if sheets else {}
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'urn:greengate:{digests}')}",
        "version": 1,
        "metadata": {
            **({"timestamp": sheets[0].created} if sheets else {}),
            "tools": {"components": [tool] if tool else []},
        },
        "components": [_component(sheet) for sheet in sheets],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _component(sheet: Sheet) -> dict[str, Any]:
    files = [
        {"type": "file", "name": file.path, "hashes": [{"alg": "SHA-256", "content": file.sha256}]}
        for file in sheet.model.files
    ]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"{sheet.model.name}@{sheet.model.digest}",
        "name": sheet.model.name,
        "version": sheet.model.digest,
        **({"hashes": files[0]["hashes"]} if len(files) == 1 else {"components": files}),
        "modelCard": {
            "modelParameters": {
                "inputs": [
                    {"format": f"{item.dtype} [{', '.join(map(str, item.shape))}] {item.name}"}
                    for item in sheet.workload.inputs
                ]
            },
            "quantitativeAnalysis": {
                "performanceMetrics": [_metric(name, found) for name, found in sheet.measured.items()]
            },
            "considerations": {"environmentalConsiderations": _environment(sheet)},
        },
        "properties": _properties(sheet),
    }


def _metric(name: str, found: Measurement) -> dict[str, Any]:
    unit = SI[METRICS[name].dimension]
    entry: dict[str, Any] = {"type": f"{name} ({unit}, {found.method})", "value": repr(found.value)}
    if found.interval is not None:
        bounds = {"lowerBound": repr(found.interval.low), "upperBound": repr(found.interval.high)}
        entry["confidenceInterval"] = bounds
    return entry


def _environment(sheet: Sheet) -> dict[str, Any]:
    """Return the energy of 1,000 inferences; where it was not measured, why."""
    energy, carbon = sheet.measurements.get("energy_per_1k"), sheet.measurements.get("co2e_per_1k")
    if not isinstance(energy, Measurement):
        reason = energy.reason if isinstance(energy, Missing) else "it was not asked for"
        return {"properties": [_property("energy_per_1k", f"not measured: {reason}")]}
    cost = {"value": energy.value / _J_A_KWH, "unit": "kWh"}
    entry: dict[str, Any] = {
        "activity": "inference",
        # Who supplied the power is not known to whoever measured it; the schema wants it said.
        "energyProviders": [
            {"organization": {"name": "unknown"}, "energySource": "unknown", "energyProvided": cost},
        ],
        "activityEnergyCost": cost,
        "properties": [_property("scope", _PER), _property("method", f"{energy.method} {energy.detail}".strip())],
    }
    if isinstance(carbon, Measurement):
        entry["co2CostEquivalent"] = {"value": carbon.value / _KG_A_TONNE, "unit": "tCO2eq"}
        entry["properties"].append(_property("co2e", carbon.detail or carbon.method))
    return {"energyConsumptions": [entry]}


def _properties(sheet: Sheet) -> list[dict[str, str]]:
    told = {
        "format": sheet.model.format,
        "hardware": f"{sheet.hardware.cpu} ({sheet.hardware.id})",
        "workload": f"batch size {sheet.workload.batch_size}, threads {sheet.workload.threads}",
        **{f"runtime:{name}": version for name, version in sheet.runtime.items()},
    }
    if sheet.status is not None:
        told["verdict"] = sheet.status.name.lower()
    return [_property(name, text) for name, text in told.items()]


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"greengate:{name}", "value": value}
