"""What would decide a limit that is open: more time, more samples, a second look, another machine."""

from __future__ import annotations

import math

from greengate import estimate, stats
from greengate.budget import Limit, Rule
from greengate.comparison import Change, Comparison
from greengate.judge.limits import ROUNDING, SHARE, fails, refused_estimate
from greengate.metrics import METRICS
from greengate.profile import Missing
from greengate.units import format_change
from greengate.verdict import Check, Status

#: Nobody waits longer than this for one rule, in seconds.
MOST_ADVISED = 3600.0

#: Nobody labels more samples than this for one rule.
MOST_SAMPLES = 10_000_000

_LOOK_AGAIN = "give it time for a second look with --max-seconds, or measure it again with this version"
_MORE_SAMPLES = "evaluate on more samples, or widen the limit"
_LONGER = "measure longer with --max-seconds, on a quieter machine, or widen the limit"
_DISTURBED = "stop what else runs on this machine, and measure again"
_NEAR = "the change is near the limit"
_TOO_NEAR = "the change is too near the limit to be told from it here, however long it takes"
_SIDE_BY_SIDE = (
    "have the baseline's model file at hand, committed or named by --against: measured side by side, smaller changes"
    " can be told"
)
#: What no more of the same launches decides.
_BY_BASIS = {"stored": _SIDE_BY_SIDE, "counted": "a counter would decide it, or a calibration that is less far off"}
_LOOK_AT_IT = "make sure that the model still works; then approve this candidate with `greengate approve`"


def next_step(check: Check, rule: Rule, comparison: Comparison) -> str:
    """Say what would decide a limit that is open, or how to close a gap; empty where nothing helps."""
    needed = comparison.candidate if check.limit.absolute else comparison.change
    if isinstance(needed, Missing):
        return needed.help
    if check.status is not Status.INCONCLUSIVE:
        return ""
    if check.limit.kind.startswith("suspicious"):
        return _LOOK_AT_IT
    if METRICS[rule.metric].kind == "declared":
        return samples_that_decide(check.limit, comparison) if isinstance(needed, Change) else _MORE_SAMPLES
    metered = METRICS[rule.metric].dimension in ("energy", "mass")
    if comparison.first is None and fails(check.limit, rule, comparison):
        return _LOOK_AGAIN.replace("--max-seconds", "--energy-seconds") if metered else _LOOK_AGAIN
    if refused_estimate(check.limit, rule, comparison):
        return "measure where a counter can be read; `greengate doctor` says what would make one usable"
    if isinstance(needed, Change) and needed.basis in _BY_BASIS:
        return _BY_BASIS[needed.basis]
    said = _more(check.limit, needed) if isinstance(needed, Change) and needed.basis == "paired" else _LONGER
    return said.replace("--max-seconds", "--energy-seconds") if metered else said


def samples_that_decide(limit: Limit, comparison: Comparison) -> str:
    """Say on how many samples a change like this one would be decided; empty where they are not known."""
    change, candidate = comparison.change, comparison.candidate
    if isinstance(change, Missing) or isinstance(candidate, Missing) or change.low == change.high:
        return ""
    half, room = (change.high - change.low) / 2, abs(change.value - limit.edge)
    # Intervals shrink with the square root of the number of samples.
    needed = candidate.samples * (half / max(room, ROUNDING)) ** 2
    if needed > MOST_SAMPLES:
        return "the change is too near what is asked to be told from it"
    place = 10 ** max(0, len(str(math.ceil(needed))) - 2)
    about = math.ceil(needed / place) * place
    return f"about {about:,} samples would decide it; these are {candidate.samples:,}"


def _more(limit: Limit, change: Change) -> str:
    """Say what would decide: which limits can be decided now, and how long this one would take, a second look too."""
    if change.noise is not None and change.noise.broken:
        return _DISTURBED
    half = (change.high - change.low) / 2
    floor = change.noise.floor if change.noise is not None else half
    decided = max(floor, half / SHARE)
    room = abs(change.value - limit.edge)
    # Both the limit and the room beside it ask for a narrower interval.
    ratio = max(1.0, decided / max(limit.value, ROUNDING), _longer(half, change.irreducible, room))
    loud = decided > limit.value
    now = f"limits above {format_change(decided)[1:]} can be decided here now" if loud else _NEAR
    launches = 1.2 * _launches(change.launches, ratio)
    seconds = change.seconds * launches / max(change.launches, 1) / estimate.FIRST_SHARE
    if not 0 < seconds <= MOST_ADVISED or launches > estimate.MOST_LAUNCHES:
        return f"{now}; this one is too near for more time to tell, or this machine too noisy" if loud else _TOO_NEAR
    wait = max(60, math.ceil(seconds / 30) * 30)
    return f"{now}; this one needs about {wait:,} s (--max-seconds) or a quieter machine"


def _launches(made: int, ratio: float) -> float:
    """Return how many launches have an interval so many times narrower than those that were made; inf for too many.

    Few launches are wide for Student's t as much as for their number.
    """
    if made < stats.MIN_LAUNCHES:
        return math.inf
    now = _width(made) / ratio
    return next((count for count in range(made, estimate.MOST_LAUNCHES + 1) if _width(count) <= now), math.inf)


def _width(launches: int) -> float:
    return stats.student_t((1 + estimate.COMPUTED) / 2, launches - 1) / math.sqrt(launches)


def _longer(half: float, irreducible: float, room: float) -> float:
    """Return by how much the part of a half-width that more launches narrow must shrink to fit into the room."""
    if room - irreducible < ROUNDING:
        return math.inf
    return math.sqrt(max(0.0, half**2 - irreducible**2) / (room**2 - irreducible**2))
