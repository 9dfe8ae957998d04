"""Approvals, end to end: real keys, real signatures, a pull request; what voids them, one thing at a time."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from world import TRADE, Said, Signer, World, fake

pytestmark = [pytest.mark.system("ssh-keygen"), pytest.mark.system("git")]

CANDIDATE = fake("8 MB", "330 MMAC")  # 10 % more operations, 20 % smaller
FILES: dict[str, str | bytes | None] = {"budgets.yaml": TRADE, "net.fake.yaml": fake()}
SIGNERS = ".greengate/allowed_signers"


@pytest.fixture
def lead(tmp_path: Path) -> Signer:
    return Signer(tmp_path, "lead@example.org")


@pytest.fixture
def asked(world: World, lead: Signer) -> World:
    """A pull request whose price somebody has to approve; the lead may sign."""
    world.land({**FILES, SIGNERS: lead.allowed('namespaces="greengate-approval"')})
    world.propose({"net.fake.yaml": CANDIDATE})
    return world


def approve(world: World, *words: str, by: str = "lead@example.org", expires: str = "2026-12-31") -> Path:
    """Let somebody check the pull request out and approve what the gate measured there; return the file."""
    folder = world.checkout()
    assert world.check(folder).code == 1
    before = ["approve", "compute", "--reason", "worth it", "--expires", expires, "--by", by]
    code, out, err = world.run(folder, *before, *words)
    assert code == 0, err
    return folder / out.splitlines()[0].removeprefix("wrote ")


def bring(world: World, path: Path, **more: str | bytes | None) -> Said:
    """Add an approval, and its signature, to the pull request, and judge it."""
    files: dict[str, str | bytes | None] = {f".greengate/approvals/{path.name}": path.read_bytes()}
    signature = Path(f"{path}.sig")
    if signature.exists():
        files[f".greengate/approvals/{signature.name}"] = signature.read_bytes()
    world.propose({**files, **more}, fresh=False)
    return world.judge()


def test_without_approval_the_price_is_not_paid(asked: World) -> None:
    said = asked.judge()
    assert (said.code, said.rules) == (1, {("net", "compute"): ("fail", "both")})
    assert said.reason("compute").endswith("nobody approved it")
    assert said.raw["rules"][0]["help"] == "ask for `greengate approve compute --model net`"


def test_a_signed_approval_counts_at_once(asked: World, lead: Signer) -> None:
    said = bring(asked, approve(asked, "--key", str(lead.key)))
    assert (said.code, said.rules) == (0, {("net", "compute"): ("traded", "both")})
    assert "approved by lead@example.org" in said.reason("compute")


def test_an_unsigned_approval_of_the_change_counts_for_nothing(asked: World) -> None:
    said = bring(asked, approve(asked))
    assert said.code == 1
    assert "it is part of the change, and nobody signed it" in said.reason("compute")


def test_an_approval_on_the_target_branch_needs_no_signature(asked: World) -> None:
    path = approve(asked)
    asked.land({f".greengate/approvals/{path.name}": path.read_bytes()})
    asked.propose({"net.fake.yaml": CANDIDATE})
    assert asked.judge().rules == {("net", "compute"): ("traded", "both")}


def test_an_approval_on_the_target_branch_edited_by_the_change_counts_as_it_was(asked: World) -> None:
    path = approve(asked, "--ceiling", "9%")
    name = f".greengate/approvals/{path.name}"
    asked.land({name: path.read_bytes()})
    wider = path.read_text().replace("0.09", "0.5")
    asked.propose({"net.fake.yaml": CANDIDATE, name: wider})
    said = asked.judge()
    assert said.code == 1
    assert "it is part of the change, and nobody signed it" in said.reason("compute")


def test_one_byte_changed_in_the_model_voids_it(asked: World, lead: Signer) -> None:
    path = approve(asked, "--key", str(lead.key))
    said = bring(asked, path, **{"net.fake.yaml": CANDIDATE + "# \n"})
    assert said.code == 1
    assert "it approves the candidate sha256:" in said.reason("compute")


def test_another_baseline_voids_it(asked: World, lead: Signer) -> None:
    path = approve(asked, "--key", str(lead.key))
    asked.land({"net.fake.yaml": fake("10 MB", "300 MMAC", "# newer\n")})
    asked.propose({"net.fake.yaml": CANDIDATE, f".greengate/approvals/{path.name}": path.read_bytes()})
    said = bring(asked, path)
    assert (said.code, "it approves a change from the baseline" in said.reason("compute")) == (1, True)


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (lambda text: text.replace("worth it", "worth a lot"), "incorrect signature"),
        (lambda text: text.replace("2026-12-31", "2036-12-31"), "incorrect signature"),
        (lambda text: text.replace("0.15", "0.5"), "incorrect signature"),
        (lambda text: text.replace("lead@example.org", "boss@example.org"), "not one by boss@example.org"),
        (lambda text: text + " ", "incorrect signature"),
    ],
)
def test_a_tampered_approval_counts_for_nothing(
    asked: World, lead: Signer, tamper: Callable[[str], str], words: str
) -> None:
    path = approve(asked, "--key", str(lead.key))
    path.write_text(tamper(path.read_text()))
    said = bring(asked, path)
    assert (said.code, words in said.reason("compute")) == (1, True), said.reason("compute")


def test_a_signature_for_another_purpose_counts_for_nothing(asked: World, lead: Signer) -> None:
    path = approve(asked)
    lead.sign(path, namespace="git")
    said = bring(asked, path)
    assert (said.code, "its signature is not one by lead@example.org" in said.reason("compute")) == (1, True)


def test_a_strangers_key_counts_for_nothing(asked: World, tmp_path: Path) -> None:
    stranger = Signer(tmp_path, "stranger@example.org")
    said = bring(asked, approve(asked, "--key", str(stranger.key)))
    assert (said.code, "its signature is not one by lead@example.org" in said.reason("compute")) == (1, True)


def test_a_signer_cannot_approve_as_somebody_else(asked: World, lead: Signer, tmp_path: Path) -> None:
    other = Signer(tmp_path, "other@example.org")
    asked.land({SIGNERS: lead.allowed() + other.allowed()})
    asked.propose({"net.fake.yaml": CANDIDATE})
    said = bring(asked, approve(asked, "--key", str(other.key)))
    assert said.code == 1


def test_signers_brought_by_the_change_may_not_sign(asked: World, tmp_path: Path) -> None:
    me = Signer(tmp_path, "me@example.org")
    path = approve(asked, "--key", str(me.key), by="me@example.org")
    said = bring(asked, path, **{SIGNERS: me.allowed()})
    assert (said.code, "its signature is not one by me@example.org" in said.reason("compute")) == (1, True)


def test_a_signer_removed_on_the_target_branch_may_not_sign(asked: World, lead: Signer) -> None:
    path = approve(asked, "--key", str(lead.key))
    assert bring(asked, path).code == 0
    asked.land({SIGNERS: "# nobody\n"})
    assert asked.judge().code == 1
    asked.land({SIGNERS: None})
    said = asked.judge()
    assert (said.code, "has no .greengate/allowed_signers" in said.reason("compute")) == (1, True)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (['valid-before="20261122"'], 1),  # expired
        (['valid-before="20261201"'], 0),
        (['valid-after="20261124"'], 1),  # not valid yet
        (['valid-after="20261101"'], 0),
        (['namespaces="git"'], 1),
    ],
)
def test_a_signers_days_and_purposes_bind(world: World, lead: Signer, options: list[str], code: int) -> None:
    world.land({**FILES, SIGNERS: lead.allowed(*options)})
    world.propose({"net.fake.yaml": CANDIDATE})
    assert bring(world, approve(world, "--key", str(lead.key))).code == code


def test_a_revoked_key_may_not_sign(asked: World, lead: Signer) -> None:
    path = approve(asked, "--key", str(lead.key))
    asked.land({".greengate/revoked_keys": lead.public + "\n"})
    asked.propose({"net.fake.yaml": CANDIDATE})
    said = bring(asked, path)
    assert (said.code, "its signature is not one by" in said.reason("compute")) == (1, True)


@pytest.mark.parametrize(("days", "code"), [(0, 0), (37, 0), (38, 0), (39, 1), (-1, 1)])
def test_an_approval_counts_on_its_days(asked: World, lead: Signer, days: int, code: int) -> None:
    path = approve(asked, "--key", str(lead.key))  # from 2026-11-23 to 2026-12-31
    asked.now += datetime.timedelta(days=days)
    assert bring(asked, path).code == code


def test_an_approval_for_another_rule_counts_for_nothing(asked: World, lead: Signer) -> None:
    path = approve(asked, "--key", str(lead.key))
    path.write_text(path.read_text().replace('"compute"', '"other"'))
    lead.sign(path)
    said = bring(asked, path)
    assert said.code == 1
    assert said.notices == [
        f"the approval of lead@example.org in .greengate/approvals/{path.name} is for no rule: 'other'"
    ]


def test_a_narrower_ceiling_than_what_was_measured_does_not_pay(asked: World, lead: Signer) -> None:
    said = bring(asked, approve(asked, "--key", str(lead.key), "--ceiling", "9.9%"))
    assert (said.code, "is beyond the limit of +9.9 %" in said.reason("compute")) == (1, True)


def test_a_file_that_is_no_approval_is_named(asked: World) -> None:
    asked.propose({".greengate/approvals/x.json": "{}", ".greengate/approvals/y.json": b"\xff"}, fresh=False)
    said = asked.judge()
    assert said.policy["notes"] == [
        ".greengate/approvals/x.json is no approval: $.approver: is missing",
        ".greengate/approvals/y.json is no approval: it is not UTF-8 text",
    ]


# --- who may approve --------------------------------------------------------------------------------------------------

APPROVERS = TRADE + "approvers:\n  - {who: [lead@example.org], rules: [compute]}\n"


def test_approvers_of_the_target_decide_who_may(world: World, lead: Signer, tmp_path: Path) -> None:
    other = Signer(tmp_path, "other@example.org")
    world.land({**FILES, "budgets.yaml": APPROVERS, SIGNERS: lead.allowed() + other.allowed()})
    mine = APPROVERS.replace("lead@", "other@")
    world.propose({"net.fake.yaml": CANDIDATE, "budgets.yaml": mine})
    said = bring(world, approve(world, "--key", str(other.key), by="other@example.org"))
    assert (said.code, said.rules[("net", "compute")]) == (1, ("fail", "base"))
    assert "other@example.org may not approve 'compute'" in said.reason("compute")


def test_two_must_approve_where_two_are_needed(world: World, lead: Signer, tmp_path: Path) -> None:
    other = Signer(tmp_path, "other@example.org")
    both = TRADE + 'approvers:\n  - {who: ["*@example.org"], needed: 2}\n'
    world.land({**FILES, "budgets.yaml": both, SIGNERS: lead.allowed() + other.allowed()})
    world.propose({"net.fake.yaml": CANDIDATE})
    assert bring(world, approve(world, "--key", str(lead.key))).code == 1
    assert bring(world, approve(world, "--key", str(other.key), by="other@example.org")).code == 0


@pytest.mark.parametrize(("author", "code"), [("lead@example.org", 1), ("dev@example.org", 0)])
def test_four_eyes_keep_the_author_out(world: World, lead: Signer, author: str, code: int) -> None:
    eyes = TRADE + 'approvers:\n  - {who: ["*@example.org"], four_eyes: true}\n'
    world.land({**FILES, "budgets.yaml": eyes, SIGNERS: lead.allowed()})
    world.dev.git("config", "user.email", author)
    world.propose({"net.fake.yaml": CANDIDATE})
    world.dev.git("config", "user.email", "dev@example.org")
    path = approve(world, "--key", str(lead.key))
    bring(world, path)
    assert world.check(world.checkout(depth=None)).code == code
    # A shallow checkout does not tell who wrote the change: nobody is known to be somebody else.
    for depth in (1, 2):
        said = world.check(world.checkout(depth=depth))
        assert said.code == 3
        assert "who wrote the change is not known here" in said.reason("compute")
        assert said.raw["rules"][0]["help"].startswith("check out the whole history of the request: `fetch-depth: 0`")


# --- writing them -----------------------------------------------------------------------------------------------------


def test_an_approval_says_what_it_binds(asked: World) -> None:
    path = approve(asked, "--ceiling", "12.5%")
    written = json.loads(path.read_text())
    assert written["candidate"].startswith("sha256:")
    assert written["baseline"].startswith("sha256:")
    assert written["candidate"] != written["baseline"]
    assert {key: written[key] for key in written if key not in ("candidate", "baseline")} == {
        "schema": "greengate.approval/1",
        "rule": "compute",
        "model": "net",
        "ceiling": {"max_increase": 0.125},
        "reason": "worth it",
        "approver": "lead@example.org",
        "granted": "2026-11-23",
        "expires": "2026-12-31",
    }


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["sise", "--expires", "2026-12-31"], "unknown-rule"),
        (["compute", "--model", "nett", "--expires", "2026-12-31"], "unknown-model"),
        (["compute", "--expires", "2026-11-22"], "bad-value"),
        (["compute", "--expires", "2026-12-31", "--ceiling", "5 apples"], "unknown-unit"),
        (["compute", "--expires", "2026-12-31", "--ceiling", "0.5 pp"], "unknown-unit"),
        (["compute", "--expires", "soon"], "usage"),
        (["compute", "--expires", "2026-12-31", "--key", "no-such-key"], "signing-failed"),
    ],
)
def test_what_cannot_be_approved_says_why(asked: World, words: list[str], code: str) -> None:
    folder = asked.checkout()
    asked.check(folder)
    exit_code, _, err = asked.run(folder, "approve", "--reason", "r", "--by", "lead@example.org", *words)
    assert (exit_code, f"error[{code}]" in err) == (2, True), err


def test_a_verdict_without_a_baseline_cannot_be_approved(world: World, golden: Callable[[Path, str], None]) -> None:
    world.land(FILES)
    world.check(world.dev.folder, "--against", "none", environ={})
    words = ("approve", "compute", "--reason", "r", "--expires", "2026-12-31", "--by", "a@example.org")
    code, _, err = world.run(world.dev.folder, *words)
    assert code == 2
    golden(Path(__file__).parent / "golden" / "not-approvable.txt", err)


def test_signing_with_no_key_says_how(asked: World, golden: Callable[[Path, str], None]) -> None:
    folder = asked.checkout()
    asked.check(folder)
    words = ("approve", "compute", "--reason", "r", "--expires", "2026-12-31", "--by", "a@example.org")
    _, _, err = asked.run(folder, *words, "--key", "no-such-key")
    assert list((folder / ".greengate" / "approvals").iterdir()) == []
    shown = re.sub(r"approvals/\S+\.json", "approvals/APPROVAL.json", err)
    golden(Path(__file__).parent / "golden" / "signing-failed.txt", shown)
