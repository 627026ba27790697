"""Writer and reader of encodings in AIMET's form.

AIMET counts codes from 0: ``value = scale * (q + offset)`` with ``q`` from 0 to ``2**bits - 1``, so that
``offset = qmin - zero_point`` for signed codes. See AIMET's "Encoding Format Specification": its tools and Qualcomm's
read version 1.0.0; 2.0.0 is in terms of ONNX's QuantizeLinear; 0.6.1, deprecated, has both ends of each range.
"""

import json
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from qatviz import __version__
from qatviz.errors import ExportError
from qatviz.export.encodings.limits import DICTIONARIES, LISTS, ONNX_LIKE, VERSIONS
from qatviz.export.encodings.tensors import ACTIVATIONS, BIAS_BITS, WEIGHTS, EncodedTensor
from qatviz.export.npz import fields
from qatviz.measures import FLOAT_BITS
from qatviz.quant.affine import AffineGrid, code_bounds

#: Scale of a tensor that has always been 0: all its codes are 0.
ALL_ZERO_SCALE = 2.0**-66
_Grids = Dict[str, Optional[AffineGrid]]


def to_json(tensors: Sequence[EncodedTensor], version: str) -> bytes:
    """Return the content of a file in this version of the format."""
    activations = [tensor for tensor in tensors if tensor.kind == ACTIVATIONS]
    parameters = [tensor for tensor in tensors if tensor.kind != ACTIVATIONS]
    record: Dict[str, Any] = {"version": version}
    if version == ONNX_LIKE:
        record["encodings"] = [_onnx_like(*part) for part in _quantized(tensors)]
    elif version == LISTS:
        record["activation_encodings"] = [_listed(*part) for part in _quantized(activations)]
        record["param_encodings"] = [_listed(*part) for part in _quantized(parameters)]
    else:
        record["activation_encodings"] = _by_channel(activations)
        record["param_encodings"] = _by_channel(parameters)
    if version != ONNX_LIKE:
        record["quantizer_args"] = _arguments(tensors, version)
        record["excluded_layers"] = []
    record["producer"] = {"name": "qatviz", "version": __version__}
    return (json.dumps(record, indent=1, allow_nan=False) + "\n").encode("utf-8")


def read_json(content: bytes, where: str) -> _Grids:
    """Return the grids of a file by tensor; None for tensors in float, which only files of earlier qatviz list.

    Raises
    ------
    ExportError
        If the content is damaged, or of an unknown version.
    """
    record = fields.parsed(content, where)
    version = fields.text(record, "version", where)
    if version not in VERSIONS:
        raise fields.refused(version, where + ": version", ", ".join(VERSIONS))
    found: _Grids = {}
    for part in ("encodings",) if version == ONNX_LIKE else ("activation_encodings", "param_encodings"):
        if version == DICTIONARIES:
            entries = list(fields.mapping(fields.field(record, part, where), where + ": " + part).items())
        else:
            entries = [
                (fields.text(fields.mapping(entry, where + ": " + part), "name", where + ": " + part), entry)
                for entry in fields.items(record, part, where)
            ]
        for name, entry in entries:
            if name in found:
                raise ExportError(f"{where}: has {name!r} twice: expected tensors of different names")
            found[name] = _READERS[version](entry, f"{where}: {name!r}")
    return found


def _quantized(tensors: Sequence[EncodedTensor]) -> List[Tuple[EncodedTensor, AffineGrid]]:
    """Return the tensors that a file lists, with grids: AIMET's loaders do not support tensors in 32-bit float."""
    return [(tensor, tensor.grid) for tensor in tensors if tensor.grid is not None]


def _listed(tensor: EncodedTensor, grid: AffineGrid) -> Dict[str, Any]:
    return {
        "name": tensor.name,
        "dtype": "INT",
        "bw": grid.num_bits,
        "enc_type": "PER_CHANNEL" if grid.scale.ndim else "PER_TENSOR",
        "is_sym": tensor.symmetric,
        "scale": stored_scales(grid),
        "offset": _offsets(grid, code_bounds(grid.num_bits, False)[0]),
    }


def _read_listed(entry: Dict[str, Any], where: str) -> Optional[AffineGrid]:
    if _one_of(entry, "dtype", where, ("INT", "FLOAT")) == "FLOAT":
        return None
    bits = fields.integer(entry, "bw", where, 2, BIAS_BITS)
    low, _high = code_bounds(bits, False)
    offsets = fields.integers(entry, "offset", where, -(2**32), 2**32)
    per_channel = _one_of(entry, "enc_type", where, ("PER_TENSOR", "PER_CHANNEL")) == "PER_CHANNEL"
    zero_points = [low - offset for offset in offsets]
    return _grid(_read_scales(entry, "scale", where), zero_points, bits, False, per_channel, where)


def _onnx_like(tensor: EncodedTensor, grid: AffineGrid) -> Dict[str, Any]:
    half = 0 if tensor.symmetric else 2 ** (grid.num_bits - 1)
    scales, zero_points = stored_scales(grid), [int(zero) + half for zero in grid.zero_point.reshape(-1)]
    record = {
        "name": tensor.name,
        "output_dtype": f"{'' if tensor.symmetric else 'u'}int{grid.num_bits}",
        "y_scale": scales if grid.scale.ndim else scales[0],
    }
    if not tensor.symmetric:
        record["y_zero_point"] = zero_points if grid.scale.ndim else zero_points[0]
    if tensor.axis is not None:
        record["axis"] = tensor.axis
    return record


def _read_onnx_like(entry: Dict[str, Any], where: str) -> Optional[AffineGrid]:
    types = {f"{sign}int{bits}": (sign, bits) for sign in ("", "u") for bits in (2, 4, 8, 16)}
    types["int32"] = ("", BIAS_BITS)
    sign, bits = types[_one_of(entry, "output_dtype", where, tuple(types))]
    per_channel = isinstance(fields.field(entry, "y_scale", where), list)
    if per_channel:
        fields.integer(entry, "axis", where, 0, 3)
    wrapped = {name: value if isinstance(value, list) else [value] for name, value in entry.items()}
    scales = _read_scales(wrapped, "y_scale", where)
    zeros = (0,) * len(scales)
    if "y_zero_point" in entry:
        zeros = fields.integers(wrapped, "y_zero_point", where, -(2**31), 2**32)
    half = 2 ** (bits - 1) if sign else 0
    return _grid(scales, [zero - half for zero in zeros], bits, False, per_channel, where)


def _by_channel(tensors: Sequence[EncodedTensor]) -> Dict[str, List[Dict[str, Any]]]:
    found = {}
    for tensor, grid in _quantized(tensors):
        low, high = grid.bounds
        found[tensor.name] = [
            {
                "bitwidth": grid.num_bits,
                "dtype": "int",
                "is_symmetric": str(tensor.symmetric),
                "min": scale * offset,
                "max": scale * (offset + high - low),
                "offset": offset,
                "scale": scale,
            }
            for scale, offset in zip(stored_scales(grid), _offsets(grid, low))
        ]
    return found


def _read_by_channel(entries: Any, where: str) -> Optional[AffineGrid]:
    entries = fields.items({"encodings": entries}, "encodings", where)
    if not entries:
        raise ExportError(f"{where}: has no encoding")
    if _one_of(fields.mapping(entries[0], where), "dtype", where, ("int", "float")) == "float":
        return None
    bits = fields.integer(entries[0], "bitwidth", where, 4, BIAS_BITS)
    scales: List[float] = []
    zero_points: List[int] = []
    narrow = False
    for entry in entries:
        if fields.integer(fields.mapping(entry, where), "bitwidth", where, 4, BIAS_BITS) != bits:
            raise ExportError(f"{where}: has channels of different bits")
        scale, offset = fields.scale(entry, "scale", where), fields.integer(entry, "offset", where, -(2**32), 2**32)
        ends = [fields.field(entry, name, where) for name in ("min", "max")]
        if not all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in ends):
            raise fields.refused(ends, where + ": min, max", "numbers")
        if not np.isclose(ends[0], scale * offset, rtol=1e-6, atol=scale * 1e-3):
            raise fields.refused(ends[0], where + ": min", f"scale times offset, {scale * offset!r}")
        # A grid without the lowest code is recognized by its ends.
        missing = 2**bits - 1 - (ends[1] - ends[0]) / scale
        if not (abs(missing) < 0.01 or abs(missing - 1) < 0.01) or (scales and narrow != (missing > 0.5)):
            raise fields.refused(ends[1], where + ": max", f"{2**bits - 1} quantization steps above min, or one fewer")
        narrow = missing > 0.5
        scales.append(scale)
        zero_points.append(code_bounds(bits, narrow)[0] - offset)
    return _grid(scales, zero_points, bits, narrow, len(scales) > 1, where)


_READERS = {LISTS: _read_listed, ONNX_LIKE: _read_onnx_like, DICTIONARIES: _read_by_channel}


def _grid(
    scales: Sequence[float], zero_points: Sequence[int], bits: int, narrow: bool, per_channel: bool, where: str
) -> AffineGrid:
    low, high = code_bounds(bits, narrow)
    if len(zero_points) != len(scales) or not scales or (not per_channel and len(scales) > 1):
        raise ExportError(
            f"{where}: has {len(scales)} scales and {len(zero_points)} zero points: expected equal numbers, and one "
            "per tensor if not per channel"
        )
    if not all(low <= zero <= high for zero in zero_points):
        raise ExportError(f"{where}: has a zero point beyond its codes: expected {low} to {high}")
    scale = np.array([0.0 if value == ALL_ZERO_SCALE else value for value in scales], np.float32)
    zero_point = np.array(zero_points, np.int64).astype(np.int32)
    if not per_channel:
        scale, zero_point = scale.reshape(()), zero_point.reshape(())
    return AffineGrid(scale, zero_point, bits, narrow)


def stored_scales(grid: AffineGrid) -> List[float]:
    """Return the scales of a grid, :data:`ALL_ZERO_SCALE` in place of 0, which AIMET does not allow."""
    return [float(scale) if scale > 0 else ALL_ZERO_SCALE for scale in grid.scale.reshape(-1)]


def _read_scales(entry: Dict[str, Any], name: str, where: str) -> List[float]:
    return [fields.scale({name: value}, name, where) for value in fields.items(entry, name, where)]


def _offsets(grid: AffineGrid, low: int) -> List[int]:
    return [low - int(zero) for zero in grid.zero_point.reshape(-1)]


def _one_of(entry: Dict[str, Any], name: str, where: str, allowed: Sequence[str]) -> str:
    value = fields.text(entry, name, where)
    if value not in allowed:
        raise fields.refused(value, f"{where}: {name}", ", ".join(allowed))
    return value


def _arguments(tensors: Sequence[EncodedTensor], version: str) -> Dict[str, Any]:
    """Return AIMET's summary of all quantizers: the widest, if they differ."""
    weights, activations = (
        [(tensor.grid, tensor.symmetric) for tensor in tensors if tensor.kind == kind and tensor.grid is not None]
        for kind in (WEIGHTS, ACTIVATIONS)
    )
    symmetric = bool(weights) and all(symmetric for _, symmetric in weights)
    per_channel = any(grid.scale.ndim for grid, _ in weights)
    bits = [max((grid.num_bits for grid, _ in part), default=FLOAT_BITS) for part in (activations, weights)]
    return {
        "activation_bitwidth": bits[0],
        "dtype": "int",
        "param_bitwidth": bits[1],
        "quant_scheme": "post_training_tf",
        "is_symmetric": str(symmetric) if version == DICTIONARIES else symmetric,
        "per_channel_quantization": str(per_channel) if version == DICTIONARIES else per_channel,
    }
