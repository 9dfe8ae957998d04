"""One model's exact metrics: counted once, in a worker of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from greengate import __version__, estimate
from greengate.budget import WorkerLimits
from greengate.errors import Diagnostic, ModelError, Span
from greengate.metrics import METRICS, SIMULATED
from greengate.profile import Missing, Model, Profile, Workload, WorkloadSpec, digest_files
from greengate.profiler import isolation
from greengate.profiler.backends import format_of
from greengate.profiler.jobs import CountJob, Refused, WorkerFailed
from greengate.recipe import NO_RECIPE, Recipe

#: Why there is no metric of text where the budget asks for none.
UNASKED = Missing(
    "the budget does not say what text the model is to generate",
    "unsupported",
    "add `generate: {prompt_tokens: 128, new_tokens: 64}` to the model, if it is a language model",
)

#: Slow metrics, where nobody asked for their numbers.
_UNCOUNTED = dict.fromkeys(
    SIMULATED, Missing("no rule names it", "skipped", "measure it with `greengate profile --instructions`")
)


@dataclass(frozen=True)
class Subject:
    """A model to be measured: `path` on disk, `shown` as the user wrote it, `span` where they wrote it.

    `lenient` as in jobs.CountJob.
    """

    name: str
    path: str
    shown: str
    workload: WorkloadSpec
    span: Span | None = None
    lenient: bool = False
    recipe: Recipe = NO_RECIPE


def count(subject: Subject, limits: WorkerLimits, created: str) -> Profile:
    """Take every exact metric of one model in a worker of its own.

    Returns a profile whose noisy metrics are Missing. Raises ModelError when the model or its inputs are at fault.
    A worker that broke gives a profile whose exact metrics are Missing with the reason.
    """
    try:
        backend = format_of(subject.path).load()
        counted = backend.run(CountJob(subject.path, subject.workload, subject.lenient, subject.recipe), limits)
    except Refused as refusal:
        raise refused(refusal, subject) from refusal
    except WorkerFailed as failure:
        return _broken(subject, failure, created)
    spec = subject.workload
    digest = digest_files(counted.files) if counted.files else ""  # never one of nothing: it would not tell changes
    left_out = Missing("only exact metrics were measured", "skipped", "measure it without --static-only")
    noisy = {**dict.fromkeys(estimate.ESTIMATORS, counted.unrun or left_out), **_unasked(spec)}
    return Profile(
        model=Model(subject.name, subject.shown, format_of(subject.path).name, digest, counted.files),
        hardware=replace(backend.hardware(), gpus=counted.gpus),
        workload=replace(_asked(spec), inputs=counted.inputs, feed=counted.feed, settings=counted.settings),
        runtime=counted.runtime,
        measurements={**counted.measurements, **_UNCOUNTED, **noisy},
        created=created,
        greengate=__version__,
        notes=counted.notes,
        layers=counted.layers,
    )


def _unasked(spec: WorkloadSpec) -> Mapping[str, Missing]:
    """Return the metrics of text, where the workload asks for none."""
    return dict.fromkeys(estimate.GENERATED, UNASKED) if spec.generate is None else {}


def _asked(spec: WorkloadSpec) -> Workload:
    return Workload(spec.batch_size, spec.threads, spec.seed, (), "", spec.precision or "as stored")


def unrun(counted: Profile) -> Missing | None:
    """Return why a counted model cannot be run here; None where it can be tried."""
    latency = counted.measurements.get("latency_p50")
    return latency if isinstance(latency, Missing) and latency.kind != "skipped" else None


def untimed(counted: Profile) -> Profile:
    """Say of a baseline that runs why it was not timed."""
    if unrun(counted) is not None:
        return counted
    missing = Missing("the candidate gives nothing to time it beside", "incomparable")
    return replace(counted, measurements={**counted.measurements, **dict.fromkeys(estimate.ESTIMATORS, missing)})


def count_all(subjects: Sequence[Subject], limits: WorkerLimits, created: str) -> tuple[Profile | ModelError, ...]:
    """Count several models, two at a time: exact metrics do not mind a neighbour. Answers in the order of subjects.

    Where one runs on a board, one at a time: two that fit there each need not fit together.
    """

    def one(subject: Subject) -> Profile | ModelError:
        try:
            return count(subject, limits, created)
        except ModelError as error:
            return error

    if len(subjects) == 1:
        return (one(subjects[0]),)
    from concurrent.futures import ThreadPoolExecutor

    try:
        boards = any(subject.workload.device != "cpu" for subject in subjects)
        with ThreadPoolExecutor(1 if boards else 2) as pool, isolation.all_or_nothing():
            return tuple(pool.map(one, subjects))
    finally:
        isolation.go_on()


def refused(refusal: Refused, subject: Subject) -> ModelError:
    """Return a backend's refusal as an error at the user's line."""
    # Backends know the absolute path; the user knows what they wrote.
    message, help_ = (text.replace(subject.path, subject.shown) for text in (refusal.message, refusal.help))
    return ModelError(Diagnostic(refusal.code, message, help_, subject.span))


def _broken(subject: Subject, failure: WorkerFailed, created: str) -> Profile:
    spec = subject.workload
    backend = format_of(subject.path).load()
    missing = Missing(failure.reason, "failed", failure.help)
    return Profile(
        model=Model(subject.name, subject.shown, format_of(subject.path).name, "", ()),
        hardware=backend.hardware(),
        workload=_asked(spec),
        runtime={},
        measurements={
            **{name: missing for name, metric in METRICS.items() if metric.measured},
            **_UNCOUNTED,
            **_unasked(spec),
        },
        created=created,
        greengate=__version__,
    )
