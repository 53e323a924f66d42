"""The classes and functions of Keras that a model from a stranger may be made of: exact names, each with its modules.

How the lists were made: every public class of the modules `layers`, `initializers`, `regularizers`, `constraints`,
`dtype_policies` and `quantizers` of Keras 3.15 and tf_keras 2.21, and every function of `activations`, read one by one.
Struck out is what carries a program or a path: `Lambda`, `TorchModuleWrapper`, `TFSMLayer`, `JaxLayer`, `FlaxLayer`,
`DenseFeatures`, the operations that take Python functions (`Map`, `Scan`, `Cond`, `WhileLoop`, ...), and the base
classes, which are not instances in any model.  Losses and optimizers are not here because the state of training is not
restored; metrics stand apart, for the Keras metadata of a SavedModel names them.
"""

from __future__ import annotations

__all__ = [
    "ACTIVATIONS",
    "CONSTRAINTS",
    "INITIALIZERS",
    "LAYERS",
    "METRICS",
    "METRIC_FUNCTIONS",
    "MODELS",
    "OPERATIONS",
    "OTHERS",
    "OURS",
    "REGULARIZERS",
    "TFMOT",
]

_LAYERS = """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention
    AugMix AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D
    BatchNormalization BatchNormalizationBase BatchNormalizationV1 BatchNormalizationV2 Bidirectional
    CategoryEncoding CenterCrop ClassMethod Concatenate ContrastLimitedAdaptiveHistogramEqualization Conv1D
    Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM1DCell ConvLSTM2D
    ConvLSTM2DCell ConvLSTM3D ConvLSTM3DCell ConvLSTMCell Convolution1D Convolution1DTranspose Convolution2D
    Convolution2DTranspose Convolution3D Convolution3DTranspose Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM
    CudnnGRU CudnnLSTM CustomScaleLayer CutMix Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot Dropout ELU
    EinsumDense Embedding Equalization Flatten GRU GRUCell GRUV1 GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D
    GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D GroupNormalization GroupQueryAttention GroupedQueryAttention HashedCrossing Hashing Identity
    InputLayer InstanceMethod InstanceProperty IntegerLookup LSTM LSTMCell LSTMV1 LayerNormalization LayerScale
    LeakyReLU LocallyConnected1D LocallyConnected2D Masking MaxNumBoundingBoxes MaxPool MaxPool1D MaxPool2D
    MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum MelSpectrogram Minimum MixUp MultiHeadAttention
    Multiply Normalization PReLU PeepholeLSTMCell Permute Pipeline RMSNormalization RNN RandAugment RandomBrightness
    RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomElasticTransform RandomErasing
    RandomFlip RandomFourierFeatures RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomInvert
    RandomPerspective RandomPosterization RandomRotation RandomSaturation RandomSharpness RandomShear
    RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape Resizing ReversibleEmbedding
    STFTSpectrogram SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D SimpleRNN
    SimpleRNNCell SlicingOpLambda Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D
    SpectralNormalization StackedRNNCells StochasticDepth StringLookup Subtract SyncBatchNormalization TFOpLambda
    TensorFlowOpLayer TextVectorization ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D UpSampling2D
    UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
"""

_INITIALIZERS = """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform
    Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT STFTInitializer TruncatedNormal
    VarianceScaling Zeros constant glorot_normal glorot_uniform he_normal he_uniform identity lecun_normal
    lecun_uniform ones orthogonal random_normal random_uniform stft truncated_normal variance_scaling zeros
"""

_REGULARIZERS = """
    L1 L1L2 L2 OrthogonalRegularizer l1 l1_l2 l2 orthogonal_regularizer
"""

_CONSTRAINTS = """
    MaxNorm MinMaxNorm NonNeg RadialConstraint UnitNorm max_norm min_max_norm non_neg radial_constraint unit_norm
"""

_ACTIVATIONS = """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
    log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
    sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold
"""

_OTHERS = """
    AWQConfig AWQDTypePolicy AbsMaxQuantizer DTypePolicy DTypePolicyMap InputSpec Float8QuantizationConfig
    FloatDTypePolicy GPTQConfig GPTQDTypePolicy Int4DTypePolicy Int4QuantizationConfig Int8QuantizationConfig Policy
    PolicyV1 QuantizationConfig QuantizedDTypePolicy QuantizedFloat8DTypePolicy SeedGenerator
"""

_TFMOT = """
    AllValuesQuantizer ClusterPreserveDefault8BitConvWeightsQuantizer ClusterPreserveDefault8BitWeightsQuantizer
    ClusterPreserveDefaultWeightsQuantizer ClusterWeights ClusterWeightsMHA ClusterWeightsRNN ConstantSparsity
    Default8BitActivationQuantizeConfig Default8BitConvQuantizeConfig Default8BitConvTransposeQuantizeConfig
    Default8BitConvTransposeWeightsQuantizer Default8BitConvWeightsQuantizer Default8BitOutputQuantizeConfig
    Default8BitQuantizeConfig Default8BitQuantizeConfigRNN DefaultNBitActivationQuantizeConfig
    DefaultNBitConvQuantizeConfig DefaultNBitConvTransposeQuantizeConfig DefaultNBitConvTransposeWeightsQuantizer
    DefaultNBitConvWeightsQuantizer DefaultNBitOutputQuantizeConfig DefaultNBitQuantizeConfig
    DefaultNBitQuantizeConfigRNN FixedQuantizeConfig FixedQuantizer LastValueQuantizer MovingAverageQuantizer
    NoOpActivation NoOpQuantizeConfig NoQuantizer OutputOnlyConfig PolynomialDecay PruneLowMagnitude
    PrunePreserveDefault8BitConvWeightsQuantizer PrunePreserveDefault8BitWeightsQuantizer
    PrunePreserveDefaultWeightsQuantizer QuantizeAnnotate QuantizeAwareActivation QuantizeLayer QuantizeWrapper
    QuantizeWrapperV2
"""

_IMAGE = """
    AffineTransform CropImages ElasticTransform ExtractPatches GaussianBlur HSVToRGB MapCoordinates PadImages
    PerspectiveTransform RGBToGrayscale RGBToHSV Resize SSIM ScaleAndTranslate SobelEdges
"""

_CORE = """
    Cast ConvertToTensor SaturateCast Scatter ScatterUpdate Slice SliceUpdate StopGradient Unstack
"""

_LINALG = """
    Cholesky CholeskyInverse Det Eig Eigh Inv Lstsq LuFactor MatrixRank Norm Pinv Qr SVD Solve SolveTriangular
"""

_MATH = """
    CDist Erf Erfc Erfinv ExtractSequences FFT FFT2 IFFT2 IRFFT ISTFT InTopK Logdet Logsumexp RFFT Rsqrt STFT
    SegmentMax SegmentMin SegmentProd SegmentReduction SegmentSum TopK ViewAsComplex ViewAsReal
"""

_NN = """
    AdaptiveAveragePool AdaptiveMaxPool AveragePool BatchNorm BinaryCrossentropy CTCDecode CTCLoss
    CategoricalCrossentropy Celu Conv ConvTranspose DepthToSpace DepthwiseConv DotProductAttention Elu Fold Gelu Glu
    HardShrink HardSigmoid HardSilu HardTanh LayerNorm LeakyRelu LogSigmoid LogSoftmax MaxPool Moments MultiHot
    Normalize OneHot PSNR Polar RMSNorm Relu Relu6 Selu SeparableConv Sigmoid Silu SoftShrink Softmax Softplus
    Softsign SpaceToDepth SparseCategoricalCrossentropy SparsePlus SparseSigmoid Sparsemax Squareplus TanhShrink
    Threshold Unfold
"""

_NUMPY = """
    Abs Absolute Add All AllClose Amax Amin Angle Any Append Arange Arccos Arccosh Arcsin Arcsinh Arctan Arctan2
    Arctanh Argmax Argmin Argpartition Argsort Array ArraySplit Average Bincount BitwiseAnd BitwiseInvert
    BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor BroadcastTo Cbrt Ceil Clip Concatenate Conj
    Conjugate Copy Corrcoef Correlate Cos Cosh CountNonzero Cross Cumprod Cumsum Deg2rad Diag Diagflat Diagonal Diff
    Digitize Divide DivideNoNan Dot Dsplit Dstack Einsum EmptyLike Equal Exp Exp2 ExpandDims Expm1 Fabs Flip Fliplr
    Flipud Floor FloorDivide Fmax Fmin Fmod Full FullLike Gcd Geomspace GetItem Greater GreaterEqual Heaviside
    Histogram Hsplit Hstack Hypot I0 Imag Inner IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal Kron Lcm
    Ldexp LeftShift Less LessEqual Linspace Log Log10 Log1p Log2 Logaddexp Logaddexp2 LogicalAnd LogicalNot
    LogicalOr LogicalXor Logspace Matmul Max Maximum Mean Median Meshgrid Min Minimum Mod Moveaxis Multiply NanToNum
    Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin Nanpercentile Nanprod Nanquantile
    Nanstd Nansum Nanvar Ndim Negative Nextafter Nonzero NotEqual OnesLike Outer Pad Percentile Power Prod Ptp
    Quantile Rad2deg Ravel Real Reciprocal Repeat Reshape RightShift Roll Rot90 Round SearchSorted Select Sign
    Signbit Sin Sinc Sinh Size Slogdet Sort Split Sqrt Square Squeeze Stack Std Subtract Sum Swapaxes Take
    TakeAlongAxis Tan Tanh Tensordot Tile Trace Transpose Trapezoid Tril Triu TrueDivide Trunc Unique UnravelIndex
    Vander Var Vdot View Vsplit Vstack Where ZerosLike
"""

_EINOPS = """
    Rearrange
"""

LAYERS = frozenset(_LAYERS.split())
"""Layers of either Keras, of either's private modules and of `keras.applications`."""

INITIALIZERS = frozenset(_INITIALIZERS.split())
REGULARIZERS = frozenset(_REGULARIZERS.split())
CONSTRAINTS = frozenset(_CONSTRAINTS.split())

ACTIVATIONS = frozenset(_ACTIVATIONS.split())
"""Functions."""

OTHERS = frozenset(_OTHERS.split())
"""Dtype policies, quantizers and the generator of random seeds."""

TFMOT = frozenset(_TFMOT.split())
"""The wrappers of tensorflow_model_optimization and what their settings hold."""

OPERATIONS = {
    f"keras.src.ops.{module}": names
    for module, names in {
        "image": frozenset(_IMAGE.split()),
        "core": frozenset(_CORE.split()),
        "linalg": frozenset(_LINALG.split()),
        "math": frozenset(_MATH.split()),
        "nn": frozenset(_NN.split()),
        "numpy": frozenset(_NUMPY.split()),
        "einops": frozenset(_EINOPS.split()),
    }.items()
}
"""Calls of `keras.ops` in a functional model: {module: names}."""

MODELS = frozenset({"Functional", "Model", "Network", "Sequential"})
"""Models that consist of their layers."""

METRICS = frozenset(
    {"Accuracy", "AUC", "BinaryAccuracy", "BinaryCrossentropy", "CategoricalAccuracy", "CategoricalCrossentropy",
     "CategoricalHinge", "CosineSimilarity", "FalseNegatives", "FalsePositives", "Hinge", "KLDivergence",
     "LogCoshError", "Mean", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanIoU", "MeanMetricWrapper",
     "MeanSquaredError", "MeanSquaredLogarithmicError", "MeanTensor", "Poisson", "Precision", "Recall",
     "RootMeanSquaredError", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy",
     "SparseTopKCategoricalAccuracy", "SquaredHinge", "Sum", "TopKCategoricalAccuracy", "TrueNegatives",
     "TruePositives"}
)  # fmt: skip
METRIC_FUNCTIONS = frozenset(
    {"binary_accuracy", "binary_crossentropy", "categorical_accuracy", "categorical_crossentropy", "cosine_similarity",
     "cosine_proximity", "hinge", "kullback_leibler_divergence", "logcosh", "mean_absolute_error",
     "mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error", "poisson",
     "sparse_categorical_accuracy", "sparse_categorical_crossentropy", "sparse_top_k_categorical_accuracy",
     "squared_hinge", "top_k_categorical_accuracy"}
)  # fmt: skip
"""What a `MeanMetricWrapper` may average."""

OURS = frozenset(
    {
        "FrozenLambda",
        "FrozenLambda3",
        "Keras3Graph",
        "Keras3Layer",
        "ReciprocalRoot",
        "RepeatedForBatch",
        "TfKerasGraph",
        "TfKerasLayer",
        "Weight",
    }
)
"""Layers that tfcompress itself registers; activations of ours are called ``keras3_NAME`` and `keras2_hard_sigmoid`."""
