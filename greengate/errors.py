"""Exit codes, places in a user's file, and the one tree of errors."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from greengate.harmless import still, tame


class Exit(IntEnum):
    """What the process tells its caller; a published contract."""

    PASS = 0
    FAIL = 1
    CANNOT_START = 2
    INCONCLUSIVE = 3
    BUG = 70
    INTERRUPTED = 130


@dataclass(frozen=True)
class Span:
    """A place in a user's file; line and column count from 1, `source` is the whole line."""

    file: str
    line: int
    column: int = 1
    length: int = 1
    source: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


#: Every diagnostic code and what it means in one line; docs/diagnostics.md has a heading for each.
CODES: dict[str, str] = {
    # the file as text
    "unreadable-file": "a file is missing or cannot be read",
    "bad-encoding": "a file is not UTF-8 text",
    "bad-yaml": "the text is not valid YAML",
    "yaml-tab": "a tab is used for indentation",
    "duplicate-key": "a key stands twice in one mapping",
    "yaml-alias": "YAML anchors and aliases are not accepted",
    "yaml-tag": "YAML tags are not accepted",
    "yaml-documents": "a file holds more than one YAML document",
    "yaml-too-deep": "lists and mappings are nested too deeply",
    "yaml-too-large": "the file is larger than a budget can be",
    "empty-file": "a file has nothing in it",
    # the budget's shape
    "unknown-key": "a key is not part of the budget format",
    "missing-key": "a required key is absent",
    "wrong-type": "a value has the wrong type",
    "bad-value": "a value is outside what is allowed",
    "empty-budget": "the budget names no model or no rule",
    "unsupported-version": "the file's format version is not supported",
    # numbers and units
    "unknown-unit": "a unit does not measure what the metric measures",
    "missing-unit": "a number needs a unit",
    "bad-number": "a number cannot be read",
    "percent-of-ratio": "a percentage of a ratio is ambiguous",
    # rules
    "unknown-metric": "no metric has this name",
    "no-limit": "a rule sets no limit",
    "wrong-direction": "a limit points the wrong way for its metric",
    "contradictory-limits": "what a rule grants is tighter than the rule itself",
    "duplicate-id": "two rules or models share a name",
    "unmatched-selector": "a selector matches no model",
    "unknown-rule": "a rule id is not in the budget",
    "unknown-model": "a model is not in the budget",
    # shared policies
    "extends-unreadable": "a policy file that another extends cannot be read",
    "extends-circular": "policy files extend each other, or too many of them",
    "no-policy-tests": "no test of the policy was found",
    # whose policy binds
    "policy-unreadable": "the policy of the target branch cannot be read",
    "policy-removed": "a change deletes or renames several budgets",
    "signing-failed": "an approval cannot be signed",
    "not-approvable": "there is nothing in the verdict that could be approved",
    # models
    "model-missing": "a model file does not exist",
    "model-empty": "a model file is empty",
    "model-not-onnx": "a file is not an ONNX model",
    "model-lfs-pointer": "a file is a Git LFS pointer, not the model",
    "model-truncated": "a model file is cut short or damaged",
    "model-invalid": "a model breaks the rules of its format",
    "model-unsupported": "the runtime cannot run this model",
    "model-format": "no backend reads files of this kind",
    "model-pickle": "a file is a pickle that could run code",
    "extra-missing": "a package that this kind of model needs is not installed",
    "code-failed": "the code that makes a model fails, or makes none",
    "export-failed": "a model cannot be exported to ONNX",
    "weights-mismatch": "weights do not fit the model",
    "external-data-missing": "a model's external data file is missing or too short",
    "external-data-escapes": "a model's external data lies outside its folder",
    "input-open": "a model's input is not fully described",
    "input-mismatch": "a described input does not fit the model",
    "recorded-data": "recorded input data cannot be used",
    "batch-mismatch": "the batch size does not fit the model's inputs",
    "training-record": "a training record cannot be used",
    "accuracy-source": "a model's accuracy cannot be had from where the budget says",
    # baselines and profiles
    "baseline-scheme": "a baseline URI has an unknown scheme",
    "baseline-missing": "a named baseline does not exist",
    "baseline-damaged": "a stored baseline cannot be read",
    "not-accepted": "a version needs a passing verdict or a reason",
    "registry-failed": "a model registry does not answer or refuses",
    "profile-invalid": "a file is not a greengate profile, trial or verdict",
    "calibration-invalid": "a calibration of energy cannot be read",
    "cannot-calibrate": "a calibration of energy cannot be made here, or of these models",
    "profile-mismatch": "profiles do not belong together",
    "profile-of-change": "a request brings the numbers that it would be judged by",
    "verdict-altered": "a verdict says something else than what follows from its case",
    "verdict-missing": "there is no verdict to explain",
    # running
    "usage": "the command line is wrong",
    "already-exists": "a file would be overwritten",
    "report-format": "no report has this name",
    "cannot-write": "a file cannot be written",
    "no-models-found": "no model was found below the folder",
    "git-failed": "git could not do what was asked",
    # pull and merge requests
    "untrusted-event": "models are not loaded where a job holds secrets",
    "untrusted-report": "a report does not belong where it was to be posted",
    "forge-unreachable": "the forge cannot be reached",
    "forge-refused": "the forge refuses what was asked",
}

#: Columns of a source line that a message shows.
_SHOWN = 160


@dataclass(frozen=True)
class Diagnostic:
    """One finding about the user's input: what is wrong, where, and what to do next."""

    code: str
    message: str
    help: str = ""
    span: Span | None = None
    severity: Literal["error", "warning"] = "error"

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"diagnostic code {self.code!r} is not in CODES")

    def __str__(self) -> str:
        """Render as `error[code]: message`, the place with its source line, and the next step; one line each.

        Names of models, files and tensors are a stranger's: none breaks a line, steers a terminal or is a command.
        """
        lines = [f"{self.severity}[{self.code}]: {tame(self.message)}"]
        if self.span is not None:
            lines.append(f"  --> {tame(str(self.span))}")
            if self.span.source:
                number = str(self.span.line)
                pad = " " * len(number)
                shown, marks = _excerpt(self.span)
                lines += [f" {pad} |", f" {number} | {shown}", f" {pad} | {marks}"]
        if self.help:
            lines.append(f"  = help: {tame(self.help)}")
        return "\n".join(lines)


def _excerpt(span: Span) -> tuple[str, str]:
    """Return the span's source line and the line of marks below it, both cut to what a screen holds."""
    start = max(0, span.column - 1 - _SHOWN // 2) if len(span.source) > _SHOWN else 0
    shown = still(span.source[start : start + _SHOWN].replace("\t", " ")).replace("##[", "##\N{REPLACEMENT CHARACTER}")
    column = span.column - 1 - start
    marks = "^" * max(1, min(span.length, len(shown) - column))
    return shown, " " * column + marks


class GreengateError(Exception):
    """The gate cannot start or go on; carries every diagnostic found, worst first. Exit 2."""

    exit = Exit.CANNOT_START

    def __init__(self, *diagnostics: Diagnostic) -> None:
        if not diagnostics:
            raise ValueError("an error needs at least one diagnostic")
        super().__init__("\n\n".join(str(item) for item in diagnostics))
        self.diagnostics = diagnostics


class BudgetError(GreengateError):
    """The budget file cannot be used."""


class ModelError(GreengateError):
    """A model is missing, unreadable or cannot be fed."""


class BaselineError(GreengateError):
    """A baseline is missing or unreadable."""


class ReportError(GreengateError):
    """A report, profile or baseline cannot be written."""
