"""The budget's reader: every good file becomes nouns, every bad one its golden message."""

import datetime
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from greengate import budget_file
from greengate.budget import Limit, TradeOff, Waiver, WorkerLimits
from greengate.errors import BudgetError, Exit
from greengate.generation import Generation
from greengate.profile import InputSpec, WorkloadSpec
from greengate.recipe import NO_RECIPE

HERE = Path(__file__).parent
GOOD = sorted(HERE.glob("good/*.yaml"))
BAD = sorted(HERE.glob("bad/*.yaml"))
#: Bad files too large to keep; None is no file at all.
MADE = {"unreadable-file": None, "yaml-too-large": b"#" * (2**20 + 1)}

START = "version: 1\nmodels:\n  - path: models/sentiment.onnx\n"


def waived(line: str) -> str:
    waiver = f"{{{line}, reason: r, approved_by: a, expires: 2027-01-31}}"
    return f"{START}rules: [{{metric: size, max: 1 MB}}]\nwaivers: [{waiver}]\n"


def codes(text: str) -> list[str]:
    with pytest.raises(BudgetError) as caught:
        budget_file.parse(text, "budgets.yaml")
    return [item.code for item in caught.value.diagnostics]


def rule(line: str) -> str:
    return f"{START}rules:\n  - {{{line}}}\n"


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_files_are_read(path: Path) -> None:
    budget = budget_file.read(path, "budgets.yaml")
    assert budget.version == 1
    assert budget.path == str(path)
    assert budget.rules
    assert budget.models
    assert {rule.span.file for rule in budget.rules} == {"budgets.yaml"}
    assert all(
        limit.span.source[limit.span.column - 1 :].lstrip("'\"").startswith(limit.text)
        for rule in budget.rules
        for limit in rule.limits
    )


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_bad_files_say_what_to_do(path: Path, golden: Callable[[Path, str], None]) -> None:
    with pytest.raises(BudgetError) as caught:
        budget_file.read(path, "budgets.yaml")
    found = caught.value.diagnostics
    assert caught.value.exit is Exit.CANNOT_START
    assert all(item.help for item in found)
    assert path.stem.startswith(found[0].code), "a bad file is named after the first code it shows"
    places = [(item.span.line, item.span.column) for item in found if item.span]
    assert places == sorted(places)
    golden(path.with_suffix(".txt"), str(caught.value))


@pytest.mark.parametrize("name", MADE)
def test_made_bad_files(name: str, tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    path = tmp_path / "budgets.yaml"
    content = MADE[name]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BudgetError) as caught:
        budget_file.read(path, "budgets.yaml")
    assert str(tmp_path) not in str(caught.value)
    golden(HERE / "bad" / f"{name}.txt", str(caught.value))


def test_a_folder_is_no_budget(tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match=r"cannot read budgets\.yaml: is a directory"):
        budget_file.read(tmp_path, "budgets.yaml")


def test_the_nouns_of_a_full_budget() -> None:
    budget = budget_file.read(HERE / "good" / "design.yaml", "budgets.yaml")
    (model,) = budget.models
    assert (model.name, model.path, model.baseline) == ("sentiment", "models/sentiment.onnx", None)
    assert model.workload == WorkloadSpec(inputs=(InputSpec("input_ids", (1, 128), "int64", max=30522.0),))
    (source,) = model.accuracy
    assert (source.metric, source.options) == ("accuracy", {"file": "eval/sentiment.json", "key": "f1"})
    assert str(model.span) == "budgets.yaml:3:5"
    energy, compute, tail, size, quality = budget.rules
    assert [(item.kind, item.value, item.text, item.relative) for item in energy.limits] == [
        ("max_increase", 0.05, "5%", True)
    ]
    assert isinstance(energy.unless, TradeOff)
    assert (energy.unless.metric, energy.unless.gain.value, energy.unless.approved) == ("accuracy", 0.005, True)
    assert [limit.value for limit in energy.unless.limits] == [0.15]
    assert compute.unless is not None
    assert compute.unless.limits == ()
    assert [(limit.kind, limit.value) for limit in size.limits] == [("max", 120e6), ("max_increase", 0.1)]
    assert (tail.severity, size.severity, tail.models, tail.ignore_below) == ("fail", "warn", (), None)
    assert [(limit.value, limit.relative) for limit in quality.limits] == [(0.002, False)]
    (waiver,) = budget.waivers
    assert isinstance(waiver, Waiver)
    assert (waiver.rule, waiver.model, waiver.ceiling) == ("tail", "sentiment", 0.06)
    assert waiver.expires == datetime.date(2027, 1, 31)


def test_defaults() -> None:
    budget = budget_file.parse(START + "rules:\n  - {metric: size, max: 1 MB}\n", "b.yaml")
    assert (budget.path, budget.baseline, budget.worker, budget.waivers) == ("b.yaml", None, WorkerLimits(), ())
    assert budget.models[0].workload == WorkloadSpec()
    assert budget.models[0].name == "sentiment"
    assert budget.rules[0].id == "size"
    assert budget.digest.startswith("sha256:")


def test_text_and_bytes_are_one_budget() -> None:
    text = START + "rules:\n  - {metric: size, max: 1 MB}\n"
    assert budget_file.parse(text, "b.yaml") == budget_file.parse(text.encode(), "b.yaml")
    assert budget_file.parse(text + "# more\n", "b.yaml").digest != budget_file.parse(text, "b.yaml").digest


def test_everything_optional() -> None:
    budget = budget_file.parse(
        """version: 1
baseline: dir:.greengate/baselines
workload: {batch_size: 4, threads: 2, seed: 7}
worker: {timeout: 90 s, memory: 2 GiB}
models:
  - {path: a.onnx, baseline: none}
  - name: b
    path: b.onnx
    inputs:
      from: recorded.npz
      flag: {value: true}
      state: {shape: [], dtype: float32, min: -1.5, max: 2}
rules:
  - {metric: throughput, min: 200/s, max_decrease: 5%, ignore_below: 3/s, models: ["[ab]"], severity: off}
  - {metric: accuracy, max_decrease: 1 pp, ignore_below: 0.1 pp}
""",
        "b.yaml",
    )
    assert budget.baseline == "dir:.greengate/baselines"
    assert budget.worker == WorkerLimits(90.0, 2.0 * 2**30)
    first, second = budget.models
    assert first.baseline == "none"
    assert first.workload == WorkloadSpec(4, 2, 7)
    assert second.workload == WorkloadSpec(
        4, 2, 7, (InputSpec("flag", value=1.0), InputSpec("state", (), "float32", -1.5, 2.0)), "recorded.npz"
    )
    throughput, accuracy = budget.rules
    assert (throughput.ignore_below, throughput.models, throughput.severity) == (3.0, ("[ab]",), "off")
    assert [(limit.kind, limit.value) for limit in throughput.limits] == [("min", 200.0), ("max_decrease", 0.05)]
    assert accuracy.ignore_below == pytest.approx(0.001)


def test_yaml_traps_are_read_as_yaml_1_2_reads_them() -> None:
    budget = budget_file.read(HERE / "good" / "yaml-traps.yaml")
    assert [model.path for model in budget.models] == ["on", "2027-01-31", "off.onnx"]
    assert budget.models[0].workload == WorkloadSpec(8, 1, 1000)
    assert budget.models[1].workload.recorded == "yes.npz"
    assert budget.models[1].workload.inputs == (InputSpec("no", value=1.0), InputSpec("0", min=-0.5, max=1000.0))
    assert budget.models[2].workload.inputs == (InputSpec("from", ()),)
    assert budget.rules[0].severity == "off"
    assert [limit.value for rule in budget.rules for limit in rule.limits] == [2**29, 16, 1000, 0, 25e6]
    assert budget.rules[3].models == ("5", "[2]*", "off")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("macs, max: 3 GFLOP", 1.5e9),
        ("flops, max: 1.5 GMACs", 3e9),
        ("size, max: 1 KiB", 1024.0),
        ("latency_p50, max: 900 µs", 900e-6),
        ("energy_per_1k, max: 1 Wh", 3600.0),
        ("co2e_per_1k, max: 3 g", 0.003),
        ("params, max: 25M", 25e6),
        ("accuracy, min: 0.95", 0.95),
    ],
)
def test_limits_are_si_inside(line: str, value: float) -> None:
    (found,) = budget_file.parse(rule(f"metric: {line}"), "b.yaml").rules[0].limits
    assert isinstance(found, Limit)
    assert found.value == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # A name that could not be read makes no other name unknown.
        ("version: 1\nmodels: [{path: 5}]\nrules: [{metric: size, max: 1 B, models: [x]}]\n", ["wrong-type"]),
        (
            "version: 1\nmodels: [{path: a.onnx, name: a b}]\nrules: [{metric: size, max: 1 B, models: [x]}]\n",
            ["bad-value"],
        ),
        (
            START
            + "rules: [{metric: sise, max: 1 B}]\nwaivers: [{rule: size, model: sentiment, ceiling: 2 B, reason: r, "
            "approved_by: a, expires: 2027-01-31}]\n",
            ["unknown-metric"],
        ),
        # An unknown metric is one mistake: its limits are not judged by another's units.
        (
            rule("metric: sise, max: 45 parsecs, min: 3, unless: {accuracy_gain: 1 pp, max_increase: 3 apples}"),
            ["unknown-metric"],
        ),
        # A limit on the wrong side is a limit all the same.
        (rule("metric: size, min: 3 MB"), ["wrong-direction"]),
        # Duplicate keys leave the rest worth reading.
        (rule("metric: size, max: 1 B, max: 2 B, severity: eror"), ["duplicate-key", "bad-value"]),
        # A waiver half read is one mistake, and so is a ceiling of no unit or of nothing.
        (waived("rule: size, ceiling: 2 MB"), ["missing-key"]),
        (waived("rule: size, model: sentiment, ceiling: -2 MB"), ["bad-value"]),
        (waived("rule: size, model: sentiment, ceiling: two"), ["bad-number"]),
        (waived("rule: size, model: sentiment, ceiling: [2 MB]"), ["wrong-type"]),
        (rule("metric: params, max: true"), ["wrong-type"]),
        (rule("metric: throughput, min: [200/s]"), ["wrong-type"]),
        (rule("metric: latency_p95, max_increase: [5%]"), ["wrong-type"]),
        (rule("metric: accuracy, max_decrease: true"), ["wrong-type"]),
        ("\n", ["empty-file"]),
        ("just text\n", ["wrong-type"]),
        ("{}\n", ["missing-key"] * 3),
        (START + "rules: {}\n", ["wrong-type"]),
        (START.replace("version: 1", "version: true") + "rules: [{metric: size, max: 1 B}]\n", ["wrong-type"]),
        (START.replace("version: 1", "version: '1'") + "rules: [{metric: size, max: 1 B}]\n", ["wrong-type"]),
        (START.replace("version: 1", "version: 1.5") + "rules: [{metric: size, max: 1 B}]\n", ["wrong-type"]),
        (rule("metric: latency_p95, max: -0 ms"), ["bad-value"]),
        (rule("metric: latency_p95, max_increase: -0%"), ["bad-value"]),
        (rule("metric: [size], max: 1 MB"), ["wrong-type"]),
        (rule("metric: size, max: [1 MB]"), ["wrong-type"]),
        (rule("metric: latency_p95, max: true"), ["wrong-type"]),
        (rule("metric: latency_p95, max: 2027-01-31"), ["wrong-type"]),
        (rule("metric: params, max: -3"), ["bad-value"]),
        (rule("metric: params, max: 0"), ["bad-value"]),
        (rule("metric: accuracy, min: 0"), ["bad-value"]),
        (rule("metric: accuracy, min: 1.01"), ["bad-value"]),
        (rule("metric: params, max: 3 MB"), ["unknown-unit"]),
        (rule("metric: throughput, min: 200"), ["missing-unit"]),
    ],
)
def test_mistakes_are_told_once(text: str, expected: list[str]) -> None:
    assert codes(text) == expected


def test_almost_everything_is_not_everything() -> None:
    nines = "99." + "9" * 30
    assert budget_file.parse(rule(f"metric: throughput, max_decrease: {nines}%"), "b.yaml").rules


def test_thousands_of_mistakes_are_all_told() -> None:
    text = START + "rules:\n" + "".join(f"  - {{id: r{n}, metric: size, max: {n} parsecs}}\n" for n in range(2000))
    assert codes(text) == ["unknown-unit"] * 2000


def test_long_values_are_cut_in_messages() -> None:
    with pytest.raises(BudgetError) as caught:
        budget_file.parse(rule(f"metric: size, max: {'x' * 5000}, severity: {'y' * 5000}"), "b.yaml")
    assert all(len(line) < 250 for line in str(caught.value).splitlines())


def test_models_of_pytorch() -> None:
    own, script, folder = budget_file.read(HERE / "good/torch.yaml").models
    assert own.name == "make"
    assert own.recipe.weights == "vision.safetensors"
    args = {"depths": [2, 2], "stem": {"bias": False, "drop": None, "kind": "patch", "scale": 0.5}, "width": 64}
    assert json.loads(own.recipe.args) == args
    asked = WorkloadSpec(
        inputs_from="src/nets.vision:inputs", device="cuda:1", precision="bf16", compile=True, channels_last=True
    )
    assert own.workload == asked
    assert (script.recipe, script.workload.device, script.workload.precision) == (NO_RECIPE, "cpu", None)
    assert [item.name for item in script.workload.inputs] == ["x", "batch.image"]
    assert (folder.name, folder.workload.precision) == ("minilm", "fp16")


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ("device: cuda", ""),
        ("device: 'cuda:1', precision: tf32", ""),
        ("device: cpu, precision: tf32", "`precision` is for PyTorch models"),
        ("precision: tf32", "`precision` is for PyTorch models"),
        ("device: cuda, precision: bf16", "`precision` is for PyTorch models"),
        ("device: cuda, compile: true", "`compile` is for PyTorch models"),
    ],
)
def test_an_onnx_model_may_run_on_a_board(keys: str, fault: str) -> None:
    text = f"version: 1\nmodels: [{{name: m, path: m.onnx, {keys}}}]\nrules: [{{metric: macs, max: 1 MMAC}}]\n"
    if fault:
        with pytest.raises(BudgetError, match=fault):
            budget_file.parse(text, "budgets.yaml")
    else:
        (entry,) = budget_file.parse(text, "budgets.yaml").models
        assert entry.workload.device.startswith("cuda")


def test_what_a_language_model_is_to_generate() -> None:
    text = START.replace("sentiment.onnx", "writer") + "    generate: {prompt_tokens: 128, new_tokens: 64}\n"
    (entry,) = budget_file.parse(text + "rules:\n  - {metric: tokens_per_second, min: 20/s}\n", "budgets.yaml").models
    assert entry.workload.generate == Generation(128, 64)


@pytest.mark.parametrize(("metric", "edge", "upper"), [("flops", 0.1, True), ("quantized_share", -0.1, False)])
def test_a_drift_is_bounded_on_the_side_where_it_gets_worse(metric: str, edge: float, upper: bool) -> None:
    change = "10 pp" if metric == "quantized_share" else "10%"
    text = rule(f"metric: {metric}, max_drift: {{limit: {change}, over: 90 d}}")
    (limit,) = budget_file.parse(text, "budgets.yaml").rules[0].limits
    assert (limit.kind, limit.edge, limit.upper, limit.over) == ("max_drift", edge, upper, 90)
    assert limit.text == f"{change} in 90 d"


@pytest.mark.parametrize(
    ("written", "called"),
    [
        ("2027-01-31", "the text '2027-01-31'"),
        ("m.onnx", "the text 'm.onnx'"),
        ("20", "the number 20"),
        ("2.5", "the number 2.5"),
        ("yes", "the text 'yes'"),
        ("true", "true"),
        ("{}", "a mapping"),
    ],
)
def test_what_is_no_list_is_called_what_it_is(written: str, called: str) -> None:
    with pytest.raises(BudgetError) as caught:
        budget_file.parse(f"version: 1\nmodels: {written}\nrules: [{{metric: size, max: 1 MB}}]\n", "budgets.yaml")
    assert [(one.code, one.message) for one in caught.value.diagnostics] == [
        ("wrong-type", f"`models` must be a list, not {called}")
    ]
