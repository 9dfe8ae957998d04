"""Approvals as files, `greengate.approval/1`: written, signed with ssh-keygen, read back, verified."""

from __future__ import annotations

import datetime
import json
import os
import re
import subprocess
import tempfile
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from greengate import codec
from greengate.budget import Limit, LimitKind
from greengate.errors import Diagnostic, GreengateError, Span
from greengate.verdict import Approval

SCHEMA = "greengate.approval/1"
#: What a signature is made for: one made for git commits, or for anything else, is no approval.
NAMESPACE = "greengate-approval"
#: Where approvals and those who may sign them are kept, below the budget's folder.
FOLDER = ".greengate/approvals"
SIGNERS = ".greengate/allowed_signers"
REVOKED = ".greengate/revoked_keys"

_KINDS = ("max", "min", "max_increase", "max_decrease", "suspicious_increase", "suspicious_decrease")
_LARGEST = 64 << 10
_SECONDS = 20.0


class ApprovalError(ValueError):
    """A file is no approval; says why in a few words."""


@dataclass(frozen=True)
class _Written:
    schema: Literal["greengate.approval/1"]
    rule: str
    model: str
    candidate: str
    baseline: str
    ceiling: Mapping[str, float]
    reason: str
    approver: str
    granted: datetime.date
    expires: datetime.date


def dump(approval: Approval) -> str:
    """Write an approval as JSON, the bytes that are signed."""
    ceiling: dict[str, float] = {approval.ceiling.kind: approval.ceiling.value}
    written = _Written(
        cast("Literal['greengate.approval/1']", SCHEMA),
        approval.rule,
        approval.model,
        approval.candidate,
        approval.baseline,
        ceiling,
        approval.reason,
        approval.by,
        approval.granted,
        approval.expires,
    )
    return json.dumps(codec.encode(written), indent=2, ensure_ascii=False) + "\n"


def load(content: bytes, source: str) -> Approval:
    """Read an approval; nothing of its proof is known yet. Raises ApprovalError."""
    try:
        if len(content) > _LARGEST:
            raise ApprovalError("it is too large")
        written = codec.decode(_Written, json.loads(content.decode("utf-8"), object_pairs_hook=_once))
    except UnicodeDecodeError as error:
        raise ApprovalError("it is not UTF-8 text") from error
    except codec.CodecError as error:
        raise ApprovalError(str(error)) from error
    except ApprovalError:
        raise
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a ValueError of its own
        raise ApprovalError("it is not JSON") from error
    named = (written.rule, written.model, written.candidate, written.baseline, written.reason, written.approver)
    if not all(text.strip() for text in named):
        raise ApprovalError("a field is empty")
    if not is_name(written.approver):
        raise ApprovalError(f"{written.approver!r} cannot name who approves: write plain text, without lookalikes")
    if len(written.ceiling) != 1 or (kind := next(iter(written.ceiling))) not in _KINDS:
        raise ApprovalError(f"its ceiling must be one of {', '.join(_KINDS)}")
    if written.expires < written.granted:
        raise ApprovalError("it expires before it is granted")
    value = written.ceiling[kind]
    if value < 0:
        raise ApprovalError("its ceiling is below zero")
    text = f"{value:g}" if kind in ("max", "min") else f"{value * 100:g}%"
    return Approval(
        rule=written.rule,
        model=written.model,
        candidate=written.candidate,
        baseline=written.baseline,
        ceiling=Limit(cast("LimitKind", kind), value, text, Span(source, 1)),
        reason=written.reason,
        by=written.approver,
        granted=written.granted,
        expires=written.expires,
        source=source,
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ApprovalError("a field stands in it twice")
    return found


def sign(path: Path, key: Path) -> Path:
    """Sign a file with an SSH key, by ssh-keygen or the agent behind it; return the signature's file.

    Raises GreengateError `signing-failed`.
    """
    signature = path.with_name(f"{path.name}.sig")
    signature.unlink(missing_ok=True)
    code, said, _ = _keygen("-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(path), given=None, asks=True)
    if code != 0 or not signature.is_file():
        help = "name the private key, or a public key whose agent is running, with --key"
        raise GreengateError(Diagnostic("signing-failed", f"{path} cannot be signed: {said}", help))
    return signature


@dataclass(frozen=True)
class Signers:
    """Who may sign: allowed signers and revoked keys, as ssh-keygen reads them; None where there is no such file."""

    allowed: bytes | None
    revoked: bytes | None = None


@dataclass(frozen=True)
class Proof:
    """What a signature proves: nothing, for the reason `flaw`, or that the key of this fingerprint signed."""

    flaw: str = ""
    key: str = ""


def verify(content: bytes, signature: bytes, by: str, signers: Signers, now: datetime.datetime) -> Proof:
    """Return whether a signature proves that `by` wrote these bytes."""
    if signers.allowed is None:
        return Proof(f"the target branch has no {SIGNERS}")
    if not is_name(by):
        return Proof(f"{by!r} cannot be the name of a signer")
    with tempfile.TemporaryDirectory(prefix="greengate-") as scratch:
        paths = {name: Path(scratch, name) for name in ("signers", "signature", "revoked")}
        paths["signers"].write_bytes(signers.allowed)
        paths["signature"].write_bytes(signature)
        paths["revoked"].write_bytes(signers.revoked or b"")
        when = now.astimezone(datetime.UTC).strftime("%Y%m%d%H%M%S")
        words = ["-Y", "verify", "-f", str(paths["signers"]), "-I", by, "-n", NAMESPACE, "-s", str(paths["signature"])]
        words += ["-O", f"verify-time={when}"]
        words += ["-r", str(paths["revoked"])] if signers.revoked is not None else []
        code, said, told = _keygen(*words, given=content)
    # Its copies lie elsewhere each time; what it says goes into a verdict, which must not.
    said = said.replace(str(paths["signers"]), SIGNERS).replace(str(paths["revoked"]), REVOKED)
    key = re.search(r" key (SHA256:\S+)$", told, re.MULTILINE)
    if code == 0 and key is None:
        return Proof(f"ssh-keygen does not say which key signed: {said}")
    return Proof(key=key[1]) if code == 0 and key else Proof(f"its signature is not one by {by}: {said}")


def is_name(text: str) -> bool:
    """Tell whether a text can name a person: nothing in it is invisible, looks like an option, or has a twin."""
    plain = unicodedata.normalize("NFKC", text.strip()) == text != ""
    return plain and text.isprintable() and not text.startswith("-")


def _keygen(*words: str, given: bytes | None, asks: bool = False) -> tuple[int, str, str]:
    """Run ssh-keygen; return its code, the first thing it said, and all. Only signing may ask for a passphrase."""
    environ = dict(os.environ) | {"LC_ALL": "C", "TZ": "UTC"}
    if not asks:
        environ |= {"SSH_ASKPASS_REQUIRE": "never"}
    try:
        done = subprocess.run(  # noqa: S603 - a list of words
            ["ssh-keygen", *words],  # noqa: S607 - found on the user's path, as git is
            input=given,
            stdin=None if given is not None or asks else subprocess.DEVNULL,
            capture_output=True,
            env=environ,
            timeout=None if asks else _SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return 127, "ssh-keygen is not installed", ""
    except subprocess.TimeoutExpired:
        return 124, "ssh-keygen did not answer", ""
    lines = [line.strip() for line in (done.stderr + b"\n" + done.stdout).decode("utf-8", "replace").splitlines()]
    first = next((line for line in lines if line), f"ssh-keygen ended with {done.returncode}")
    return done.returncode, first, "\n".join(lines)
