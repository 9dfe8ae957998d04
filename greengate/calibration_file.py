"""Calibrations as JSON files: `greengate.calibration/1`."""

from __future__ import annotations

from pathlib import Path

from greengate import codec, files
from greengate.calibration import Calibration, flaw
from greengate.errors import Diagnostic, GreengateError, Span
from greengate.profile_file import dump as _dump
from greengate.profile_file import parse

SCHEMA = "greengate.calibration/1"
_LARGEST = 8 << 20
_HELP = "write one with `greengate calibrate` on a machine that counts energy"


def dump(calibration: Calibration) -> str:
    """Return a calibration as the text of its file. Raises codec.CodecError for a number that is not finite."""
    return _dump(SCHEMA, codec.encode(calibration))


def read(path: Path, shown: str, span: Span | None = None) -> Calibration:
    """Read the calibration that a budget names at `span`. Raises GreengateError `calibration-invalid`."""
    try:
        fields = parse(files.read_small(path, _LARGEST).decode("utf-8"), shown)
        if (schema := fields.pop("schema", None)) != SCHEMA:
            raise ValueError(f"$.schema: {schema!r} is not {SCHEMA!r}")
        found: Calibration = codec.decode(Calibration, fields)
        if why := flaw(found):
            raise ValueError(why)
        return found
    except OSError as error:
        raise _invalid(f"cannot read {shown!r}: {error.strerror or error}", span) from error
    except GreengateError as error:
        raise _invalid(f"{shown}: {error.diagnostics[0].message}", span) from error
    except (codec.CodecError, ValueError, OverflowError) as error:
        raise _invalid(f"{shown}: {error}", span) from error


def _invalid(message: str, span: Span | None) -> GreengateError:
    return GreengateError(Diagnostic("calibration-invalid", message, _HELP, span))
