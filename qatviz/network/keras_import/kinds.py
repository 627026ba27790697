"""Supported types of Keras layers: their conversions, settings and arrays."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from qatviz.network import checks
from qatviz.network.activations import FUNCTION_PARAMETERS
from qatviz.network.elementwise import Add, Average, Maximum, Minimum, Multiply, Subtract
from qatviz.network.keras_import import (
    attention,
    conversions,
    embeddings,
    images,
    merges,
    moves,
    normalizations,
    recurrent,
    scalings,
)
from qatviz.network.keras_import.config import LAMBDA, MULTI_HEAD_ATTENTION, LayerSpec
from qatviz.network.keras_import.conversions import Conversion
from qatviz.network.keras_import.draft import Draft
from qatviz.network.keras_import.layer_wrappers import FLATTEN_ELEMENTS
from qatviz.network.keras_import.moving_operations import SLICING, SPLIT, STACK
from qatviz.network.keras_import.records import shortened
from qatviz.network.keras_import.spelled_functions import FUNCTION
from qatviz.network.keras_import.versions import AUGMENTATIONS
from qatviz.network.layers import AveragePool, Flatten, MaxPool, Reshape, ZeroPad

ArrayNames = Callable[[Dict[str, Any]], Tuple[List[str], List[str]]]
#: Forms of inputs that are sequences (see :mod:`qatviz.network.sequences`): in Keras' two axes; all inputs in the same
#: form; in any form; as images of height 1, which the layer requires.
PLAIN, ALIKE, ANY, IMAGE = "plain", "alike", "any", "image"


class Kind(NamedTuple):
    """Supported type of a Keras layer.

    Attributes
    ----------
    convert : callable
        See :mod:`qatviz.network.keras_import.conversions`.
    settings : tuple of str
        Settings that `convert` uses. All others must have a value without effect.
    array_names : callable or None
        ``array_names(config)`` returns the names of the layer's trained arrays and of its other arrays.
    form : str
        Form of inputs that are sequences: `PLAIN`, `ALIKE`, `ANY` or `IMAGE`.
    any_settings : bool
        True if no setting has an effect on inference.
    """

    convert: Conversion
    settings: Tuple[str, ...] = ()
    array_names: Optional[ArrayNames] = None
    form: str = PLAIN
    any_settings: bool = False


def in_form(form: str, draft: Draft, name: str, inputs: List[str]) -> List[str]:
    """Return the names of the inputs of the layer `name` in a form; where necessary, a Reshape is added.

    Raises
    ------
    NetworkError
        If an input is no sequence, for the form `IMAGE`.
    """
    if form == PLAIN:
        return [draft.as_plain(source) for source in inputs]
    if form == ALIKE:
        return draft.alike(name, inputs)
    if form == IMAGE:
        inputs = [draft.as_image(name, source) for source in inputs]
        for source in inputs:
            if not draft.is_sequence(source):
                raise checks.invalid_value("input shape", draft.shapes[source], "two axes (length, features)")
    return inputs


def unsupported_reasons(spec: LayerSpec) -> List[str]:
    """Return the reasons why type or settings of a layer would not be imported exactly; empty if there are none.

    Each reason is followed by the nearest supported alternative. An unknown setting with the value None or False has no
    effect: newer versions of Keras write the defaults of settings that they have added.
    """
    if spec.kind not in KINDS:
        reason = _REASONS.get(spec.kind, "this type of layer is not supported")
        return [f"{reason}; nearest: {_NEAREST.get(spec.kind, _NEAREST_OF_OTHERS)}"]
    if KINDS[spec.kind].any_settings:
        return []
    settings = KINDS[spec.kind].settings
    reasons = []
    for key, value in spec.config.items():
        if key in settings or key in _WITHOUT_EFFECT or key.endswith(_OF_TRAINING):
            continue
        if key == "dtype":
            if dtype_name(value) not in (None, "float32", *MIXED_DTYPES):
                reasons.append(
                    f"its dtype is {dtype_name(value)!r}, while networks are trained and exported in float32; nearest: "
                    "the same model of float32 layers, with its weights converted"
                )
        elif key == "data_format" and value == "channels_first":
            reasons.append(
                "its images have channels first, while TFLite has kernels for channels last only; nearest: the same "
                "model with data_format='channels_last', whose kernels are the same"
            )
        elif key in _NEUTRAL:
            if value != _NEUTRAL[key] and value is not None:
                reasons.append(str(checks.invalid_value(key, value, repr(_NEUTRAL[key]))))
        elif value is not None and value is not False:
            known = ", ".join(settings) or "none"
            reasons.append(f"setting {key} (= {shortened(value)}) is unknown; supported settings: {known}")
    return reasons


_RECURRENT = ("ConvLSTM2D", "CuDNNGRU", "CuDNNLSTM", "RNN")
#: Layers on volumes; the last two characters of their names are their number of dimensions.
_VOLUMES = (
    "AveragePooling3D",
    "Conv3D",
    "Cropping3D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling3D",
    "MaxPooling3D",
    "SpatialDropout3D",
    "UpSampling3D",
    "ZeroPadding3D",
)
#: Reasons why common types are not supported, and the nearest supported layer.
_REASONS = {
    **dict.fromkeys(_VOLUMES, "it has images of three dimensions, for which TFLite has no kernels of integers"),
    LAMBDA: "it consists of Python code, which cannot be converted",
    "TimeDistributed": "no layer computes for all elements of a sequence what the one in it does for each",
    "Divide": "it divides outputs of layers by each other, for which TFLite has no kernel of 8-bit integers",
    "Masking": "the layers after it skip the elements that it masks, while a network computes all of them",
    **dict.fromkeys(_RECURRENT, "it is recurrent, and its elements are not those of a SimpleRNN, an LSTM or a GRU"),
}
_NEAREST = {
    **{kind: f"{kind[:-2]}2D, with the third dimension as channels" for kind in _VOLUMES},
    "Divide": "a division by a constant",
    "SpectralNormalization": "the layer in it, with its weights",
    "Masking": "sequences of one length, filled up with zeros, without a Masking",
    **dict.fromkeys(_RECURRENT, f"SimpleRNN, LSTM or GRU, of up to {recurrent.MAX_LENGTH} elements"),
    LAMBDA: "a TensorFlow function of layers' outputs, such as x + y or tf.nn.relu6(x)",
    "TimeDistributed": "one of Dense, Conv1D, MaxPooling1D, AveragePooling1D or Flatten",
}
_NEAREST_OF_OTHERS = "a model without it, of the layers that the README lists"
#: Policies of mixed precision, whose weights are float32.
MIXED_DTYPES = ("mixed_float16", "mixed_bfloat16")
#: Settings without effect on inference; those of renorm have one with renorm=True only, which is refused.
_WITHOUT_EFFECT = (
    "name",
    "trainable",
    "batch_input_shape",
    "batch_shape",
    "seed",
    "autocast",
    "renorm_clipping",
    "renorm_momentum",
)
#: Endings of settings of the training.
_OF_TRAINING = ("_initializer", "_regularizer", "_constraint")
#: Settings of which only one value is supported.
_NEUTRAL = {
    "data_format": "channels_last",
    "groups": 1,
    "renorm": False,
}


def dtype_name(value: Any) -> Any:
    """Return the name of a dtype, which newer versions of Keras write as a policy."""
    if isinstance(value, dict) and isinstance(value.get("config"), dict):
        return value["config"].get("name")
    return value


def _kernel_and_bias(*kernels: str) -> ArrayNames:
    def array_names(config: Dict[str, Any]) -> Tuple[List[str], List[str]]:
        return list(kernels) + ["bias"] * bool(config.get("use_bias", True)), []

    return array_names


def _normalization_arrays(config: Dict[str, Any]) -> Tuple[List[str], List[str]]:
    return [], [] if config.get("mean") is not None else ["mean", "variance", "count"]


def _batch_norm_arrays(config: Dict[str, Any]) -> Tuple[List[str], List[str]]:
    trained = ["gamma"] * bool(config.get("scale", True)) + ["beta"] * bool(config.get("center", True))
    return trained, ["moving_mean", "moving_variance"]


def _recurrent_arrays(config: Dict[str, Any]) -> Tuple[List[str], List[str]]:
    return ["kernel", "recurrent_kernel"] + ["bias"] * bool(config.get("use_bias", True)), []


#: Names of the Dense layers in a MultiHeadAttention, in Keras' order.
ATTENTION_PARTS = ("query", "key", "value", "attention_output")


def _attention_arrays(config: Dict[str, Any]) -> Tuple[List[str], List[str]]:
    own = _kernel_and_bias("kernel")(config)[0]
    return [f"{part}/{array}" for part in ATTENTION_PARTS for array in own], []


#: Settings of a MultiHeadAttention that TensorFlow 2 writes: shapes of its inputs.
_BUILT_SHAPES = ("query_shape", "key_shape", "value_shape")
_CONVOLUTION = ("kernel_size", "strides", "padding", "dilation_rate", "activation", "use_bias")
_POOLING = ("pool_size", "strides", "padding")
_GLOBAL_POOLING = ("keepdims",)
_SIZE = ("height", "width")
_RESIZING = (
    "interpolation",
    "crop_to_aspect_ratio",
    "pad_to_aspect_ratio",
    "antialias",
    "fill_mode",
    "fill_value",
)
_BATCH_NORMALIZATION = Kind(
    conversions.convert_batch_normalization,
    ("axis", "momentum", "epsilon", "center", "scale", "fused"),
    _batch_norm_arrays,
    ANY,
)

_RANDOM = Kind(conversions.omit, form=ALIKE, any_settings=True)
#: Layers that combine inputs position by position.
_MERGES = (Add, Subtract, Average, Multiply, Maximum, Minimum)

KINDS: Dict[str, Kind] = {
    **dict.fromkeys(AUGMENTATIONS, _RANDOM),
    "Normalization": Kind(
        scalings.convert_normalization, ("axis", "mean", "variance", "invert"), _normalization_arrays, ANY
    ),
    "Rescaling": Kind(scalings.convert_rescaling, ("scale", "offset"), form=ANY),
    attention.MATMUL: Kind(attention.convert_matmul, ("transpose_a", "transpose_b")),
    SLICING: Kind(scalings.convert_slicing, ("key",)),
    SPLIT: Kind(scalings.convert_split, ("axis", "sections", "by_positions", "part")),
    normalizations.MEAN: Kind(normalizations.convert_mean, ("axis", "keepdims"), form=ANY),
    normalizations.SUM: Kind(normalizations.convert_mean, ("axis", "keepdims"), form=ANY),
    moves.MAX: Kind(moves.convert_max, ("axis", "keepdims"), form=ANY),
    moves.SQUEEZE: Kind(moves.convert_squeeze, ("axis",), form=ANY),
    moves.EXPAND_DIMS: Kind(moves.convert_expand_dims, ("axis",), form=ANY),
    moves.SWAP_AXES: Kind(moves.convert_swap_axes, ("axis1", "axis2"), form=ANY),
    moves.PAD: Kind(moves.convert_pad, ("paddings",), form=ANY),
    moves.DEPTH_TO_SPACE: Kind(moves.convert_depth_to_space, ("block_size",)),
    moves.SPACE_TO_DEPTH: Kind(moves.convert_space_to_depth, ("block_size",)),
    STACK: Kind(scalings.convert_stack, ("axis",)),
    FUNCTION: Kind(conversions.convert_named_function, ("function", *FUNCTION_PARAMETERS, "merged"), form=ALIKE),
    "Activation": Kind(conversions.convert_activation, ("activation",), form=ALIKE),
    "ActivityRegularization": Kind(conversions.omit, ("l1", "l2"), form=ALIKE),
    **{kind.__name__: Kind(merges.convert_merge(kind), form=ANY) for kind in _MERGES},
    **{
        name: Kind(conversion, recurrent.SETTINGS, _recurrent_arrays, ANY)
        for name, conversion in recurrent.CONVERSIONS.items()
    },
    "AlphaDropout": Kind(conversions.omit, ("rate",), form=ALIKE),
    "Attention": Kind(attention.convert_attention, ("use_scale", "causal", "score_mode", "dropout")),
    "BatchNormalization": _BATCH_NORMALIZATION,
    "BatchNormalizationV1": _BATCH_NORMALIZATION,
    "BatchNormalizationV2": _BATCH_NORMALIZATION,
    "CenterCrop": Kind(images.convert_center_crop, _SIZE),
    "Concatenate": Kind(conversions.convert_concatenate, ("axis",), form=ALIKE),
    "Cropping1D": Kind(conversions.convert_cropping, ("cropping",), form=IMAGE),
    "Cropping2D": Kind(conversions.convert_cropping, ("cropping",)),
    "Dense": Kind(conversions.convert_dense, ("units", "activation", "use_bias"), _kernel_and_bias("kernel"), ANY),
    "Dot": Kind(attention.convert_dot, ("axes", "normalize")),
    "Dropout": Kind(conversions.convert_dropout, ("rate", "noise_shape"), form=ALIKE),
    "ELU": Kind(conversions.convert_function("elu", "alpha"), ("alpha",), form=ALIKE),
    "Embedding": Kind(
        embeddings.convert_embedding,
        ("input_dim", "output_dim", "input_length", "mask_zero"),
        lambda config: (["embeddings"], []),
    ),
    "Flatten": Kind(conversions.convert_same(Flatten), form=ANY),
    FLATTEN_ELEMENTS: Kind(conversions.convert_flattened_elements),
    "GaussianDropout": Kind(conversions.omit, ("rate",), form=ALIKE),
    "GaussianNoise": Kind(conversions.omit, ("stddev",), form=ALIKE),
    "GroupNormalization": Kind(
        normalizations.convert_group_normalization,
        ("axis", "epsilon", "center", "scale", "groups"),
        lambda config: (_batch_norm_arrays(config)[0], []),
        ANY,
    ),
    "Identity": Kind(conversions.omit, form=ALIKE),
    "LayerNormalization": Kind(
        normalizations.convert_layer_normalization,
        ("axis", "epsilon", "center", "scale", "rms_scaling"),
        lambda config: (_batch_norm_arrays(config)[0], []),
        ANY,
    ),
    "LeakyReLU": Kind(
        conversions.convert_function("leaky_relu", "alpha", "negative_slope"), ("alpha", "negative_slope"), form=ALIKE
    ),
    MULTI_HEAD_ATTENTION: Kind(
        attention.convert_multi_head_attention,
        ("num_heads", "key_dim", "value_dim", "dropout", "use_bias", "output_shape", "attention_axes", *_BUILT_SHAPES),
        _attention_arrays,
        ANY,
    ),
    "PReLU": Kind(merges.convert_prelu, ("shared_axes",), lambda config: (["alpha"], []), ANY),
    "Permute": Kind(conversions.convert_permute, ("dims",)),
    "RMSNormalization": Kind(
        normalizations.convert_rms_normalization, ("axis", "epsilon"), lambda config: (["scale"], []), ANY
    ),
    "RandomCrop": Kind(images.convert_random_crop, _SIZE),
    "ReLU": Kind(conversions.convert_relu, ("max_value", "negative_slope", "threshold"), form=ALIKE),
    "RepeatVector": Kind(conversions.convert_repeat_vector, ("n",)),
    "Reshape": Kind(conversions.convert_same(Reshape, "target_shape"), ("target_shape",), form=ANY),
    "Resizing": Kind(images.convert_resizing, (*_SIZE, *_RESIZING)),
    "Softmax": Kind(conversions.convert_softmax, ("axis",), form=ALIKE),
    "ThresholdedReLU": Kind(conversions.convert_thresholded_relu, ("theta",), form=ALIKE),
    "UnitNormalization": Kind(normalizations.convert_unit_normalization, ("axis", "epsilon"), form=ANY),
    "UpSampling1D": Kind(conversions.convert_upsampling, ("size",), form=IMAGE),
    "UpSampling2D": Kind(conversions.convert_upsampling, ("size", "interpolation")),
    "ZeroPadding1D": Kind(conversions.convert_zero_padding_1d, ("padding",), form=IMAGE),
    "ZeroPadding2D": Kind(conversions.convert_same(ZeroPad, "padding"), ("padding",)),
}
"""Supported types of Keras layers by class name."""

for _rank, _form in (("1D", IMAGE), ("2D", PLAIN)):
    KINDS.update(
        {
            "AveragePooling" + _rank: Kind(conversions.convert_pooling(AveragePool), _POOLING, form=_form),
            "Conv" + _rank: Kind(
                conversions.convert_conv2d, ("filters", "groups", *_CONVOLUTION), _kernel_and_bias("kernel"), _form
            ),
            f"Conv{_rank}Transpose": Kind(
                conversions.convert_conv2d_transpose,
                ("filters", "output_padding", *_CONVOLUTION),
                _kernel_and_bias("kernel"),
                _form,
            ),
            "DepthwiseConv" + _rank: Kind(
                conversions.convert_depthwise_conv2d,
                ("depth_multiplier", *_CONVOLUTION),
                _kernel_and_bias("depthwise_kernel"),
                _form,
            ),
            "GlobalAveragePooling" + _rank: Kind(
                conversions.convert_global_average_pooling, _GLOBAL_POOLING, form=_form
            ),
            "GlobalMaxPooling" + _rank: Kind(conversions.convert_global_max_pooling, _GLOBAL_POOLING, form=_form),
            "MaxPooling" + _rank: Kind(conversions.convert_pooling(MaxPool), _POOLING, form=_form),
            "SeparableConv" + _rank: Kind(
                conversions.convert_separable_conv2d,
                ("filters", "depth_multiplier", *_CONVOLUTION),
                _kernel_and_bias("depthwise_kernel", "pointwise_kernel"),
                _form,
            ),
            "SpatialDropout" + _rank: Kind(conversions.convert_spatial_dropout, ("rate", "noise_shape"), form=ALIKE),
        }
    )
