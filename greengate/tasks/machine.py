"""`greengate hardware`: what this machine is, what of it decides whether numbers compare, and what else is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata

from greengate import codec
from greengate.differences import hardware_difference
from greengate.profile import Gpu, Hardware, Missing
from greengate.profile_file import dump
from greengate.profiler import boards, hardware
from greengate.units import format_quantity

_WIDTH = 17
#: Packages whose version changes measurements.
LIBRARIES = ("onnxruntime", "onnx", "torch", "numpy", "nvidia-ml-py")


def described(against: Hardware | None = None) -> str:
    """Return the identity of this machine, line by line, and what it differs in from another."""
    here = hardware.this_machine()
    identity = {
        "id": here.id,
        "cpu": here.cpu,
        "architecture": here.architecture,
        "cores": str(here.cores),
        "CPU limit": "none" if here.cpu_share is None else f"{here.cpu_share:g} cores",
        "extensions": " ".join(here.extensions) or "none known",
    }
    beside = {
        "memory": format_quantity(here.memory, "bytes"),
        "kernel": here.system,
        **here.facts,
        **dict(libraries()),
    }
    lines = [
        *(f"{name.ljust(_WIDTH)}{text}" for name, text in identity.items()),
        "",
        "not part of the id:",
        *(f"{name.ljust(_WIDTH)}{text}" for name, text in beside.items()),
        *(f"{'note'.ljust(_WIDTH)}{note}" for note in here.notes),
        "",
        *_boards(here),
    ]
    if against is not None:
        difference = hardware_difference(against, here)
        lines += ["", difference or "stored numbers made on that machine compare with numbers made here"]
    return "\n".join(lines)


def as_json() -> str:
    """Return this machine, with all its boards, as JSON; a board that does not answer is in its notes."""
    here, found = hardware.this_machine(), boards.boards()
    each = () if isinstance(found, Missing) else found
    notes = (*here.notes, *(one.reason for one in each if isinstance(one, Missing)))
    whole = replace(here, gpus=tuple(one for one in each if isinstance(one, Gpu)), notes=notes)
    fields = {"id": here.id, **codec.encode(whole), "libraries": dict(libraries())}
    return dump("greengate.hardware/1", fields)


def libraries() -> Iterator[tuple[str, str]]:
    """Yield the installed ones of LIBRARIES with their versions, importing none."""
    for name in LIBRARIES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue


def _boards(here: Hardware) -> Iterator[str]:
    found = boards.boards()
    if isinstance(found, Missing):
        yield f"{'GPU'.ljust(_WIDTH)}none found: {found.reason}"
        return
    for gpu in found:
        if isinstance(gpu, Missing):
            yield f"{'GPU'.ljust(_WIDTH)}not told: {gpu.reason}; {gpu.help}"
            continue
        partition = f", MIG {gpu.partition}" if gpu.partition else ""
        limit = f", {gpu.power_limit:g} W" if gpu.power_limit else ""
        yield f"{'GPU'.ljust(_WIDTH)}{gpu.name}, {format_quantity(gpu.memory, 'bytes')}{limit}{partition}"
        yield from (f"  {name.ljust(18)} {text}" for name, text in gpu.facts.items())
    if first := next((gpu for gpu in found if isinstance(gpu, Gpu)), None):
        yield f"a model that runs on the first of them has the id {replace(here, gpus=(first,)).id}"
