"""Emissions of inferences: energy x a pinned intensity x PUE. Nothing is looked up, nothing is guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from greengate.budget import Carbon
from greengate.comparison import Comparison
from greengate.profile import Interval, Measurement, Missing
from greengate.units import format_quantity
from greengate.verdict import ModelCase

#: What emissions are derived from, and their own name.
ENERGY, EMISSIONS = "energy_per_1k", "co2e_per_1k"

_NO_INTENSITY = Missing(
    "the budget names no grid intensity",
    "failed",
    "add `carbon: {country: FRA}`, or `carbon: {intensity: 56 g/kWh, source: ..., year: ...}`",
)


def emitted(case: ModelCase, carbon: Carbon | None) -> ModelCase:
    """Return a model's case with the emissions of its inferences, and their SCI-style figure among the notes."""
    comparisons = derived(case.comparisons, carbon)
    return replace(case, comparisons=comparisons, notes=(*case.notes, *sci_note(comparisons, carbon)))


def derived(comparisons: Mapping[str, Comparison], carbon: Carbon | None) -> Mapping[str, Comparison]:
    """Return comparisons with the emissions in them: those of energy, scaled; their change is energy's own."""
    energy = comparisons.get(ENERGY)
    if energy is None:
        return comparisons
    if carbon is None and isinstance(energy.candidate, Measurement):
        return {**comparisons, EMISSIONS: Comparison(EMISSIONS, _NO_INTENSITY, _NO_INTENSITY, _NO_INTENSITY)}
    if carbon is None:
        return {**comparisons, EMISSIONS: replace(energy, metric=EMISSIONS)}
    first = energy.first
    if first is not None:
        first = replace(first, candidate=_emitted(first.candidate, carbon))
    found = replace(
        energy,
        metric=EMISSIONS,
        baseline=_emitted(energy.baseline, carbon),
        candidate=_emitted(energy.candidate, carbon),
        first=first,
    )
    return {**comparisons, EMISSIONS: found}


def _emitted(energy: Measurement | Missing, carbon: Carbon) -> Measurement | Missing:
    if isinstance(energy, Missing):
        return energy
    factor = carbon.intensity * carbon.pue
    interval = energy.interval
    if interval is not None:
        interval = Interval(interval.low * factor, interval.high * factor, interval.confidence)
    detail = f"{energy.detail} x {carbon.source}" + (f" x PUE {carbon.pue:g}" if carbon.pue != 1 else "")
    return replace(energy, value=energy.value * factor, interval=interval, detail=detail)


def sci_note(comparisons: Mapping[str, Comparison], carbon: Carbon | None) -> tuple[str, ...]:
    """Say the candidate's SCI-style figure: ISO/IEC 21031's (E x I + M) per R, operational part only, R an inference.

    Nothing is known of what making the device emitted, so M is left out and said to be.
    """
    found = comparisons.get(EMISSIONS)
    if carbon is None or found is None or isinstance(found.candidate, Missing):
        return ()
    each = format_quantity(found.candidate.value / 1000, "mass")
    mark = "\u2248 " if found.candidate.method == "estimated" else ""
    return (
        f"SCI-style score, operational only (no embodied part), per inference: {mark}{each} CO2e, "
        f"at {format_quantity(carbon.intensity, 'intensity')} x PUE {carbon.pue:g}: {carbon.source}",
    )
