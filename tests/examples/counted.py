"""greengate on a machine with a counter whose truth is known: real models, and so many joules an operation.

    python tests/examples/counted.py check ...

Everything is real but the windows of energy: they are run on the fake's clock, where a call of a network of n
multiply-accumulates draws n x batch size x JOULES and takes n x batch size x SECONDS.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import onnx

from greengate.budget import WorkerLimits
from greengate.cli import door
from greengate.profiler.backends import FORMATS, fake_meters
from greengate.profiler.backends import onnx as backend
from greengate.profiler.backends.fake_meters import Draw, FakeBench
from greengate.profiler.jobs import EnergyJob
from greengate.profiler.meters.bench import Energy

#: What one multiply-accumulate draws and takes.
JOULES, SECONDS = 20e-12, 50e-12

_run = backend.run
_opened: list[FakeBench] = []


def macs(path: str) -> int:
    """Return the multiply-accumulates of a network of dense layers: every weight is used once an item."""
    return sum(item.dims[0] * item.dims[1] for item in onnx.load(path).graph.initializer if len(item.dims) == 2)


@contextmanager
def meters(path: str, energy: Energy) -> Iterator[FakeBench]:
    """Open the one counter of this machine."""
    del path
    _opened.append(fake_meters.bench(Draw({"energy": 1.0}, 1.0), energy))
    try:
        yield _opened[-1]
    finally:
        _opened.pop()


def run(job: object, limits: WorkerLimits) -> object:
    """Run windows of energy on the fake's clock, all else for real."""
    if not isinstance(job, EnergyJob):
        return _run(job, limits)  # type: ignore[call-overload]
    each = {role: macs(path) * job.workload.batch_size for role, path in job.paths.items()}
    draws = {role: Draw({"energy": count * JOULES}, count * SECONDS) for role, count in each.items()}
    return fake_meters.run(draws, job, _opened[-1])


if __name__ == "__main__":
    sys.path.remove(str(Path(__file__).parent))
    backend.run, backend.meters = run, meters  # type: ignore[assignment]
    FORMATS["onnx"] = replace(FORMATS["onnx"], timed=False)  # nothing is timed, so no other trial need be waited for
    sys.exit(door.run())
