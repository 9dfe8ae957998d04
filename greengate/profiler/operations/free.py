"""FREE: operators known to compute no multiply-accumulates, each with the element-wise operations it does.

An operator that is in neither FREE nor FORMULAS is unknown, and makes the count Missing. What is counted is stated in
docs/operations.md; the work has no influence on MACs.
"""

from __future__ import annotations

from greengate.profiler.operations.formulas.classic import trees
from greengate.profiler.operations.formulas.kinds import Formula, elements, nothing
from greengate.profiler.operations.work import (
    anchored,
    dropout,
    interpolation,
    local_response,
    per_input,
    per_output,
    pooling,
    regions,
    resizing,
    unsettled,
    variadic,
)

#: One operation per output element, whatever the function.
_ELEMENTWISE = """
Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish
IsInf IsNaN LeakyRelu Less LessOrEqual Log Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu
Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Swish Tan Tanh ThresholdedRelu Where Xor
Bernoulli RandomNormal RandomNormalLike RandomUniform RandomUniformLike Multinomial
DequantizeLinear QuantizeLinear BlackmanWindow HammingWindow HannWindow MelWeightMatrix
"""

#: Copies, types, shapes and text: no arithmetic on elements.
_MOVEMENT = """
BitCast Cast CastLike CenterCropPad Compress Concat ConcatFromSequence Constant ConstantOfShape
DepthToSpace Expand EyeLike Flatten Gather GatherElements GatherND Identity NonZero OneHot Optional
OptionalGetElement OptionalHasElement Pad Range Reshape ReverseSequence Scatter ScatterElements ScatterND SequenceAt
SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength Shape Size Slice SpaceToDepth Split
SplitToSequence Squeeze TensorScatter Tile Transpose Trilu Unique Unsqueeze StringConcat StringNormalizer StringSplit
RegexFullMatch TfIdfVectorizer MaxUnpool
"""

#: One operation per input element.
_REDUCTION = """
ArgMax ArgMin CumSum CumProd Hardmax ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
ReduceProd ReduceSum ReduceSumSquare TopK
"""

#: Their bodies' nodes are counted where they run.
_CONTROL = "If Loop Scan SequenceMap"

#: Operations per input element: see docs/operations.md for each sum.
_NORMALISATION = {
    "BatchNormalization": 2,
    "GroupNormalization": 7,
    "InstanceNormalization": 7,
    "LayerNormalization": 7,
    "LogSoftmax": 5,
    "LpNormalization": 3,
    "MeanVarianceNormalization": 5,
    "RMSNormalization": 4,
    "Softmax": 5,
}

_STANDARD: dict[str, Formula] = {
    **dict.fromkeys(_ELEMENTWISE.split(), elements),
    **dict.fromkeys(_MOVEMENT.split(), nothing),
    **dict.fromkeys(_REDUCTION.split(), per_input(1)),
    **dict.fromkeys(_CONTROL.split(), nothing),
    **{name: per_input(each) for name, each in _NORMALISATION.items()},
    **dict.fromkeys(("Max", "Mean", "Min", "Sum"), variadic),
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool"), pooling),
    **dict.fromkeys(("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"), per_input(1)),
    **dict.fromkeys(("Resize", "Upsample"), resizing),
    "Col2Im": per_input(1),
    "Dropout": dropout,
    "DynamicQuantizeLinear": per_input(3),
    "GridSample": interpolation,
    "LRN": local_response,
    "MaxRoiPool": unsettled("regions whose sizes are values"),
    "NegativeLogLikelihoodLoss": per_input(1),
    "NonMaxSuppression": per_input(1, 1),
    "RoiAlign": regions,
    "RotaryEmbedding": per_output(3),
    "SimplifiedLayerNormalization": per_input(4),  # the runtime's own, in the standard domain
    "SoftmaxCrossEntropyLoss": per_input(6),
    "SwiGLU": per_output(2),
}

_MS_ELEMENTWISE = """
DequantizeLinear FastGelu Gelu IsAllFinite QLinearAdd QLinearLeakyRelu QLinearMul QLinearSigmoid QLinearWhere
QuantizeLinear QuickGelu SampleOp ScaledSiLU
"""

_MS_MOVEMENT = """
BifurcationDetector ExpandDims GatherND GatherPacked MurmurHash3 NGramHashMapping
NGramRepeatBlock Pad QLinearConcat Range RemovePadding RestorePadding Tokenizer Trilu UnfoldTensor Unique
VarlenNGramHashMapping
"""

_MICROSOFT: dict[str, Formula] = {
    **dict.fromkeys(_MS_ELEMENTWISE.split(), elements),
    **dict.fromkeys(_MS_MOVEMENT.split(), nothing),
    **dict.fromkeys(("BiasAdd", "BiasDropout"), per_output(1)),
    **dict.fromkeys(("BiasGelu", "BiasSplitGelu", "SwiGLU", "GatedAdd"), per_output(2)),
    **dict.fromkeys(("QLinearGlobalAveragePool", "QLinearReduceMean", "ReduceSumInteger"), per_input(1)),
    **dict.fromkeys(("NhwcMaxPool", "QLinearAveragePool", "MaxpoolWithMask"), pooling),
    "GroupNorm": per_input(7),
    **dict.fromkeys(("SkipLayerNormalization", "SkipGroupNorm"), per_input(8)),
    **dict.fromkeys(("EmbedLayerNormalization", "QEmbedLayerNormalization"), per_output(9)),
    **dict.fromkeys(("ComplexMul", "ComplexMulConj", "RotaryEmbedding", "GemmaRotaryEmbedding"), per_output(3)),
    "BiasSoftmax": per_input(6),
    "CropAndResize": anchored,
    "GatherBlockQuantized": elements,
    "GridSample": interpolation,
    "QLinearSoftmax": per_input(5),
    "SkipSimplifiedLayerNormalization": per_input(5),
}

_ML_MOVEMENT = """
ArrayFeatureExtractor CastMap CategoryMapper DictVectorizer FeatureVectorizer LabelEncoder OneHotEncoder
ZipMap
"""

_LEARNING: dict[str, Formula] = {
    **dict.fromkeys(_ML_MOVEMENT.split(), nothing),
    **dict.fromkeys(("Binarizer", "Imputer"), elements),
    **dict.fromkeys(("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"), trees),
    "Normalizer": per_input(3),
    "Scaler": per_input(2),
}

_BLOCKED: dict[str, Formula] = {
    **dict.fromkeys(("ReorderInput", "ReorderOutput"), nothing),
    **dict.fromkeys(("AveragePool", "MaxPool"), pooling),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), per_input(1)),
    "Upsample": resizing,
}

FREE: dict[tuple[str, str], Formula] = {
    (domain, op): work
    for domain, rows in (
        ("", _STANDARD),
        ("com.microsoft", _MICROSOFT),
        ("com.microsoft.nchwc", _BLOCKED),
        ("ai.onnx.ml", _LEARNING),
    )
    for op, work in rows.items()
}
