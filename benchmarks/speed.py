"""What the command line costs, as ratios within one run: `make bench-speed`.

Each comparison runs two commands in turn, A B, B A, ..., so that a slow spell of the machine meets both. The ratio is
that of the medians. greengate uses two cores where there are two: a worker imports the runtimes while the command
line is read. Nothing here passes or fails a test: times depend on the machine, ratios much less so.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROUNDS = 15
PYTHON = sys.executable
GREENGATE = str(Path(PYTHON).with_name("greengate"))
HEAVY = ("numpy", "onnx", "onnxruntime", "torch", "rich")
WIDTH = 1120  # two square layers of this width hold 10 MB of float32 weights

BARE = """
import sys
import numpy as np
import onnxruntime as ort
session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
session.run(None, {"x": np.zeros((1, int(sys.argv[2])), np.float32)})
"""

BUDGET = """\
version: 1
models:
  - {name: ten, path: ten.onnx}
rules:
  - {id: size, metric: size, max: 20 MB}
  - {id: params, metric: params, max: 5M}
  - {id: compute, metric: flops, max: 20 MFLOP}
  - {id: memory, metric: activation_memory, max: 1 GB}
"""


@dataclass(frozen=True)
class Comparison:
    """Seconds of both commands, in the order they ran; `target` bounds the ratio of their medians."""

    name: str
    target: float
    command: str
    yardstick: str
    seconds: tuple[float, ...]
    yardstick_seconds: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Median over median."""
        return statistics.median(self.seconds) / statistics.median(self.yardstick_seconds)

    def lines(self) -> list[str]:
        """Return what is printed: the ratio, then the spread of each command."""
        met = "met" if self.ratio <= self.target else "NOT MET"
        return [
            f"{self.name}: {self.ratio:.2f}x (target: at most {self.target:g}x, {met})",
            f"  {_spread(self.seconds)}  {self.command}",
            f"  {_spread(self.yardstick_seconds)}  {self.yardstick}",
        ]


def _spread(seconds: tuple[float, ...]) -> str:
    milliseconds = [value * 1000 for value in (statistics.median(seconds), min(seconds), max(seconds))]
    return "median {:7.1f} ms, min {:7.1f}, max {:7.1f}".format(*milliseconds)


def compare(
    name: str, target: float, command: list[str], yardstick: list[str], *, cwd: Path, rounds: int
) -> Comparison:
    """Time both commands `rounds` times, in alternating order, after one run of each that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for index in range(-1, rounds):
        turn = [(times[0], command), (times[1], yardstick)]
        for kept, arguments in turn if index % 2 == 0 else turn[::-1]:
            seconds = _time(arguments, cwd)
            if index >= 0:
                kept.append(seconds)
    shown = [" ".join(_short(word) for word in words) for words in (command, yardstick)]
    return Comparison(name, target, shown[0], shown[1], tuple(times[0]), tuple(times[1]))


def _time(command: list[str], cwd: Path) -> float:
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1"}
    begin = time.perf_counter()
    answer = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    if answer.returncode:
        sys.exit(f"{' '.join(command)} ended with {answer.returncode}:\n{answer.stdout}{answer.stderr}")
    return seconds


def _short(word: str) -> str:
    if word == BARE:
        return "'load it, run it once'"
    return f"'{word}'" if " " in word else Path(word).name if word.startswith("/") else word


def write_model(folder: Path) -> Path:
    """Write a network of two square layers, 10 MB of weights that do not compress or repeat."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weights = [random.standard_normal((WIDTH, WIDTH), dtype=np.float32) / WIDTH**0.5 for _ in range(2)]
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w1"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, WIDTH]) for name in "xy"]
    initialisers = [numpy_helper.from_array(array, f"w{index}") for index, array in enumerate(weights)]
    graph = helper.make_graph(nodes, "ten", ends[:1], ends[1:], initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "ten.onnx")
    (folder / "budgets.yaml").write_text(BUDGET, encoding="utf-8")
    return folder / "ten.onnx"


def loaded_by_version() -> list[str]:
    """Return which heavy modules `greengate --version` loads; the list is meant to be empty."""
    code = f"""
import sys
from greengate.__main__ import main
sys.argv[1:] = ["--version"]
try:
    main()
finally:
    print(*(name for name in {HEAVY} if name in sys.modules))
"""
    answer = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
    return answer.stdout.splitlines()[-1].split()


def machine() -> dict[str, object]:
    """Return what the figures belong to: processor, load, versions."""
    cpu = platform.processor()
    if (info := Path("/proc/cpuinfo")).exists():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    packages = ("greengate-ci", "click", "pyyaml", "numpy", "onnx", "onnxruntime")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
    }


def measure(rounds: int) -> list[Comparison]:
    """Run every comparison."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = write_model(folder)
        start, imports = [GREENGATE, "--version"], [PYTHON, "-c", "import click, yaml"]
        check = [GREENGATE, "check", "--static-only", "--against", "none"]
        bare = [PYTHON, "-c", BARE, str(model), str(WIDTH)]
        return [
            compare("start", 1.5, start, imports, cwd=folder, rounds=rounds),
            compare("check of a 10 MB model", 2.0, check, bare, cwd=folder, rounds=rounds),
        ]


def main() -> None:
    """Print the ratios, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each command that count")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    here, heavy, results = machine(), loaded_by_version(), measure(options.rounds)
    print("\n".join(f"{key}: {value}" for key, value in here.items()))
    print(f"greengate --version loads of {', '.join(HEAVY)}: {', '.join(heavy) or 'none'}")
    for result in results:
        print("\n".join(result.lines()))
    if options.json:
        figures = [asdict(result) | {"ratio": result.ratio} for result in results]
        record = {"machine": here, "loaded_by_version": heavy, "rounds": options.rounds, "comparisons": figures}
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
