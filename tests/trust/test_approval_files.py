"""Approvals as files and their proof, one thing at a time; test_approvals has them in a pull request."""

from __future__ import annotations

import datetime
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greengate import approval
from greengate.approval import ApprovalError, Signers
from greengate.budget import Limit
from greengate.errors import GreengateError, Span
from greengate.verdict import Approval

DAY = datetime.date(2026, 11, 23)
NOW = datetime.datetime(2026, 11, 23, 12, 0, tzinfo=datetime.UTC)
WRITTEN: dict[str, Any] = {
    "schema": "greengate.approval/1",
    "rule": "compute",
    "model": "net",
    "candidate": "sha256:c",
    "baseline": "sha256:b",
    "ceiling": {"max_increase": 0.125},
    "reason": "worth it",
    "approver": "lead@example.org",
    "granted": "2026-11-23",
    "expires": "2026-11-23",
}


def load(**other: Any) -> Approval:
    return approval.load(json.dumps({**WRITTEN, **other}).encode(), "a.json")


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("max", 120e6, "1.2e+08"),
        ("min", 0.5, "0.5"),
        ("max_increase", 0.125, "12.5%"),
        ("max_decrease", 0.0, "0%"),
        ("suspicious_increase", 3.0, "300%"),
        ("suspicious_decrease", 0.6, "60%"),
    ],
)
def test_what_stands_in_it_is_what_counts(kind: str, value: float, text: str) -> None:
    read = load(ceiling={kind: value})
    assert read == Approval(
        rule="compute",
        model="net",
        candidate="sha256:c",
        baseline="sha256:b",
        ceiling=Limit(kind, value, text, Span("a.json", 1)),  # type: ignore[arg-type]
        reason="worth it",
        by="lead@example.org",
        granted=DAY,
        expires=DAY,
        source="a.json",
        flaw="",
    )


@given(st.text(min_size=1).filter(str.strip).filter(approval.is_name), st.floats(0, 1e15), st.dates())
def test_what_is_written_is_read_back(text: str, value: float, day: datetime.date) -> None:
    limit = Limit("max", value, f"{value:g}", Span("a.json", 1))
    made = Approval(text, text, text, text, limit, text, text, day, day, "a.json")
    assert approval.load(approval.dump(made).encode("utf-8", "surrogatepass"), "a.json") == made


@pytest.mark.parametrize(
    ("other", "words"),
    [
        *(({key: text}, "a field is empty") for key in ("rule", "model", "reason", "approver") for text in ("", " \n")),
        *(({key: ""}, "a field is empty") for key in ("candidate", "baseline")),
        ({"ceiling": {}}, "its ceiling must be one of max, min, max_increase, max_decrease"),
        ({"ceiling": {"max_drift": 1.0}}, "its ceiling must be one of"),
        ({"ceiling": {"min_increase": 1.0}}, "its ceiling must be one of"),
        ({"ceiling": {"max": 1.0, "max_increase": 1.0}}, "its ceiling must be one of"),
        ({"ceiling": {"max": -0.001}}, "its ceiling is below zero"),
        ({"expires": "2026-11-22"}, "it expires before it is granted"),
        ({"schema": "greengate.approval/2"}, "$.schema"),
        ({"more": 1}, "$.more"),
    ],
)
def test_what_is_no_approval_says_why(other: dict[str, Any], words: str) -> None:
    with pytest.raises(ApprovalError) as caught:
        load(**other)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff{}", "it is not UTF-8 text"),
        (b"{", "it is not JSON"),
        (b"[" * 60_000, "it is not JSON"),
        (json.dumps(WRITTEN).replace("{", '{"rule": "other", ', 1).encode(), "a field stands in it twice"),
        (json.dumps(WRITTEN).replace("0.125", '0.125, "max_increase": 9').encode(), "a field stands in it twice"),
    ],
)
def test_what_is_no_json_of_ours_says_why(content: bytes, words: str) -> None:
    with pytest.raises(ApprovalError) as caught:
        approval.load(content, "a.json")
    assert str(caught.value) == words


def test_nobody_reads_more_than_64_kib() -> None:
    text = json.dumps(WRITTEN)
    full = text + " " * ((64 << 10) - len(text))
    assert approval.load(full.encode(), "a.json").rule == "compute"
    with pytest.raises(ApprovalError, match=r"^it is too large$"):
        approval.load(f"{full} ".encode(), "a.json")


# --- proof ------------------------------------------------------------------------------------------------------------


def keygen(place: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program called ssh-keygen, and nothing else, before what is on the path."""
    place.mkdir()
    program = place / "ssh-keygen"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")
    return program


def proof(by: str = "lead@example.org", signers: Signers | None = None) -> str:
    return approval.verify(b"what is signed", b"a signature", by, signers or Signers(b"signers", b"revoked"), NOW).flaw


#: What it says where all is well.
GOOD = """echo 'Good "greengate-approval" signature for lead with ED25519 key SHA256:0aZ+/b'"""


@pytest.mark.parametrize("by", ["", "  ", "-f", "-Overify-time=20200101", " lead", "lead\u200b", "\uff4cead"])
def test_a_name_that_ssh_keygen_would_take_for_something_else_signs_nothing(
    by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keygen(tmp_path / "bin", GOOD, monkeypatch)
    assert proof(by) == f"{by!r} cannot be the name of a signer"
    assert proof("lead") == ""


def test_without_signers_on_the_target_nothing_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keygen(tmp_path / "bin", GOOD, monkeypatch)
    assert proof(signers=Signers(None)) == "the target branch has no .greengate/allowed_signers"
    assert proof(signers=Signers(b"")) == ""


def test_verifying_asks_nobody_and_names_our_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told"
    script = f"""
cat > {told}.content
printf '%s\\n' "$@" > {told}.words
cat "$4" > {told}.signers; cat "${{10}}" > {told}.signature
echo "$LC_ALL $TZ $SSH_ASKPASS_REQUIRE $HOME" > {told}.environ
echo; echo "  $4: bad; ${{14}}: bad" >&2; echo "and more" >&2
exit 255"""
    keygen(tmp_path / "bin", script, monkeypatch)
    monkeypatch.setenv("HOME", "/home/of/mine")
    east = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    said = approval.verify(
        b"what is signed", b"a signature", "lead", Signers(b"the signers", b"r"), NOW.astimezone(east)
    ).flaw
    assert said == ("its signature is not one by lead: .greengate/allowed_signers: bad; .greengate/revoked_keys: bad")
    read = {
        name: Path(f"{told}.{name}").read_text() for name in ("content", "words", "signers", "signature", "environ")
    }
    words = read.pop("words").split()
    assert read == {
        "content": "what is signed",
        "signers": "the signers",
        "signature": "a signature",
        "environ": "C UTC never /home/of/mine\n",
    }
    places = {index: words[index] for index in (3, 9, 13)}
    assert [word for word in words if word not in places.values()] == [
        *(
            "-Y",
            "verify",
            "-f",
            "-I",
            "lead",
            "-n",
            "greengate-approval",
            "-s",
            "-O",
            "verify-time=20261123120000",
            "-r",
        ),
    ]
    assert len(set(places.values())) == 3
    assert not any(Path(word).exists() for word in places.values())  # nothing is left behind


def test_the_key_is_told_and_a_signature_of_an_unknown_one_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = keygen(tmp_path / "bin", f"echo warning >&2; {GOOD}", monkeypatch)
    told = approval.verify(b"x", b"y", "lead", Signers(b"s"), NOW)
    assert (told.flaw, told.key) == ("", "SHA256:0aZ+/b")
    program.write_text("#!/bin/sh\necho fine\n")
    told = approval.verify(b"x", b"y", "lead", Signers(b"s"), NOW)
    assert (told.flaw, told.key) == ("ssh-keygen does not say which key signed: fine", "")


def test_without_revoked_keys_none_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keygen(tmp_path / "bin", 'for word in "$@"; do test "$word" = -r && exit 1; done; ' + GOOD, monkeypatch)
    assert proof(signers=Signers(b"signers")) == ""
    assert proof(signers=Signers(b"signers", b"")) != ""


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "ssh-keygen ended with 3"),
        ("echo; echo ' said '; exit 3", "said"),
        ("echo out; echo err >&2; exit 3", "err"),
        ("printf 'bad \\377 name\\n'; exit 3", "bad \ufffd name"),
    ],
)
def test_the_first_thing_it_said_is_told(
    script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keygen(tmp_path / "bin", f"cat > /dev/null\n{script}", monkeypatch)
    assert proof() == f"its signature is not one by lead@example.org: {words}"


def test_where_it_is_not_installed_or_hangs_nothing_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert proof() == "its signature is not one by lead@example.org: ssh-keygen is not installed"
    keygen(tmp_path / "bin", "exec sleep 60", monkeypatch)
    monkeypatch.setattr(approval, "_SECONDS", 0.05)
    assert proof() == "its signature is not one by lead@example.org: ssh-keygen did not answer"


def test_signing_may_ask_and_take_its_time_and_replaces_what_was_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, key = tmp_path / "a.json", tmp_path / "key"
    path.write_text("{}")
    old = tmp_path / "a.json.sig"
    old.write_text("an old one")
    program = keygen(tmp_path / "bin", f'echo "$* $SSH_ASKPASS_REQUIRE" > {tmp_path}/words; exit 0', monkeypatch)
    monkeypatch.delenv("SSH_ASKPASS_REQUIRE", raising=False)
    with pytest.raises(GreengateError) as caught:  # it says that all is well, and no signature is there
        approval.sign(path, key)
    (told,) = caught.value.diagnostics
    assert (told.code, told.message) == ("signing-failed", f"{path} cannot be signed: ssh-keygen ended with 0")
    assert told.help == "name the private key, or a public key whose agent is running, with --key"
    assert (tmp_path / "words").read_text() == f"-Y sign -f {key} -n greengate-approval {path} \n"
    monkeypatch.setattr(approval, "_SECONDS", 0.01)
    program.write_text(f"#!/bin/sh\nsleep 0.1; echo new > {old}\n")
    assert approval.sign(path, key) == old
    assert old.read_text() == "new\n"
    program.write_text(f"#!/bin/sh\necho half > {old}; exit 1\n")
    with pytest.raises(GreengateError):
        approval.sign(path, key)


@pytest.mark.system("ssh-keygen")
def test_a_real_signature_proves_its_signer_and_no_other(tmp_path: Path) -> None:
    key, path = tmp_path / "key", tmp_path / "a.json"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = Path(f"{key}.pub").read_bytes()
    path.write_bytes(json.dumps(WRITTEN).encode())
    signature = approval.sign(path, key).read_bytes()
    signers = Signers(b"lead@example.org " + public)
    assert approval.verify(path.read_bytes(), signature, "lead@example.org", signers, NOW).flaw == ""
    for content, by, trusted in [
        (path.read_bytes() + b" ", "lead@example.org", signers),
        (path.read_bytes(), "other@example.org", signers),
        (path.read_bytes(), "lead@example.org", Signers(signers.allowed, public)),
        (path.read_bytes(), "lead@example.org", Signers(b'lead@example.org valid-before="20261123" ' + public)),
    ]:
        assert approval.verify(content, signature, by, trusted, NOW).flaw != ""
