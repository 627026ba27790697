"""Types of a TFLite file, and the storage of an integer model's codes in them.

:mod:`qatviz.export.tflite.limits` describes the kinds of files. Activations have the model's codes in int8, those plus
128 in uint8, and those minus their zero point in int16, which always fit with up to 15 bits.
"""

from typing import FrozenSet, List, NamedTuple, Tuple

import numpy as np

from qatviz.errors import Advice, ExportError, Refusal, SettingChange, change_text
from qatviz.export.integers.bounds import channel_bounds
from qatviz.export.integers.model import FEWER_BITS, IntegerModel, IntegerOp, IntegerTensor, IntegerWeights
from qatviz.export.tflite import limits
from qatviz.network.elementwise import Sum
from qatviz.network.layers import Conv2D, Conv2DTranspose, Dense, GroupedConv2D
from qatviz.number_format import names_text
from qatviz.quant.softmax_codes import follows_kernel

#: Scale and zero point of TFLite's probabilities.
_SOFTMAX_GRIDS = {"int8": (1 / 256, -128), "uint8": (1 / 256, 0), "int16": (1 / 32768, 0)}
#: Difference between the codes of a uint8 file and the model's.
UINT8_OFFSET = 128
#: Bits of TFLite's accumulators; with int16 activations, their products with 16-bit multipliers must fit 64 bits.
ACCUMULATOR_BITS, WIDE_ACCUMULATOR_BITS = 32, 48
LARGEST_CODE = 127
INT4_RANGE = (-8, 7)
#: Smallest multiplier of int16 kernels, whose right shift is limited (mantissa from 1/2 to 1).
_SMALLEST_WIDE_MULTIPLIER = 2.0**-32
#: Largest result, in quantization steps of the output, that is safe from overflow: TFLite shifts accumulators left
#: before it multiplies them.
_LARGEST_RESULT = 2**30
_UINT8, _INT16 = np.dtype(np.uint8), np.dtype(np.int16)


def storage_type(
    model: IntegerModel, int16: bool = False, int4: bool = False, double_rounding: bool = False
) -> np.dtype:
    """Return the type of the activations.

    It is int16, where that is allowed, if activations have more than 8 bits, uint8 if 8-bit weights need a zero point,
    and int8 otherwise.

    Raises
    ------
    ExportError
        If TFLite does not support the model.
    """
    facts = _facts(model)
    dtype = np.dtype(limits.storage_type(facts, int16))
    refusals = limits.refusals(facts, int16, int4, double_rounding)
    if not refusals:
        refusals = [refusal for op in model.ops if op.weights is not None for refusal in _overflows(model, op, dtype)]
    if refusals:
        raise ExportError.refused(*refusals)
    return dtype


class Int4(NamedTuple):
    """Names of the operations with INT4 weights, by the number of roundings in LiteRT's kernels."""

    once: FrozenSet[str] = frozenset()
    twice: FrozenSet[str] = frozenset()

    @property
    def names(self) -> FrozenSet[str]:
        """Names of all operations with INT4 weights."""
        return self.once | self.twice


def int4_layers(model: IntegerModel, everything: bool = False) -> Int4:
    """Return the names of the operations whose weights become INT4 tensors.

    Parameters
    ----------
    model : IntegerModel
    everything : bool
        False for those only that LiteRT's kernels round once. True for all weights that fit, as operations of TFLite
        Micro: it has no FULLY_CONNECTED with a scale for each channel, so these become convolutions.
    """
    fitting = [
        op
        for op in _int4_candidates(model)
        if fits(op.require_weights(), *INT4_RANGE) and not isinstance(op.layer, Conv2DTranspose)
    ]
    once = frozenset(
        op.name
        for op in fitting
        if is_matrix_product(op)
        and _has_pairs(op)
        and not (everything and (op.kind != "Dense" or not is_uniform(op.require_weights())))
    )
    return Int4(once, frozenset(op.name for op in fitting if everything) - once)


def is_matrix_product(op: IntegerOp) -> bool:
    """Return whether an operation multiplies each pixel by a matrix: a Dense, or a 1×1 convolution."""
    if isinstance(op.layer, GroupedConv2D):
        return False
    if isinstance(op.layer, Conv2D):
        return op.layer.kernel_size == op.layer.strides == (1, 1)
    return isinstance(op.layer, Dense)


def int4_remarks(model: IntegerModel, layers: Int4) -> List[str]:
    """Return notes on INT4 tensors that are not exact in LiteRT, and on weights of up to 4 bits stored as int8."""
    candidates = _int4_candidates(model)
    if not candidates:
        return ["no weights have 4 bits or fewer: no tensor is INT4"]
    found = [
        f"{weights.name}: {weights.num_bits} bits with a zero point, which INT4 tensors don't have: kept as int8; "
        f"possible with {change_text(SettingChange(weights.name + '.symmetric', True))}"
        for weights in (op.require_weights() for op in candidates)
        if not fits(weights, *INT4_RANGE)
    ]
    if layers.twice:
        found.append(
            f"{names_text(sorted(layers.twice))}: LiteRT has no kernel of XNNPACK for these INT4 weights, and its own "
            "one rounds results twice: codes just below a tie become the next one. Neither scales nor biases can "
            "prevent that, because accumulators are whole numbers"
        )
    kept = [op.name for op in candidates if op.name not in layers.names and fits(op.require_weights(), *INT4_RANGE)]
    if kept:
        found.append(
            f"{names_text(kept)}: kept as int8, because LiteRT's INT4 kernels round twice but for a Dense or a 1×1 "
            "convolution of an even number of inputs; the option int4_all makes them INT4"
        )
    return found


def remarks(model: IntegerModel, dtype: np.dtype, int4: Int4 = Int4()) -> List[str]:
    """Return notes on codes that some runtimes don't support; ``int4`` names the layers with INT4 weights."""
    found = []
    for op in model.ops:
        if dtype == _UINT8 or op.weights is None:
            continue
        least = INT4_RANGE[0] if op.name in int4.names else -LARGEST_CODE - 1
        if op.weights.centred.min() == least:
            found.append(
                f"{op.weights.name}: has the code {least}, which TFLite's specification leaves out and some kernels "
                f"overflow on; {op.weights.name}.narrow_range=on avoids it"
            )
    return list(dict.fromkeys(found))


def runtime_remarks(model: IntegerModel, dtype: np.dtype, int4: Int4 = Int4(), runs_in_micro: bool = True) -> List[str]:
    """Return notes on the runtimes that have kernels for the file's types; all have those for int8.

    ``runs_in_micro`` is False if TFLite Micro has none for some operations of an int16 file.
    """
    if dtype == _UINT8:
        weights = [op.weights for op in model.ops if op.weights is not None and not fits_int8(op.weights)]
        remedies = " ".join(change_text(SettingChange(f"{one.name}.symmetric", True)) for one in weights)
        return [
            "uint8: runs in TensorFlow Lite and LiteRT, not in TFLite Micro, which has no uint8 kernels; int8 with "
            f"{remedies}"
        ]
    if dtype == _INT16:
        return [f"int16: runs in LiteRT{' and TFLite Micro' if runs_in_micro else ''}, not in TensorFlow 1.15"]
    if not int4.names:
        return []
    # The other ones with a scale for each channel are convolutions.
    connected = [op.require_weights() for op in model.ops if op.name in int4.once]
    split = [weights.name for weights in connected if not is_uniform(weights)]
    if not split:
        return ["INT4: runs in LiteRT and TFLite Micro, not in TensorFlow 1.15"]
    remedies = " ".join(change_text(SettingChange(name + ".per_channel", False)) for name in split)
    return [
        "INT4: runs in LiteRT, not in TensorFlow 1.15, nor in TFLite Micro, whose FULLY_CONNECTED takes INT4 weights "
        f"with one scale only: possible with {remedies}"
    ]


def code_offset(tensor: IntegerTensor, dtype: np.dtype) -> int:
    """Return the difference between the codes of a tensor in a file of ``dtype`` and the model's; ids are the same."""
    if tensor.ids:
        return 0
    if dtype == _INT16:
        return -tensor.zero_point
    return UINT8_OFFSET if dtype == _UINT8 else 0


def weights_type(dtype: np.dtype) -> np.dtype:
    """Return the type of weights in a file with activations of ``dtype``."""
    return np.dtype(np.uint8 if dtype == _UINT8 else np.int8)


def bias_type(dtype: np.dtype) -> np.dtype:
    """Return the type of biases in a file with activations of ``dtype``."""
    return np.dtype(np.int64 if dtype == _INT16 else np.int32)


def is_uniform(weights: IntegerWeights) -> bool:
    """Return whether all channels have the same scale and zero point."""
    return all(bool((values == values.flat[0]).all()) for values in (weights.scale, weights.zero_point))


def fits_int8(weights: IntegerWeights) -> bool:
    """Return whether the codes fit int8 with a zero point of 0."""
    return fits(weights, -LARGEST_CODE - 1, LARGEST_CODE)


def fits(weights: IntegerWeights, low: int, high: int) -> bool:
    """Return whether all codes minus their zero points are from ``low`` to ``high``."""
    centred = weights.centred
    return bool(centred.min() >= low and centred.max() <= high)


def _facts(model: IntegerModel) -> limits.Facts:
    """Return the facts about the model for the rules."""
    weights = dict.fromkeys(  # those that operations share once
        limits.Weights(
            op.weights.name,
            op.weights.num_bits,
            not is_uniform(op.weights),
            op.weights.num_bits <= 8 and not fits_int8(op.weights),
        )
        for op in model.ops
        if op.weights is not None
    )
    activations = {
        tensor.quantizer: limits.Activations(tensor.quantizer, tensor.num_bits, not _fits_int16(tensor))
        for tensor in model.tensors
        if not tensor.ids
    }
    additions = tuple((op.name, len(op.inputs)) for op in model.ops if isinstance(op.layer, Sum))
    softmaxes = tuple(
        (
            model.tensor(op.output).quantizer,
            follows_kernel(model.tensor(op.inputs[0]).grid, model.tensor(op.output).grid),
        )
        for op in model.ops
        if op.kind == "Softmax"
    )
    products = tuple(op.name for op in model.ops if op.kind == "MatMul")
    return limits.Facts(tuple(weights), tuple(activations.values()), additions, softmaxes, products)


def _fits_int16(tensor: IntegerTensor) -> bool:
    low, high = (code - tensor.zero_point for code in tensor.bounds)
    return bool(max(high, -1 - low) <= np.iinfo(_INT16).max)


def _overflows(model: IntegerModel, op: IntegerOp, dtype: np.dtype) -> List[Refusal]:
    """Return refusals for accumulators and multipliers that TFLite's kernels can't represent (the arrays decide)."""
    is_wide, where = dtype == _INT16, f"layer {op.name!r}: its accumulator"
    bits = WIDE_ACCUMULATOR_BITS if is_wide else ACCUMULATOR_BITS
    if op.accumulator_bits > bits:
        return [
            Refusal(
                f"{where} needs up to {op.accumulator_bits} bits; TFLite's have {bits}",
                (FEWER_BITS,),
            )
        ]
    multipliers = op.require_requantization().real
    results = channel_bounds(op.require_weights(), model.tensor(op.inputs[0])) * multipliers
    if results.max() > _LARGEST_RESULT:
        return [
            Refusal(
                f"{where} is up to {results.max():.3g} quantization steps of its output; up to {_LARGEST_RESULT:.3g} "
                "are safe from overflow in TFLite",
                (Advice("with a wider range of its output"),),
            )
        ]
    if is_wide and ((multipliers < _SMALLEST_WIDE_MULTIPLIER) & (results >= 0.5)).any():
        return [
            Refusal(
                f"layer {op.name!r}: its requantization multiplier is {multipliers.min():.3g}; LiteRT's int16 kernels "
                f"need at least {_SMALLEST_WIDE_MULTIPLIER:.3g}",
                (Advice("with a narrower range of its output"),),
            )
        ]
    return []


def _has_pairs(op: IntegerOp) -> bool:
    """Return whether the inputs are even in number, as XNNPACK requires."""
    return bool(op.require_weights().codes.shape[-2] % 2 == 0)


def _int4_candidates(model: IntegerModel) -> List[IntegerOp]:
    return [op for op in model.ops if op.weights is not None and op.weights.num_bits <= limits.INT4_BITS]


def softmax_grid(dtype: np.dtype) -> Tuple[float, int]:
    """Return scale and zero point of probabilities in a file of this type, as TFLite's kernels require them."""
    return _SOFTMAX_GRIDS[np.dtype(dtype).name]
