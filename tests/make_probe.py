"""Write greengate/profiler/probe.onnx, the network `greengate doctor` runs when no model is named.

About 57 MMACs in six 3x3 convolutions with weights filled by the runtime, so that the file stays below 3 kB:
    python tests/make_probe.py
"""

from __future__ import annotations

from pathlib import Path

from onnx import TensorProto, helper

PROBE = Path(__file__).parents[1] / "greengate" / "profiler" / "probe.onnx"
CHANNELS, SIDE, LAYERS = 16, 64, 6


def model() -> bytes:
    shape = helper.make_tensor("shape", TensorProto.INT64, [4], [CHANNELS, CHANNELS, 3, 3])
    # 1 / (9 x 16): a layer of ones stays of the order of one, so that no value becomes subnormal.
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [1 / (9 * CHANNELS)])
    nodes = [helper.make_node("ConstantOfShape", ["shape"], ["weight"], value=value)]
    previous = "images"
    for layer in range(LAYERS):
        nodes.append(helper.make_node("Conv", [previous, "weight"], [f"c{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"]))
        previous = f"r{layer}"
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", CHANNELS, SIDE, SIDE])
    result = helper.make_tensor_value_info(previous, TensorProto.FLOAT, ["batch", CHANNELS, SIDE, SIDE])
    graph = helper.make_graph(nodes, "probe", [images], [result], [shape])
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="greengate"
    )
    return made.SerializeToString(deterministic=True)


if __name__ == "__main__":
    PROBE.write_bytes(model())
