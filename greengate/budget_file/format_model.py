"""The format of one model of the budget; format.py holds the rest."""

from __future__ import annotations

from greengate.budget_file.shape import (
    CODE,
    DEVICE,
    END,
    NAME,
    ONE_LINE,
    URI,
    Anything,
    Flag,
    Items,
    Key,
    Keys,
    Named,
    Number,
    Several,
    Text,
    Variants,
    Whole,
)

PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
DTYPES = (
    *("float16", "float32", "float64", "bool"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)

NAMES = Text(NAME, "use letters, digits, `_`, `.` and `-`, beginning with a letter, a digit or `_`")
PATHS = Text(ONE_LINE, "write a path on one line, without spaces around it")
LINES = Text(ONE_LINE, "write one line, without spaces around it")
URIS = Text(URI, "write `auto`, `none`, or a scheme and a place, such as `file:models/old.onnx`")
_DEVICE = Text(DEVICE, "write `cpu`, `cuda` or `cuda:0`")
_CODE = Text(CODE, "write `package.module:function`")

_INPUT = Keys(
    {
        "shape": Key(Items(Whole(0, 2**31 - 1), "a dimension"), "Every dimension, the batch included.", "[1, 128]"),
        "dtype": Key(Text(choices=DTYPES), "Type of the values; checked against the model.", "int64"),
        "min": Key(Number(), "Smallest value fed.", "0"),
        "max": Key(Number(), "Upper bound of the values fed; itself never fed.", "30522"),
        "value": Key(Number(flags=True), "One value that fills the whole input, instead of min and max.", "1"),
    },
    any_of=("shape", "dtype", "min", "max", "value"),
    apart=(("value", "min"), ("value", "max")),
)

_INPUTS = Named(
    _INPUT,
    "input",
    "{shape: [1, 128]}",
    {"from": Key(PATHS, "An .npz file with recorded inputs, fed in their order.", "data.npz")},
)

_SCORE = Text(rf"^(?:top1|topk:[1-9][0-9]{{0,3}}|mse|r2|f1|roc_auc){END}", "write top1, topk:5, f1, roc_auc, r2 or mse")

_ARRAY = Text(ONE_LINE, "write the name of an array in the file")
_CLASSES = Items(Whole(-(2**31), 2**31 - 1), "a label", fewest=1)

_CALLED = {"name": Key(NAMES, "What rules call it; `accuracy` if absent.", "f1")}
_DECLARED = {
    **_CALLED,
    "better": Key(Text(choices=("higher", "lower")), "Which way is better; higher if absent.", "lower"),
    "ratio": Key(Flag(), "Whether it is a ratio, whose changes are in pp; true if absent.", "false"),
}

_ACCURACY = Variants(
    {
        "file": Keys(
            {
                **_DECLARED,
                "file": Key(PATHS, "A JSON file in which the accuracy is written.", "eval/result.json", required=True),
                "key": Key(LINES, "The key in that file; `a.b` for nested ones.", "f1", required=True),
            }
        ),
        "command": Keys(
            {
                **_DECLARED,
                "command": Key(
                    LINES,
                    "A command that prints JSON; `{model}` is the file.",
                    "python evaluate.py {model}",
                    required=True,
                ),
                "key": Key(LINES, "The key in what it prints; `a.b` for nested ones.", "f1", required=True),
            }
        ),
        "data": Keys(
            {
                **_CALLED,
                "data": Key(PATHS, "An .npz file with inputs and labels.", "held_out.npz", required=True),
                "metric": Key(_SCORE, "How to score the model on it.", "top1", required=True),
                "mask": Key(_ARRAY, "A boolean array of the file: score only samples where it is true.", "is_rare"),
                "labels": Key(_CLASSES, "Score only samples with one of these labels.", "[3, 7]"),
            },
            apart=(("mask", "labels"),),
        ),
    }
)

_GENERATE = Keys(
    {
        "prompt_tokens": Key(Whole(1, 2**20), "Tokens of the prompt.", "128", required=True),
        "new_tokens": Key(Whole(1, 2**20), "Tokens made after it, exactly.", "64", required=True),
    }
)

MODEL = Keys(
    {
        "path": Key(PATHS, "The model file, relative to this file.", "models/sentiment.onnx", required=True),
        "name": Key(NAMES, "What reports call it; the file's name without its ending if absent.", "sentiment"),
        "inputs": Key(_INPUTS, "What the model leaves open about its inputs.", "{x: {shape: [1, 128]}}"),
        "accuracy": Key(
            Several(Items(_ACCURACY, "the accuracy", fewest=1)),
            "Where the accuracy comes from; or a list of several, each with a name.",
            "{file: eval/result.json, key: f1}",
        ),
        "baseline": Key(URIS, "What this model is compared with, instead of the file's `baseline`.", "auto"),
        "training": Key(PATHS, "What training it cost: of `greengate track`, or an emissions.csv.", "training.json"),
        "weights": Key(PATHS, "Weights for the model that code makes: safetensors or a state dict.", "net.safetensors"),
        "args": Key(Anything(), "Arguments by name for the code that makes the model.", "{width: 64}"),
        "inputs_from": Key(_CODE, "Code that makes the inputs, instead of `inputs`.", "package.module:inputs"),
        "generate": Key(
            _GENERATE, "Text that a language model generates beside it.", "{prompt_tokens: 128, new_tokens: 64}"
        ),
        "device": Key(_DEVICE, "Where the model runs; cpu if absent.", "cuda"),
        "precision": Key(Text(choices=PRECISIONS), "What a PyTorch model computes in; as stored if absent.", "bf16"),
        "compile": Key(Flag(), "Whether torch.compile compiles the model; false if absent.", "true"),
        "channels_last": Key(Flag(), "Whether images lie channels last in memory; false if absent.", "true"),
    },
    apart=(("inputs", "inputs_from"),),
)
