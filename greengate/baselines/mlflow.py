"""`mlflow:models:/NAME@ALIAS`: the version that is deployed, by alias, number or stage."""

from __future__ import annotations

from pathlib import Path

from greengate import files, profile_file
from greengate.baselines import Found, Request, registry
from greengate.errors import BaselineError, Diagnostic
from greengate.profile import Missing, Profile, Trial
from greengate.verdict import BaselineRef

#: What `greengate publish` logs of a profile.
PROFILE = "profile.json"


def find(rest: str, request: Request) -> Found | Missing:
    """Return the version's model file, and the profile that was published with it where there is one.

    Raises BaselineError `baseline-missing`, `registry-failed`.
    """
    address = registry.address(rest)
    for path in map(Path.absolute, registry.local()):
        if request.at(str(path)) != path:
            message = f"the registry of {address} is a file of the repository, which the change may have altered"
            help = "name a server in MLFLOW_TRACKING_URI, or keep the registry outside of the checkout"
            raise BaselineError(Diagnostic("registry-failed", message, help))
    one = registry.entry(address)
    profile = profile_of(one, request.scratch)
    artifact = _model(registry.model_files(one, request.scratch), request.path, profile)
    about = f"version {one.version} of {one.name} in the registry"
    ref = BaselineRef(f"mlflow:{rest}", about, profile.model.digest if profile else None, int(one.version))
    if artifact is None and profile is None:
        help = f"register a model file that ends in {request.path.suffix!r}, or name a file with `--against file:PATH`"
        return Missing(f"no baseline: {about} holds no file like {request.path.name}", "incomparable", help)
    return Found(ref, artifact, profile)


def profile_of(one: registry.Entry, scratch: Path) -> Profile | None:
    """Return the profile published with a version; None where there is none. Raises GreengateError."""
    text = registry.logged_text(one, PROFILE, scratch)
    if text is None:
        return None
    found = profile_file.load(text, f"models:/{one.name}/{one.version}: {PROFILE}")
    return found.candidate if isinstance(found, Trial) else found


def _model(at: Path, wanted: Path, profile: Profile | None) -> Path | None:
    """Return the model among a version's files: of the candidate's name, else the only one of its kind."""
    if at.is_file():
        found = [at] if at.suffix == wanted.suffix else []
    else:
        alike = sorted(path for path in at.rglob(f"*{wanted.suffix}") if path.is_file())
        found = [path for path in alike if path.name == wanted.name] or alike
    if len(found) != 1:
        return None
    if profile is not None and profile.model.files and files.sha256(found[0]) != profile.model.files[0].sha256:
        message = f"{found[0].name} in the registry is not the file whose numbers were published with it"
        raise BaselineError(Diagnostic("baseline-damaged", message, "publish the version again"))
    return found[0]
