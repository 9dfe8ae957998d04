"""What the gate's own run takes: seconds, and what the whole machine draws meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from greengate.carbon.drawn import Drawn, Watch
from greengate.profile import Measurement, Missing
from greengate.profiler.metering import none_here
from greengate.profiler.meters import Absent
from greengate.profiler.meters.bench import Energy, discover, stood_for
from greengate.profiler.meters.cputime import WATTS
from greengate.verdict import Cost


@contextmanager
def watched(energy: Energy) -> Iterator[Callable[[], Cost | None]]:
    """Follow the machine's counters and the external log; what is yielded ends that and returns the cost.

    Where nothing counts the processor, its energy is missing, or told from processor time where `energy` estimates;
    what boards counted is added to that.
    """
    begun = time.monotonic()
    meters, absent = discover(replace(energy, estimates=False))
    modelled = energy.estimates and not any(one.kind in ("cpu", "system") for _, domains in meters for one in domains)
    busy = _processor_time()
    watch = Watch(meters, stood_for(absent) if modelled else absent)
    told: list[Cost] = []

    def cost() -> Cost:
        if not told:
            drawn = watch.stop()
            energy = _estimated(drawn, _processor_time() - busy) if modelled else _counted(drawn, absent)
            told.append(Cost(round(time.monotonic() - begun, 3), energy))
        return told[0]

    try:
        yield cost
    finally:
        cost()


def _counted(drawn: Drawn, absent: Sequence[Absent]) -> Measurement | Missing:
    if drawn.joules is None or drawn.method is None:
        return Missing("; ".join(drawn.lost)) if drawn.lost else none_here(absent)
    made_of = " + ".join(one.id for one in drawn.parts)
    return Measurement(drawn.joules, drawn.method, detail=f"the whole machine: {made_of}")


def _processor_time() -> float:
    """Return seconds that this process and those it waited for were busy."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def _estimated(drawn: Drawn, busy: float) -> Measurement | Missing:
    """Return the processor's energy by its time, and what boards counted beside it."""
    if drawn.lost:
        return Missing("; ".join(drawn.lost))
    made_of = [f"processor time of the run x {WATTS:g} W a busy thread", *(one.id for one in drawn.domains)]
    joules = busy * WATTS + sum(one.joules for one in drawn.domains)
    return Measurement(joules, "estimated", detail=" + ".join(made_of))
