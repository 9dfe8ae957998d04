"""Profiles and trials as JSON files: `greengate.profile/1` and `greengate.trial/1`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NoReturn

from greengate import codec
from greengate.errors import Diagnostic, GreengateError, Span
from greengate.profile import Missing, Profile, Trial

_NOUNS: dict[str, type[Profile] | type[Trial]] = {"profile": Profile, "trial": Trial}
_VERSION = 1
_SCHEMA = re.compile(r"greengate\.([a-z]+)/([0-9]{1,9})")
_LONGEST_LINE = 200
_REMEASURE = "write it again with `greengate profile MODEL -o FILE`"


def dump_profile(profile: Profile) -> str:
    """Return a profile as the text of its file. Raises codec.CodecError for a number that is not finite."""
    return dump("greengate.profile/1", codec.encode(profile))


def dump_trial(trial: Trial) -> str:
    """Return a trial as the text of its file. Raises codec.CodecError for a number that is not finite."""
    return dump("greengate.trial/1", codec.encode(trial))


def dump(schema: str, fields: dict[str, Any]) -> str:
    """Return JSON with the schema first; indented, but a list of plain values, and a layer, stands on one line."""
    return _text({"schema": schema, **fields}, "") + "\n"


def read(path: Path) -> Profile | Trial:
    """Read a profile or trial from a file. Raises GreengateError `profile-invalid` or `unreadable-file`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"cannot read {str(path)!r}: {error.strerror or error}"
        raise GreengateError(Diagnostic("unreadable-file", message, "check the path")) from error
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        _refuse(f"{path}: is not UTF-8 text", _REMEASURE, error)
    return load(text, str(path))


def load(text: str, shown: str) -> Profile | Trial:
    """Build a profile or trial from the text of a file that messages call `shown`.

    Raises GreengateError `profile-invalid` with the place of a syntax error, or the path of a field that does
    not fit, like `$.model.files[0].size`.
    """
    value = parse(text, shown)
    kind = _NOUNS[_kind(value, shown)]
    fields = {key: item for key, item in value.items() if key != "schema"}
    try:
        return _measured(codec.decode(kind, fields))
    except (codec.CodecError, OverflowError) as error:
        _refuse(f"{shown}: {error}", _REMEASURE, error)


def _measured(found: Profile | Trial) -> Profile | Trial:
    """Let through what somebody measured: of that, nothing was left out as unchanged. Raises codec.CodecError."""
    for profile in (found,) if isinstance(found, Profile) else (found.baseline, found.candidate):
        for metric, one in profile.measurements.items():
            if isinstance(one, Missing) and one.kind == "unchanged":
                raise codec.CodecError(f"$.measurements.{metric}.kind", "what was measured is never `unchanged`")
    return found


def parse(text: str, shown: str) -> dict[str, Any]:
    """Return the object a JSON text holds, strictly: no duplicate names, no number that is not finite.

    Raises GreengateError `profile-invalid`.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)
    except json.JSONDecodeError as error:
        span = _span(text, shown, error)
        raise GreengateError(
            Diagnostic("profile-invalid", f"not valid JSON: {error.msg[:1].lower()}{error.msg[1:]}", _REMEASURE, span)
        ) from error
    except RecursionError as error:
        _refuse(f"{shown}: is nested too deeply", _REMEASURE, error)
    except ValueError as error:
        _refuse(f"{shown}: {error}", _REMEASURE, error)
    if not isinstance(value, dict):
        _refuse(f"{shown}: $: expected an object", _REMEASURE)
    return value


def _kind(value: dict[str, Any], shown: str) -> str:
    schema = value.get("schema")
    match = _SCHEMA.fullmatch(schema) if isinstance(schema, str) else None
    if match is None:
        was = "is missing" if schema is None else f"{schema!r} is not a greengate format"
        _refuse(f"{shown}: $.schema: {was}", "name a file written by `greengate profile`")
    if match[1] not in _NOUNS:
        help = "name a file written by `greengate profile`; for a folder of stored versions write `dir:FOLDER`"
        _refuse(f"{shown}: holds a {match[1]}, not a profile or a trial", help)
    if int(match[2]) != _VERSION:
        help = f"update greengate: this one reads greengate.{match[1]}/{_VERSION}"
        _refuse(f"{shown}: $.schema: {schema!r} is not a version this greengate knows", help)
    return match[1]


def _refuse(message: str, help: str, cause: Exception | None = None) -> NoReturn:
    raise GreengateError(Diagnostic("profile-invalid", message, help)) from cause


def _span(text: str, shown: str, error: json.JSONDecodeError) -> Span:
    line = text.split("\n")[error.lineno - 1].rstrip("\r")
    return Span(shown, error.lineno, error.colno, source=line if len(line) <= _LONGEST_LINE else "")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} stands twice in one object")
        found[key] = value
    return found


def _finite(text: str) -> float:
    value = float(text)
    if value - value != 0:
        raise ValueError(f"{text} is not a finite number")
    return value


def _text(value: object, pad: str) -> str:
    inner = pad + "  "
    if isinstance(value, dict) and value:
        lines = [f"{inner}{_line(key)}: {_field(key, item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{pad}}}"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return "[\n" + ",\n".join(f"{inner}{_text(item, inner)}" for item in value) + f"\n{pad}]"
    return _line(value)


def _field(key: str, value: object, pad: str) -> str:
    """Write a field; layers, of which there can be many thousands, one a line and without their zeros."""
    if key != "layers" or not isinstance(value, list) or not value:
        return _text(value, pad)
    lines = [_line({name: item for name, item in layer.items() if item != 0 or name == "macs"}) for layer in value]
    return "[\n" + ",\n".join(f"{pad}  {line}" for line in lines) + f"\n{pad}]"


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
