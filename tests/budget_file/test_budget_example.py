"""budgets.example.yaml validates, and shows every key of the format."""

from pathlib import Path

from greengate import budget_file, yamlspan
from greengate.budget_file.format import BUDGET
from greengate.budget_file.shape import Either, Items, Keys, Named, Several, Shape, Variants
from greengate.metrics import METRICS
from greengate.units import UNITS
from greengate.yamlspan import Mapping, Node, Sequence

EXAMPLE = Path(__file__).parents[2] / "budgets.example.yaml"


def keys_of(shape: Shape, at: str = "") -> set[str]:
    """Return the path of every key that a shape has."""
    match shape:
        case Keys():
            below = [keys_of(key.shape, f"{at}.{name}") | {f"{at}.{name}"} for name, key in shape.keys.items()]
            return set().union(*below)
        case Items():
            return keys_of(shape.item, f"{at}[]")
        case Several():
            return keys_of(shape.items.item, at)
        case Named():
            fixed = {f"{at}.{name}" for name in shape.fixed}
            return fixed | keys_of(shape.item, f"{at}.*")
        case Either():
            return keys_of(shape.keys, at)
        case Variants():
            return set().union(*(keys_of(variant, at) for variant in shape.variants.values()))
    return set()


def keys_in(node: Node, at: str = "") -> set[str]:
    """Return the path of every key that stands in a document; names of the user's own are `*`."""
    match node:
        case Mapping():
            if at.endswith(".args"):
                return set()
            own = at.endswith(".inputs")
            found = set()
            for key, value in node.pairs:
                path = f"{at}.*" if own and key.text != "from" else f"{at}.{key.text}"
                found |= keys_in(value, path) | (set() if path.endswith("*") else {path})
            return found
        case Sequence():
            several = at.endswith(".accuracy")  # one value or a list of them
            return set().union(*(keys_in(item, at if several else f"{at}[]") for item in node.items))
    return set()


def test_it_validates() -> None:
    assert len(budget_file.read(EXAMPLE).models) == 5


def test_it_shows_every_key() -> None:
    expected = keys_of(BUDGET)
    some = {".rules[].unless.max_decrease", ".rules[].overrides[].max", ".models[].inputs.*.dtype"}
    assert some | {".models[].accuracy.command"} <= expected
    # One of two ways to say an intensity stands in a comment, and so does what would have to be there to be read.
    told = {".carbon.country", ".extends", ".extends.git", ".extends.rev", ".extends.path"}
    assert keys_in(yamlspan.load(EXAMPLE)) | told == expected
    for line in ("carbon: {country: FRA}", "extends: policy/models.yaml", "extends: {git: "):
        assert f"#     {line}" in EXAMPLE.read_text("utf-8")


def test_it_names_every_metric_and_unit() -> None:
    text = EXAMPLE.read_text("utf-8")
    long = text.replace("_p95, _p99", "_p95, latency_p95, latency_p99").replace("cpu_...", "cpu_energy_per_1k")
    long = long.replace("gpu_..", "gpu_energy_per_1k")
    assert [name for name in METRICS if name not in long] == []
    plain = {unit for units in UNITS.values() for unit in units if not unit.endswith(("MAC", "FLOP"))}
    assert [unit for unit in plain if unit not in text] == []


def test_the_small_budget_in_its_comments_validates() -> None:
    lines = EXAMPLE.read_text("utf-8").splitlines()
    start = lines.index("#     version: 1")
    small = "\n".join(line.removeprefix("#     ") for line in lines[start : start + 6])
    assert [rule.id for rule in budget_file.parse(small, "b.yaml").rules] == ["size", "latency_p95"]


def test_lines_fit_a_page() -> None:
    assert max(map(len, EXAMPLE.read_text("utf-8").splitlines())) <= 120
