"""FREE: operators known to compute no multiply-accumulates: element-wise, data movement, sums, norms, pooling.

An operator that is in neither FREE nor FORMULAS is unknown, and makes the count Missing.
"""

from __future__ import annotations

_ELEMENTWISE = """
Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BitCast Cast CastLike
Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish Hardmax Identity
IsInf IsNaN LeakyRelu Less LessOrEqual Log LogSoftmax Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal Relu
Round Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu Where Xor
Bernoulli Dropout RandomNormal RandomNormalLike RandomUniform RandomUniformLike Multinomial
DequantizeLinear DynamicQuantizeLinear QuantizeLinear RotaryEmbedding
"""

_MOVEMENT = """
CenterCropPad Col2Im Compress Concat ConcatFromSequence Constant ConstantOfShape DepthToSpace Expand EyeLike Flatten
Gather GatherElements GatherND NonZero OneHot Optional OptionalGetElement OptionalHasElement Pad Range Reshape
ReverseSequence Scatter ScatterElements ScatterND SequenceAt SequenceConstruct SequenceEmpty SequenceErase
SequenceInsert SequenceLength Shape Size Slice SpaceToDepth Split SplitToSequence Squeeze TensorScatter Tile Transpose
Trilu Unique Unsqueeze StringConcat StringNormalizer StringSplit RegexFullMatch TfIdfVectorizer
BlackmanWindow HammingWindow HannWindow
"""

_REDUCTION = """
ArgMax ArgMin CumSum CumProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd
ReduceSum ReduceSumSquare TopK NonMaxSuppression
"""

_NORMALISATION = """
BatchNormalization GroupNormalization InstanceNormalization LRN LayerNormalization LpNormalization
MeanVarianceNormalization RMSNormalization
"""

#: Weighted means of neighbours whose weights are positions, not parameters, stand with the pools.
_POOLING = """
AveragePool GlobalAveragePool GlobalLpPool GlobalMaxPool GridSample LpPool MaxPool MaxRoiPool MaxUnpool Resize RoiAlign
Upsample
"""

#: Their bodies' nodes are counted where they run.
_CONTROL = "If Loop Scan SequenceMap"

_MICROSOFT = """
BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu ConvertInteger DequantizeLinear DynamicQuantizeLinear
EmbedLayerNormalization ExpandDims FastGelu Gelu GatherND GroupNorm IsAllFinite LayerNormalization
NhwcMaxPool Pad QLinearAdd QLinearAveragePool QLinearConcat QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul
QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere QuantizeLinear QuickGelu Range ReduceSumInteger
RotaryEmbedding SimplifiedLayerNormalization SkipGroupNorm SkipLayerNormalization SkipSimplifiedLayerNormalization
Tokenizer Trilu Unique
"""

_ML = "ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer LabelEncoder"

FREE: frozenset[tuple[str, str]] = frozenset(
    (domain, op)
    for domain, names in (
        ("", _ELEMENTWISE + _MOVEMENT + _REDUCTION + _NORMALISATION + _POOLING + _CONTROL),
        ("com.microsoft", _MICROSOFT),
        ("ai.onnx.ml", _ML),
    )
    for op in names.split()
)
