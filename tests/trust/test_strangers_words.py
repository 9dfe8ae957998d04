"""What a model of the change is called, or has in it, is no command to the server that runs the gate."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper
from world import BUDGET, World, fake

ONNX = "version: 1\nmodels:\n  - {name: net, path: net.onnx}\nrules:\n  - {metric: size, max: 1 GB}\n"
EVIL = "x\n::error file=a.py::pwned\n::stop-commands::t\r##[group]y\x1b[2Jz"


def named(name: str, shape: tuple[str | int, ...] = (1, "n")) -> bytes:
    """Return a model whose one input has this name."""
    float32 = TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Relu", [name], ["y"])],
        "net",
        [helper.make_tensor_value_info(name, float32, shape)],
        [helper.make_tensor_value_info("y", float32, shape)],
    )
    opsets = [helper.make_opsetid("", 17)]
    return onnx.ModelProto.SerializeToString(helper.make_model(graph, opset_imports=opsets, ir_version=8))


@pytest.mark.parametrize("command", [("check", "--static-only"), ("profile", "net.onnx", "--static-only"), ("init",)])
def test_a_tensors_name_is_no_line_of_its_own(world: World, command: tuple[str, ...]) -> None:
    world.land({"net.onnx": named("x"), "budgets.yaml": ONNX})
    world.propose({"net.onnx": named(EVIL)})
    folder = world.checkout()
    if command == ("init",):
        (folder / "budgets.yaml").unlink()
    _, out, err = world.run(folder, *command)
    told = out + err
    assert "pwned" in told
    assert not [line for line in told.splitlines() if line.lstrip().startswith("::")]
    assert "##[" not in told
    assert "\x1b" not in told


def test_a_part_that_a_plan_lacks_is_told_in_one_line(world: World) -> None:
    world.land({"net.fake.yaml": fake(), "budgets.yaml": BUDGET})
    world.propose({"net.fake.yaml": fake("11 MB")})
    folder = world.checkout()
    plan = folder / "p\n::error::pwned.json"
    assert world.run(folder, "plan", "--output", str(plan))[0] == 0
    code, _, err = world.run(folder, "check", "--static-only", "--plan", str(plan), "--part", "none")
    assert (code, "pwned" in err) == (0, True)
    assert not [line for line in err.splitlines() if line.startswith("::")]
