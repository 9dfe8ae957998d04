"""Count every model of onnx's own backend tests: counted, unknown with its name, or refused with its reason.

    python benchmarks/backend_tally.py            print the tally
    python benchmarks/backend_tally.py --write    and put it into docs/operations.md

The cases are those of the installed onnx wheel. Each goes through the code that the gate runs in its worker, with the
inputs that the case records. No case may end any other way.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
PAGE = Path(__file__).parent.parent / "docs" / "operations.md"
BEGIN, END = "<!-- tally -->", "<!-- /tally -->"


@dataclass(frozen=True)
class Result:
    """How one case ended: `counted`, `free` (0 MACs), `unknown`, or `refused`; why, and by which method."""

    name: str
    outcome: str
    reason: str = ""
    macs: float = 0
    weighed: str = ""
    method: str = ""


def cases() -> Iterator[tuple[str, bytes, list[Any]]]:
    """Yield name, model and inputs of every case of the wheel that carries its model."""
    import onnx
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [case for kind in KINDS for case in load_model_tests(kind=kind)]
    for case in found:
        if case.model is not None:
            yield case.name, case.model.SerializeToString(), list(case.data_sets[0][0])
        else:
            folder = Path(case.model_dir)
            proto = onnx.load(folder / "model.onnx")
            yield case.name, proto.SerializeToString(), _stored_inputs(folder / "test_data_set_0", proto)


def _stored_inputs(folder: Path, proto: Any) -> list[Any]:
    import onnx
    from onnx import numpy_helper

    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = []
    for position, declared in enumerate(item for item in proto.graph.input if item.name not in weights):
        data = (folder / f"input_{position}.pb").read_bytes()
        if declared.type.HasField("sequence_type"):
            inputs.append(numpy_helper.to_list(onnx.SequenceProto.FromString(data)))
        else:
            inputs.append(numpy_helper.to_array(onnx.TensorProto.FromString(data)))
    return inputs


def run(name: str, model: bytes, inputs: list[Any], folder: Path) -> Result:
    """Count one model as the gate's worker does."""
    from greengate.profile import Missing
    from greengate.profiler.backends.onnx_count import count_model
    from greengate.profiler.jobs import CountJob, Refused

    path = folder / "model.onnx"
    path.write_bytes(model)
    spec = _workload(model, inputs, folder)
    try:
        found = count_model(CountJob(str(path), spec), lambda _: None).measurements
    except Refused as refused:
        return Result(name, "refused", f"{refused.code}: {refused.message.replace(f'{path}: ', '')}")
    macs, work = found["macs"], found["elementwise_ops"]
    if isinstance(macs, Missing):
        return Result(name, "unknown", macs.reason)
    weighed = work.reason if isinstance(work, Missing) else ""
    return Result(name, "counted" if macs.value else "free", "", macs.value, weighed, macs.method)


def _workload(model: bytes, inputs: list[Any], folder: Path) -> Any:
    """Write the recorded inputs that a file of arrays can hold; describe tensors of types that numpy does not have.

    What is no tensor is left out, for the gate to say so.
    """
    import numpy as np
    import onnx

    from greengate.profile import InputSpec, WorkloadSpec

    proto = onnx.ModelProto.FromString(model)
    weights = {tensor.name for tensor in proto.graph.initializer}
    names = [item.name for item in proto.graph.input if item.name not in weights]
    kept, described = {}, []
    for name, value in zip(names, inputs, strict=False):
        if isinstance(value, onnx.TensorProto):
            described.append(InputSpec(name, tuple(value.dims)))
        if not (isinstance(value, np.ndarray) or np.isscalar(value)):
            continue
        array = np.asarray(value)
        if array.dtype.kind != "V":
            kept[name] = array.astype(str) if array.dtype == object else array
        else:
            described.append(InputSpec(name, array.shape))
    if kept:
        np.savez(folder / "inputs.npz", **kept)
    return WorkloadSpec(inputs=tuple(described), recorded=str(folder / "inputs.npz") if kept else None)


def tally(limit: int | None = None, every: int = 1) -> list[Result]:
    """Count the cases in this process, in a folder that is deleted."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            chosen = [case for position, case in enumerate(cases()) if position % every == 0]
            return [run(*case, Path(name)) for case in chosen[:limit]]
        finally:
            os.chdir(before)


def report(results: list[Result], seconds: float) -> str:
    """Write the tally as markdown."""
    import onnx
    import onnxruntime

    outcomes = Counter(result.outcome for result in results)
    text = [
        f"{len(results):,} models of onnx {onnx.__version__}, run by onnxruntime {onnxruntime.__version__} on CPU "
        f"in {seconds:.0f} s (`benchmarks/backend_tally.py`):",
        "",
        "| outcome | models |",
        "|---|---|",
        f"| counted, with multiply-accumulates | {outcomes['counted']:,} |",
        f"| counted, and free of them | {outcomes['free']:,} |",
        f"| unknown: `macs` is Missing, with the operator's name | {outcomes['unknown']:,} |",
        f"| refused, with a reason | {outcomes['refused']:,} |",
        "| anything else | 0 |",
        "",
        f"{sum(result.method == 'static' for result in results):,} of those counted cannot run here, and were counted "
        "without running.",
    ]
    for outcome, title in (("unknown", "Unknown, by operator:"), ("refused", "Refused, by reason:")):
        groups: dict[str, list[str]] = defaultdict(list)
        for result in results:
            if result.outcome == outcome:
                groups[_kind(result.reason)].append(result.name)
        text += ["", title, ""] if groups else []
        text += [
            f"- {reason}: {len(names):,}" for reason, names in sorted(groups.items(), key=lambda item: -len(item[1]))
        ]
    untold = Counter(_kind(result.weighed) for result in results if result.weighed)
    text += ["", "Element-wise work that shapes do not tell:", ""] if untold else []
    text += [f"- {reason}: {times:,}" for reason, times in untold.most_common()]
    return "\n".join(text)


#: What differs between messages that mean the same.
_SAME = (
    (r"^operators that this version does not count: | \(\d+ of \d+ operators understood\)$", ""),
    (r"^operators whose work shapes do not tell: ", ""),
    (r"input ['`][^'`]*['`]", "an input"),
    (r"an input is no tensor of known rank, which", "an input that is no tensor, which"),
    (r"an input is \S+, which this version cannot feed", "an input of a type that this version cannot feed"),
    (r"(No corresponding Numpy type).*", r"\1 for an output"),
    (r"onnxruntime [\d.]+", "onnxruntime"),
    (r"no implementation of \S+", "no implementation of an operator"),
    (r"no operator \S+", "no operator of this name"),
    (r" \(opset \d+\)", ""),
    (r"(running \w+ node).*", r"\1"),
    (r"(Exception during initialization): .*", r"\1"),
    (r"\S+/inputs.npz", "the file"),
)


def _kind(reason: str) -> str:
    """Take names and numbers out of a reason, so that equal ones meet."""
    for pattern, words in _SAME:
        reason = re.sub(pattern, words, reason)
    return reason


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    start = time.monotonic()
    text = report(tally(), time.monotonic() - start)
    print(text)
    if arguments.write:
        page = PAGE.read_text(encoding="utf-8")
        begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
        PAGE.write_text(f"{page[:begin]}\n{text}\n{page[end:]}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
