"""A request that wants to choose what it is compared with; docs/policy.md lists the ways."""

from __future__ import annotations

from pathlib import Path

import needs
import pytest
from world import BUDGET, HEAD, World, fake

from greengate.baselines import registry
from greengate.errors import BaselineError, Diagnostic

Files = dict[str, str | bytes | None]

HUGE = fake("500 MB")
#: Git takes it for HUGE, renamed.
V2 = fake("501 MB")
FILES: Files = {"budgets.yaml": BUDGET, "net.fake.yaml": fake(), "huge.fake.yaml": HUGE}
AT_HUGE = BUDGET.replace("net.fake", "huge.fake")
AT_V2 = BUDGET.replace("net.fake", "v2.fake")
GONE: Files = {"net.fake.yaml": None}
TO_V2: Files = {"huge.fake.yaml": None, "v2.fake.yaml": V2}
#: What git takes for no other file, renamed.
UNLIKE = f"# {'unlike ' * 200}\n"


def called(budget: str, name: str = "net2") -> str:
    return budget.replace("name: net,", f"name: {name},")


@pytest.fixture
def landed(world: World) -> World:
    world.land(FILES)
    return world


# --- where the baseline is looked for ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "judged"),
    [
        ({"budgets.yaml": AT_HUGE}, "net"),
        ({"budgets.yaml": AT_HUGE, **GONE}, "net"),
        ({"budgets.yaml": AT_V2, **TO_V2}, "net"),
        ({"budgets.yaml": AT_V2, **TO_V2, **GONE}, "net"),
        ({"budgets.yaml": called(AT_HUGE), **GONE}, "net@base"),
        ({"budgets.yaml": called(AT_V2), **TO_V2, **GONE}, "net@base"),
        ({"budgets.yaml": called(AT_HUGE)}, "net2@net"),
        ({"budgets.yaml": called(AT_V2), **TO_V2}, "net2@net"),
    ],
    ids=[
        "kept",
        "deleted",
        "renamed-kept",
        "renamed-deleted",
        "named",
        "named-renamed",
        "named-kept",
        "named-both-kept",
    ],
)
@pytest.mark.parametrize("flag", [(), ("--against", "ref:origin/main")], ids=["auto", "flag"])
def test_a_heavier_file_of_the_target_is_not_its_own_baseline(
    landed: World, change: Files, judged: str, flag: tuple[str, ...]
) -> None:
    landed.propose(change)
    said = landed.check(landed.checkout(), *flag)
    assert (said.code, said.rules[(judged, "size")][0]) == (1, "fail")
    assert "+4,900" in said.markdown or "+4,910" in said.markdown


def test_a_merge_request_on_gitlab_is_compared_alike(landed: World) -> None:
    landed.propose({"budgets.yaml": AT_V2, **TO_V2, **GONE})
    runner = landed.place / "gitlab"
    landed.dev.git("clone", "--quiet", "--depth=1", "--branch=topic", f"file://{landed.bare}", str(runner))
    assert landed.check(runner, environ=landed.gitlab()).rules == {("net", "size"): ("fail", "both")}


def test_a_stored_baseline_is_that_of_the_model_that_is_gone(world: World) -> None:
    stored = BUDGET.replace("path: net.fake.yaml}", "path: net.fake.yaml, baseline: 'dir:.greengate/baselines'}")
    stored += "  - {id: drift, metric: size, max_drift: {limit: 12%, over: 90 d}}\n"
    world.land(FILES | {"budgets.yaml": stored})
    code, _, err = world.run(world.dev.folder, "baseline", "accept", "--reason", "first")
    assert code == 0, err
    world.land({"note": "accepted"})
    world.propose({"budgets.yaml": called(AT_HUGE), **GONE})
    said = world.judge()
    assert (said.code, said.rules[("net@base", "size")][0]) == (1, "fail")
    assert said.rules[("net@base", "drift")][0] == "fail"


@pytest.mark.parametrize(("size", "code"), [("10.2 MB", 0), ("11 MB", 1)])
@pytest.mark.parametrize("name", ["net", "net2"])
def test_a_model_renamed_with_its_file_is_compared_with_the_old_one(
    landed: World, size: str, code: int, name: str
) -> None:
    moved = called(BUDGET.replace("net.fake", "models/net.fake"), name)
    landed.propose({"budgets.yaml": moved, "models/net.fake.yaml": fake(size), **GONE})
    said = landed.judge()
    assert (said.code, said.rules[(name, "size")][0]) == (code, "fail" if code else "pass")
    assert set(said.rules) == {("net", "size")} if name == "net" else {("net2", "size"), ("net@base", "size")}


@pytest.mark.parametrize(("macs", "code"), [("300 MMAC", 0), ("400 MMAC", 1)])
def test_a_new_file_by_the_old_name_is_compared_with_the_old_file(world: World, macs: str, code: int) -> None:
    """However unlike the two are: no rename is needed to know what the model was."""
    rules = HEAD + "  - {metric: flops, max_increase: 5%}\n"
    world.land(FILES | {"budgets.yaml": rules})
    new = UNLIKE + fake("80 MB", macs)
    world.propose({"budgets.yaml": rules.replace("net.fake", "new.fake"), "new.fake.yaml": new, **GONE})
    said = world.judge()
    assert (said.code, said.rules) == (code, {("net", "flops"): ("fail" if code else "pass", "both")})


def test_a_request_behind_a_rename_of_the_target_is_compared_by_the_old_name(landed: World) -> None:
    """The policy is the target's of today, the merge base from before the target renamed the file."""
    landed.propose({"net.fake.yaml": fake("11 MB")})
    landed.land({"budgets.yaml": BUDGET.replace("net.fake", "moved.fake"), "moved.fake.yaml": fake(), **GONE})
    runner = landed.place / "gitlab"
    landed.dev.git("clone", "--quiet", "--branch=topic", f"file://{landed.bare}", str(runner))
    said = landed.check(runner, environ=landed.gitlab())
    assert said.rules == {("net", "size"): ("fail", "both")}


def test_a_file_the_target_never_had_is_not_one_it_had_by_another_name(world: World) -> None:
    """The model is fetched by the job, not committed: the change commits one that git takes for another, renamed."""
    world.land({"budgets.yaml": BUDGET, "huge.fake.yaml": HUGE})
    world.propose({"net.fake.yaml": V2, "huge.fake.yaml": None})
    said = world.judge()
    assert (said.code, said.rules) == (3, {("net", "size"): ("inconclusive", "both")})


def test_a_new_model_has_no_baseline_and_absolute_limits_judge_it(world: World) -> None:
    rules = BUDGET + "  - {id: bytes, metric: size, max: 20 MB}\n"
    world.land(FILES | {"budgets.yaml": rules})
    for size, status in (("15 MB", "pass"), ("30 MB", "fail")):
        more = rules.replace("rules:", "  - {name: other, path: other.fake.yaml}\nrules:")
        world.propose({"budgets.yaml": more, "other.fake.yaml": UNLIKE + fake(size)})
        said = world.judge()
        assert {model for model, _ in said.rules} == {"net", "other"}
        assert (said.rules[("other", "bytes")][0], said.rules[("other", "size")][0]) == (status, "inconclusive")


def test_on_a_laptop_a_named_ref_is_asked_for_the_model_where_the_work_tree_has_it(landed: World) -> None:
    laptop = landed.dev.clone(landed.place / "laptop")
    laptop.git("rm", "--quiet", "net.fake.yaml")
    laptop.commit({"budgets.yaml": BUDGET.replace("net.fake", "new.fake"), "new.fake.yaml": UNLIKE + fake("50 MB")})
    laptop.write("new.fake.yaml", UNLIKE + fake("51 MB"))
    assert landed.check(laptop.folder, "--against", "ref:HEAD", environ={}).code == 0


# --- what a change names as a baseline --------------------------------------------------------------------------------

SELF = ("ref:HEAD", "ref:topic", "ref:refs/remotes/pull/7/merge", "ref:HEAD^2")


@pytest.mark.parametrize(
    "uri", [*SELF, "file:huge.fake.yaml", "file:unknown.fake.yaml", "profile:huge.json", "dir:store", "git:heavy"]
)
def test_a_baseline_that_the_change_gives_a_new_model_does_not_count(landed: World, uri: str) -> None:
    new = f"  - {{name: net2, path: new.fake.yaml, baseline: '{uri}'}}\nrules:"
    landed.propose({"budgets.yaml": BUDGET.replace("rules:", new), "new.fake.yaml": UNLIKE + V2})
    runner = landed.checkout()
    (runner / "unknown.fake.yaml").write_text(HUGE)  # which git does not know at all
    said = landed.check(runner)
    assert (said.code, said.rules[("net2", "size")][0]) == (3, "inconclusive")
    assert "the change names a `baseline` for the new model 'net2'; the target branch's binds" in said.notices


@pytest.mark.parametrize("uri", [*SELF, "file:huge.fake.yaml"])
def test_a_baseline_of_the_whole_file_is_the_targets(landed: World, uri: str) -> None:
    new = "  - {name: net2, path: new.fake.yaml}\nrules:"
    own = BUDGET.replace("rules:", new) + f"baseline: '{uri}'\n"
    landed.propose({"budgets.yaml": own, "new.fake.yaml": UNLIKE + V2, "net.fake.yaml": fake("11 MB")})
    said = landed.judge()
    assert (said.rules[("net2", "size")][0], said.rules[("net", "size")][0]) == ("inconclusive", "fail")
    landed.land({"budgets.yaml": BUDGET + "baseline: 'file:huge.fake.yaml'\n"})
    landed.propose({"budgets.yaml": own, "new.fake.yaml": fake("510 MB")})
    assert landed.judge().rules[("net2", "size")][0] == "pass"  # held against what the target branch names


@pytest.mark.parametrize("depth", [1, None], ids=["shallow", "deep"])
@pytest.mark.parametrize("uri", [*SELF, "ref:HEAD^2~1"])
def test_no_commit_of_the_change_is_a_baseline(landed: World, uri: str, depth: int | None) -> None:
    landed.land({"budgets.yaml": BUDGET + f"baseline: '{uri}'\n"})
    landed.propose({"net.fake.yaml": V2})
    landed.propose({"note": "second"}, fresh=False)
    runner = landed.checkout(depth)
    for flag in ((), ("--against", uri)):
        said = landed.check(runner, *flag)
        assert (said.code, "error[baseline-missing]" in said.err) == (2, True), said.err
        # Of the change's history a shallow checkout knows only the last commit.
        assert "is the change itself" in said.err or (depth, "~1" in uri or "^2" in uri) == (1, True), said.err


@pytest.mark.parametrize("depth", [1, None], ids=["shallow", "deep"])
@pytest.mark.parametrize("uri", ["ref:main", "ref:origin/main", "ref:HEAD^1"])
def test_a_commit_of_the_target_is_one(landed: World, uri: str, depth: int | None) -> None:
    landed.land({"budgets.yaml": BUDGET + f"baseline: '{uri}'\n"})
    landed.propose({"net.fake.yaml": fake("11 MB")})
    runner = landed.checkout(depth)
    if (depth, uri) == (1, "ref:HEAD^1"):
        return  # not at hand
    assert landed.check(runner).rules == {("net", "size"): ("fail", "both")}


def test_on_a_laptop_a_work_tree_may_be_compared_with_its_own_commit(landed: World) -> None:
    landed.land({"budgets.yaml": BUDGET + "baseline: 'ref:HEAD'\n"})
    laptop = landed.dev.clone(landed.place / "laptop")
    laptop.write("net.fake.yaml", fake("11 MB"))
    assert landed.check(laptop.folder, environ={}).rules == {("net", "size"): ("fail", "both")}


# --- what a workflow names, by a path that the change can write to ----------------------------------------------------

#: A baseline of each kind: its URI, and the files that hold it.
KINDS = {
    "file": ("file:old/net.fake.yaml", "old/net.fake.yaml"),
    "profile": ("profile:old/net.json", "old/net.json"),
    "dir": ("dir:old", "old/net/"),
}


def held(world: World, model: str, scheme: str) -> Files:
    """Return the files of a baseline of some kind that holds a model, made apart from the repository."""
    if scheme == "file":
        return {KINDS[scheme][1]: model}
    world.count += 1
    apart = world.place / f"apart{world.count}"
    (apart / "old").mkdir(parents=True)
    (apart / "budgets.yaml").write_text(BUDGET)
    (apart / "net.fake.yaml").write_text(model)
    words = ("profile", "net.fake.yaml", "--static-only", "-o", "old/net.json")
    if scheme == "dir":
        words = ("baseline", "accept", "--store", "dir:old", "--reason", "first")
    code, _, err = world.run(apart, *words)
    assert code == 0, err
    return {path.relative_to(apart).as_posix(): path.read_bytes() for path in apart.glob("old/**/*.json")}


def gone(files: Files) -> Files:
    return dict.fromkeys(files)


@pytest.mark.parametrize("flag", ["named", "auto"])
@pytest.mark.parametrize("scheme", KINDS)
def test_a_baseline_by_path_is_the_target_branchs_whoever_names_it(world: World, scheme: str, flag: str) -> None:
    """The workflow names a path, or says `auto` where the budget names one; the change has put its own there."""
    uri, own = KINDS[scheme][0], held(world, HUGE, scheme)
    budget = BUDGET if flag == "named" else BUDGET + f"baseline: '{uri}'\n"
    before = held(world, fake(), scheme)
    world.land({"budgets.yaml": budget, "net.fake.yaml": fake(), **before})
    world.propose({"net.fake.yaml": HUGE, **gone(before), **own})
    said = world.judge("--against", uri if flag == "named" else "auto")
    assert (said.code, said.rules) == (1, {("net", "size"): ("fail", "both")})


@pytest.mark.parametrize("scheme", KINDS)
def test_a_path_that_only_the_change_has_is_no_baseline(landed: World, scheme: str) -> None:
    landed.propose({"net.fake.yaml": HUGE, **held(landed, HUGE, scheme)})
    runner = landed.checkout()
    said = landed.check(runner, "--against", KINDS[scheme][0])
    assert (said.code, "error[baseline-missing]" in said.err) == (2, True), said.err
    assert "on the target branch" in said.err
    # On a laptop, whoever names a path vouches for it.
    assert landed.check(runner, "--against", KINDS[scheme][0], environ={}).code == 0


@pytest.mark.parametrize("at", ["", "ci", "net"])
def test_a_path_on_the_command_line_starts_where_the_job_stands(world: World, at: str) -> None:
    below = BUDGET.replace("net.fake", "../models/net.fake")
    world.land({"ci/budgets.yaml": below, "models/net.fake.yaml": fake(), "old.fake.yaml": fake(), "net/a": ""})
    world.propose({"models/net.fake.yaml": HUGE, "old.fake.yaml": HUGE, "ci/old.fake.yaml": HUGE})
    runner = world.checkout()
    up = "../" if at else ""
    for path in (f"{up}old.fake.yaml", f"{runner}/old.fake.yaml"):
        said = world.check(runner / at, "-b", f"{up}ci/budgets.yaml", "--against", f"file:{path}")
        assert (said.code, said.rules) == (1, {("net", "size"): ("fail", "both")})


@pytest.mark.parametrize("outside", [False, True], ids=["unknown-to-git", "outside"])
def test_what_the_job_itself_put_there_is_taken_as_it_is(landed: World, outside: bool) -> None:
    landed.propose({"net.fake.yaml": HUGE})
    runner = landed.checkout()
    old = (landed.place if outside else runner) / "fetched.fake.yaml"
    old.write_text(HUGE)
    assert landed.check(runner, "--against", f"file:{old}").code == 0
    for link, target in (("link", runner), ("link/net", runner / "net.fake.yaml")):
        (landed.place / link).symlink_to(target)
    for path in ("link/net.fake.yaml", "link/net"):
        assert landed.check(runner, "--against", f"file:{landed.place}/{path}").code == 1


def test_a_store_at_the_root_of_the_repository_is_the_target_branchs(landed: World) -> None:
    """The root has no name in any commit."""
    before, own = (
        {path.removeprefix("old/"): text for path, text in held(landed, each, "dir").items()} for each in (fake(), HUGE)
    )
    landed.land(before)
    landed.propose({"net.fake.yaml": HUGE, **gone(before), **own})
    said = landed.judge("--against", "dir:.")
    assert (said.code, said.rules) == (1, {("net", "size"): ("fail", "both")})


# --- models that code makes -------------------------------------------------------------------------------------------

NETS = """from torch import nn
class Net(nn.Module):
    def __init__(self, times):
        super().__init__()
        self.inner, self.times = nn.Linear(8, 8), times
    def forward(self, x):
        for _ in range(TIMES * self.times):
            x = self.inner(x)
        return x
def make(times=1): return Net(times)
"""
CODE = """version: 1
models:
  - name: net
    path: nets:make
    args: {times: 1}
    weights: w.pth
    inputs: {x: {shape: [1, 8]}}
MORErules:
  - {metric: macs, max_increase: 5%}
"""


def weights(value: float) -> bytes:
    import io

    torch = needs.package("torch")
    out = io.BytesIO()
    torch.save({"inner.weight": torch.full((8, 8), value), "inner.bias": torch.zeros(8)}, out)
    return out.getvalue()


def nets(times: int) -> str:
    return NETS.replace("TIMES", str(times))


def test_weights_of_another_file_do_not_make_the_changes_code_the_baseline(world: World) -> None:
    named = CODE.replace("MORE", "    baseline: file:old.pth\n")
    world.land({"budgets.yaml": named, "nets.py": nets(1), "w.pth": weights(0.1), "old.pth": weights(0.2)})
    world.propose({"nets.py": nets(50)})
    said = world.judge()
    assert (said.code, said.rules) == (1, {("net", "macs"): ("fail", "both")})
    assert "the file old.pth, with nets:make at the merge base" in said.markdown
    world.propose({"w.pth": weights(0.3)})
    assert world.judge().code == 0
    # A workflow may name the file; what makes a model of it is not the change's either. On a laptop nobody is judged.
    world.propose({"nets.py": nets(50)})
    runner = world.checkout()
    for named in (f"file:{runner}/old.pth", "file:old.pth"):
        said = world.check(runner, "--against", named)
        assert (said.code, said.rules) == (1, {("net", "macs"): ("fail", "both")})
        assert "with nets:make at the merge base" in said.markdown
    assert world.check(world.dev.clone(world.place / "laptop").folder, environ={}).code == 0


@pytest.mark.parametrize("code", ["heavy:make", "nets:make"])
def test_code_that_a_workflow_names_is_none_of_the_change(world: World, code: str) -> None:
    both = {"nets.py": nets(1), "heavy.py": nets(1)}
    world.land({"budgets.yaml": CODE.replace("MORE", ""), **both, "w.pth": weights(0.1)})
    world.propose({"nets.py": nets(50), "heavy.py": nets(50)})
    runner = world.checkout()
    said = world.check(runner, "--against", f"file:{code}")
    assert (said.code, said.rules) == (3, {("net", "macs"): ("inconclusive", "both")})
    assert f"{code} is not one file that can be taken from the target branch" in said.reason("macs")
    assert (
        world.check(world.dev.clone(world.place / "laptop").folder, "--against", f"file:{code}", environ={}).code == 0
    )


@pytest.mark.parametrize(
    "own",
    [
        CODE.replace("times: 1", "times: 50"),
        CODE.replace("path: nets:make", "path: heavy:make").replace("times: 1", "times: 50"),
        CODE.replace("name: net", "name: net2").replace("times: 1", "times: 50"),
    ],
    ids=["args", "path", "name"],
)
def test_a_baseline_is_made_with_the_arguments_of_the_target(world: World, own: str) -> None:
    plain = CODE.replace("MORE", "")
    both = {"nets.py": nets(1), "heavy.py": nets(50)}
    world.land({"budgets.yaml": plain, **both, "w.pth": weights(0.1)})
    world.propose({"budgets.yaml": own.replace("MORE", "")})
    said = world.judge()
    assert (said.code, "fail" in {status for status, _ in said.rules.values()}) == (1, True)


READS = NETS.replace("TIMES * ", "").replace(
    "def make(times=1): return Net(times)",
    "def make():\n"
    "    import json, pathlib\n"
    "    return Net(json.loads(pathlib.Path(__file__).with_name('times.json').read_text()))",
)


@pytest.mark.parametrize(
    ("depth", "flag"),
    [(1, ()), (None, ("--against", "dir:.greengate/baselines"))],
    ids=["budget-shallow", "flag-deep"],
)
def test_stored_code_does_not_read_the_files_of_the_change(
    world: World, depth: int | None, flag: tuple[str, ...]
) -> None:
    """The code is byte for byte what was accepted; what it reads beside itself is noted nowhere."""
    stored = CODE.replace("MORE", "    baseline: dir:.greengate/baselines\n").replace("    args: {times: 1}\n", "")
    world.land({"budgets.yaml": stored, "nets.py": READS, "times.json": "1", "w.pth": weights(0.1)})
    for words in (
        ("profile", "net", "--static-only", "-o", f"{world.place}/net.json"),
        ("baseline", "accept", "--profile", f"{world.place}/net.json", "--reason", "first"),
    ):
        code, _, err = world.run(world.dev.folder, *words)
        assert code == 0, err
    world.land({"note": "accepted"})
    world.propose({"times.json": "50"})
    said = world.check(world.checkout(depth), *flag)
    assert (said.code, said.rules) == (1, {("net", "macs"): ("fail", "both")})
    world.propose({"w.pth": weights(0.2)})
    assert world.check(world.checkout(depth), *flag).code == 0


@pytest.mark.parametrize(
    ("uri", "files"),
    [
        ("sqlite:///mlflow.db", {"mlflow.db": "SQLite format 3"}),
        ("file:mlruns", {"mlruns/0/meta.yaml": "a: 1"}),
        ("mlruns", {"mlruns/0/meta.yaml": "a: 1"}),
    ],
)
@pytest.mark.parametrize("lands", [True, False], ids=["on the target branch", "in the change only"])
def test_a_registry_among_the_files_of_the_change_is_none(
    world: World, uri: str, files: dict[str, str], *, lands: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def entry(address: registry.Address) -> None:
        asked.append(str(address))
        raise BaselineError(Diagnostic("baseline-missing", "gone", "look elsewhere"))

    monkeypatch.setattr(registry, "entry", entry)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    budget = BUDGET.replace("net.fake.yaml}", "net.fake.yaml, baseline: 'mlflow:models:/net@production'}")
    world.land({"budgets.yaml": budget, "net.fake.yaml": fake(), **(files if lands else {})})
    world.propose({"net.fake.yaml": fake("50 MB"), **dict.fromkeys(files, "altered")})
    said = world.judge()
    assert (said.code, asked) == (2, [])
    assert "the registry of models:/net@production is a file of the repository" in said.err
    world.check(world.checkout(), "--against", "mlflow:models:/net@staging", environ={})
    assert asked == ["models:/net@staging"], "whoever names it at a laptop vouches for it"


def test_a_registry_that_git_does_not_know_is_the_jobs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    monkeypatch.setattr(registry, "entry", lambda address: pytest.fail(f"asked for {address}"))
    budget = BUDGET.replace("net.fake.yaml}", "net.fake.yaml, baseline: 'mlflow:models:/net@production'}")
    world.land({"budgets.yaml": budget, "net.fake.yaml": fake()})
    world.propose({"net.fake.yaml": fake("50 MB")})
    runner = world.checkout()
    (runner / "mlflow.db").write_bytes(b"SQLite format 3")
    with pytest.raises(pytest.fail.Exception, match="asked for models:/net@production"):
        world.check(runner)


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sqlite:///mlflow.db", "mlflow.db"),
        ("sqlite:////srv/mlflow.db?timeout=5", "/srv/mlflow.db"),
        ("file:mlruns", "mlruns"),
        ("file:///srv/ml%20runs", "/srv/ml runs"),
        ("./mlruns", "mlruns"),
        ("/srv/mlruns", "/srv/mlruns"),
        ("http://mlflow.example.org:5000", None),
        ("postgresql://user@host/db", None),
        ("databricks", None),
        ("databricks-uc:profile", None),
    ],
)
def test_which_registries_are_files(uri: str, path: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    assert registry.local() == (() if path is None else (Path(path),))
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "sqlite:///other.db")
    assert registry.local()[-1] == Path("other.db")


def test_weights_that_move_with_the_change_are_compared_with_the_old_ones(world: World) -> None:
    plain = CODE.replace("MORE", "")
    world.land({"ci/budgets.yaml": plain.replace("nets:", "../nets:"), "nets.py": nets(1), "ci/w.pth": weights(0.1)})
    moved = plain.replace("w.pth", "new.pth")
    world.propose({"ci/budgets.yaml": None, "budgets.yaml": moved, "new.pth": weights(0.2), "ci/w.pth": None})
    said = world.judge()
    assert (said.code, said.rules) == (0, {("net", "macs"): ("pass", "both")})


def test_a_folder_that_moves_is_compared_with_what_it_was(world: World) -> None:
    from greengate import git
    from greengate.baselines import Found, MergeBase, Request, resolve

    base = world.land({"m/config.json": "{}", "m/model.safetensors": b"old"})
    world.propose({"m/config.json": None, "m/model.safetensors": None, "n/config.json": "{}"})
    here = world.checkout()
    git.fetch(here, base)
    answer = resolve("auto", Request("net", here / "m", here, world.place, merge_base=MergeBase(base), named_in=base))
    assert isinstance(answer, Found)
    assert answer.artifact is not None
    assert (answer.artifact / "model.safetensors").read_bytes() == b"old"
