"""`greengate publish`: what was measured and judged, onto a version in a model registry."""

from __future__ import annotations

from pathlib import Path

from greengate import files, profile_file, verdict_file
from greengate.baselines import mlflow, registry
from greengate.errors import Diagnostic, GreengateError
from greengate.profile import Profile
from greengate.report import REPORTS
from greengate.report.exports.sheet import Sheet, of_verdict
from greengate.tasks import record
from greengate.units import format_quantity
from greengate.verdict import Verdict


def publish(source: str | None, budget: str, model: str | None, to: str) -> str:
    """Publish one model of a verdict, by default the last one of the budget's folder; return what was published where.

    Raises GreengateError `unknown-model`, `usage`, `profile-mismatch`, BaselineError `baseline-missing`,
    `registry-failed`; then no version is tagged.
    """
    scheme, _, rest = to.partition(":")
    if scheme != "mlflow":
        raise GreengateError(
            Diagnostic("usage", f"{to!r} is no registry", "write mlflow:models:/NAME or …/NAME/VERSION")
        )
    verdict = record.last(source, budget)
    sheet = _chosen(of_verdict(verdict), model)
    # `mlflow` alone means the registered model of the same name.
    target = registry.address(rest or f"models:/{sheet.model.name}")
    new = target.version is None and target.alias is None
    what = publication(verdict, sheet, _at_hand(sheet, Path(verdict.case.budget.path).parent) if new else {})
    done = registry.publish(what, target)
    verb = "registered" if new else "tagged"
    status = "not judged" if sheet.status is None else sheet.status.name
    return f"{verb} models:/{done.name}/{done.version}: {sheet.model.name}, {status}, {len(what.metrics)} numbers"


def publication(verdict: Verdict, sheet: Sheet, model_files: dict[str, Path]) -> registry.Publication:
    """Return what is logged of a model; values in SI units."""
    status = "not judged" if sheet.status is None else sheet.status.name.lower()
    numbers = {metric: found.value for metric, found in sheet.measured.items()}
    profile = Profile(
        sheet.model,
        sheet.hardware,
        sheet.workload,
        sheet.runtime,
        sheet.measurements,
        sheet.created,
        sheet.greengate,
    )
    return registry.Publication(
        metrics={f"greengate.{metric}": value for metric, value in numbers.items()},
        params={
            "hardware": sheet.hardware.id,
            "cpu": sheet.hardware.cpu,
            "memory": format_quantity(sheet.hardware.memory, "bytes"),
            "batch_size": str(sheet.workload.batch_size),
            "threads": str(sheet.workload.threads),
            **{f"runtime.{name}": version for name, version in sheet.runtime.items()},
        },
        tags={
            **{f"greengate.{metric}": repr(value) for metric, value in numbers.items()},
            "greengate.digest": sheet.model.digest,
            "greengate.hardware": sheet.hardware.id,
            "greengate.verdict": status,
        },
        texts={
            mlflow.PROFILE: profile_file.dump_profile(profile),
            "verdict.json": verdict_file.dump(verdict),
            "report.md": REPORTS["markdown"](verdict),
        },
        files=model_files,
    )


def _chosen(sheets: tuple[Sheet, ...], model: str | None) -> Sheet:
    names = ", ".join(sheet.model.name for sheet in sheets) or "none"
    found = [sheet for sheet in sheets if model in (None, sheet.model.name)]
    if len(found) == 1:
        return found[0]
    if model is None and found:
        raise GreengateError(Diagnostic("usage", f"{len(found)} models were measured", f"say which: {names}"))
    help = f"there is {names}"
    raise GreengateError(Diagnostic("unknown-model", f"nothing measured is called {model or 'anything'!r}", help))


def _at_hand(sheet: Sheet, folder: Path) -> dict[str, Path]:
    """Return the model's files, which must still be those that were measured."""
    for base in (folder, Path()):
        place = (base / sheet.model.path).parent
        found = {file.path: place / file.path for file in sheet.model.files}
        if found and all(
            path.is_file() and files.sha256(path) == file.sha256
            for path, file in zip(found.values(), sheet.model.files, strict=True)
        ):
            return found
    message = f"{sheet.model.path} is not at hand as it was measured, so that it cannot be registered"
    help = "check it again, or name the version that holds it: mlflow:models:/NAME/VERSION"
    raise GreengateError(Diagnostic("profile-mismatch", message, help))
