"""Serialization of arrays: a JSON header and compressed arrays in one blob.

Records on disk consist of such blobs. Commands, events, settings and descriptions are plain JSON, made by their
``to_dict`` and similar methods.

A blob is ``uint32 header length, uint64 payload length`` (little endian), the header (JSON, UTF-8; its entry
``arrays`` lists name, dtype and shape) and the zlib-compressed payload: the arrays one after another, each with its
bytes shuffled (first bytes of all items, then second bytes ...), which lets zlib compress slowly changing exponents.
Decoding executes no code: there are no pickles.
"""

import json
import re
import struct
import zlib
from typing import Any, Dict, List, Tuple

import numpy as np

from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.run_state import RunState
from qatviz.protocol.snapshots import (
    STANDARD_ERRORS,
    TENSOR_MEASURES,
    Snapshot,
    StepRecord,
    TensorHistogram,
    TensorValues,
    read_only,
)

_PREFIX = struct.Struct("<IQ")
#: Largest payload accepted when reading, in bytes: a thousand times a large snapshot.
_MAX_PAYLOAD = 1 << 30
#: Permitted array types, little endian. NumPy evaluates parts of other type names as Python, which would be unsafe.
_TYPE_NAME = re.compile(r"\|b1|[|<][iu][1248]|<f[248]")
_HISTOGRAM_ARRAYS = (
    "edges",
    "float_counts",
    "quantized_counts",
    "code_counts",
    "channel_min",
    "channel_max",
    "scale",
    "zero_point",
)


def to_json(value: Any) -> str:
    """Return compact JSON; NumPy scalars and arrays become numbers and lists.

    Raises
    ------
    TypeError
        If a value has no JSON form.
    """
    return json.dumps(value, default=_plain, separators=(",", ":"))


def pack(header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> bytes:
    """Return header and arrays as one blob; arrays must be of bool, integer or float type."""
    listed, parts = [], []
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        if _TYPE_NAME.fullmatch(little.dtype.str) is None:
            raise TypeError(f"array {name!r} has the type {array.dtype}, expected bool, integer or float")
        listed.append([name, little.dtype.str, list(array.shape)])
        parts.append(little.reshape(-1).view(np.uint8).reshape(-1, little.itemsize).T.tobytes())
    payload = b"".join(parts)
    encoded = to_json({**header, "arrays": listed}).encode("utf-8")
    return _PREFIX.pack(len(encoded), len(payload)) + encoded + zlib.compress(payload, 1)


def unpack(blob: bytes) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """Return header and arrays of a blob made by `pack`; the arrays are read-only.

    Raises
    ------
    ValueError, TypeError, KeyError, struct.error, zlib.error
        If the blob is invalid.
    """
    header_length, payload_length = _PREFIX.unpack_from(blob)
    if payload_length > _MAX_PAYLOAD:
        raise ValueError(f"payload of {payload_length} bytes, at most {_MAX_PAYLOAD} are allowed")
    start = _PREFIX.size
    header = json.loads(blob[start : start + header_length].decode("utf-8"))
    inflate = zlib.decompressobj()
    payload = inflate.decompress(blob[start + header_length :], payload_length + 1)
    if len(payload) != payload_length:
        raise ValueError(f"payload has {len(payload)} bytes or more, expected {payload_length}")
    arrays, offset = {}, 0
    for name, type_name, shape in header.pop("arrays"):
        if _TYPE_NAME.fullmatch(type_name) is None or any(n < 0 for n in shape):
            raise ValueError(f"array {name!r} of the type {type_name!r} and the shape {shape}")
        dtype = np.dtype(type_name)
        size = 1
        for n in shape:
            size *= int(n)
        if offset + size * dtype.itemsize > payload_length:
            raise ValueError(f"array {name!r} of the shape {shape} ends after the payload")
        planes = np.frombuffer(payload, np.uint8, size * dtype.itemsize, offset).reshape(dtype.itemsize, size)
        arrays[name] = read_only(np.ascontiguousarray(planes.T).reshape(-1).view(dtype).reshape(shape))
        offset += size * dtype.itemsize
    return header, arrays


def pack_steps(records: List[StepRecord]) -> bytes:
    """Return consecutive step records as one blob; time is the last axis, along which values compress best."""
    values = np.stack([record.values for record in records], axis=-1).astype(np.float32, copy=False)
    return pack(
        {},
        {
            "steps": np.array([record.step for record in records], np.int64),
            "seconds": np.array([record.seconds for record in records], np.float64),
            "loss": np.array([record.loss for record in records], np.float64),
            "learning_rate": np.array([record.learning_rate for record in records], np.float64),
            "values": values,
        },
    )


def unpack_steps(blob: bytes) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the columns of step records; raises like `unpack`.

    They are steps, seconds, loss and learning rate ``[n]``, and values, float32 ``[n, measures, tensors]``.
    """
    _, arrays = unpack(blob)
    steps, values = arrays["steps"], arrays["values"]
    columns = [steps] + [arrays[name] for name in ("seconds", "loss", "learning_rate")]
    if values.ndim != 3 or any(column.shape != values.shape[2:] for column in columns):
        raise ValueError(f"step block with values of the shape {values.shape}")
    if (np.diff(steps) <= 0).any():
        raise ValueError("the steps of a block do not ascend")
    seconds, loss, learning_rate = columns[1:]
    if values.shape[0] == len(TENSOR_MEASURES):  # in records of 0.1.0, whose standard errors are not known
        unknown = np.full((len(STANDARD_ERRORS), *values.shape[1:]), np.nan, np.float32)
        values = np.concatenate([values, unknown])
    return steps, seconds, loss, learning_rate, np.moveaxis(values, 2, 0)


def pack_snapshot(snapshot: Snapshot) -> bytes:
    """Return a snapshot with all its histograms as one blob, without its branch, which the record stores."""
    header = {
        "step": snapshot.step,
        "seconds": snapshot.seconds,
        "num_bits": list(snapshot.num_bits),
        "enabled": list(snapshot.enabled),
        "position": snapshot.position,
        "histograms": [[name, known.code_min, known.size] for name, known in snapshot.histograms.items()],
        "value_counts": [[known.zeros, known.distinct] for known in snapshot.histograms.values()],
    }
    arrays = {"values": snapshot.values}
    for i, histogram in enumerate(snapshot.histograms.values()):
        for field in _HISTOGRAM_ARRAYS:
            array = getattr(histogram, field)
            if array is not None:
                arrays[f"{i}.{field}"] = array
    return pack(header, arrays)


def unpack_snapshot(blob: bytes) -> Snapshot:
    """Return the snapshot in a blob made by `pack_snapshot`; raises like `unpack`."""
    header, arrays = unpack(blob)
    histograms = {}
    unknown = [[None, None]] * len(header["histograms"])
    described = zip(header["histograms"], header.get("value_counts", unknown))
    for i, ((name, code_min, *size), value_counts) in enumerate(described):  # records of 0.1.0 have no size
        fields = {field: arrays.get(f"{i}.{field}") for field in _HISTOGRAM_ARRAYS}
        missing = [field for field, array in fields.items() if array is None and field != "code_counts"]
        if missing:
            raise ValueError(f"histogram of {name!r} lacks {', '.join(missing)}")
        zeros, distinct = (None if number is None else int(number) for number in value_counts)
        histograms[str(name)] = TensorHistogram(
            code_min=int(code_min), size=int(*size), zeros=zeros, distinct=distinct, **fields
        )
    return Snapshot(
        step=int(header["step"]),
        seconds=float(header["seconds"]),
        values=arrays["values"],
        histograms=histograms,
        num_bits=tuple(int(bits) for bits in header["num_bits"]),
        enabled=tuple(bool(enabled) for enabled in header["enabled"]),
        position=None if header.get("position") is None else int(header["position"]),
    )


def pack_values(values: TensorValues) -> bytes:
    """Return the values of a tensor as one blob."""
    return pack({"step": values.step, "name": values.name}, {"values": values.values})


def unpack_values(blob: bytes) -> TensorValues:
    """Return the values in a blob made by `pack_values`; raises like `unpack`."""
    header, arrays = unpack(blob)
    return TensorValues(int(header["step"]), str(header["name"]), arrays["values"])


def pack_state(state: RunState) -> bytes:
    """Return the state of a run as one blob; checkpoints on disk have another format."""
    return pack({"name": state.name, "meta": state.meta()}, state.arrays)


def unpack_state(blob: bytes, plan: QuantizationPlan) -> RunState:
    """Return the state in a blob made by `pack_state`; raises like `unpack`, or RecordError if ``plan`` differs."""
    header, arrays = unpack(blob)
    return RunState.from_checkpoint(str(header["name"]), arrays, header["meta"], plan)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")
