"""Serialization of step records and snapshots: a JSON header and compressed arrays in one blob.

The database of a record contains such blobs. Commands, events, settings and descriptions are plain JSON, made by their
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

from qatviz.errors import SettingError
from qatviz.protocol import values
from qatviz.protocol.snapshots import (
    FIRST_SNAPSHOT_MEASURES,
    OLDER_ROWS,
    SNAPSHOT_MEASURES,
    STEP_MEASURES,
    Snapshot,
    StepRecord,
    TensorHistogram,
    read_only,
)
from qatviz.settings import QUANTIZER_SETTINGS

_PREFIX = struct.Struct("<IQ")
#: Largest payload in bytes that is accepted when reading: a hundred times that of a large snapshot.
_MAX_PAYLOAD = 1 << 28
#: The first arrays of a blob of step records, in their order; the values follow.
_STEP_COLUMNS = ("steps", "seconds", "loss", "learning_rate")
#: Largest number of bins and of codes of a histogram that are accepted.
_MAX_BINS, _MAX_CODES = 1 << 12, 1 << 16
_OPTIONAL_ARRAYS = ("code_counts", "frozen_counts", "frozen_bins")
#: Arrays of frozen weights, and those that they are a part of.
_PARTS = (("frozen_counts", "code_counts"), ("frozen_bins", "quantized_counts"))
_BITS = QUANTIZER_SETTINGS["num_bits"]
#: Permitted array types, little endian. NumPy evaluates parts of other type names as Python, which would be unsafe.
_TYPE_NAME = re.compile(r"\|b1|[|<][iu][1248]|<f[248]")
#: Name, type, shape and size of an array that the header of a blob lists.
Listed = Tuple[str, np.dtype, List[int], int]
_HISTOGRAM_ARRAYS = (
    "edges",
    "float_counts",
    "quantized_counts",
    "code_counts",
    "frozen_counts",
    "frozen_bins",
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
        little = little_endian(name, array)
        listed.append([name, little.dtype.str, list(array.shape)])
        parts.append(little.reshape(-1).view(np.uint8).reshape(-1, little.itemsize).T.tobytes())
    payload = b"".join(parts)
    encoded = to_json({**header, "arrays": listed}).encode("utf-8")
    return _PREFIX.pack(len(encoded), len(payload)) + encoded + zlib.compress(payload, 1)


def little_endian(name: str, array: np.ndarray) -> np.ndarray:
    """Return an array in C order and little endian; TypeError unless it is of bool, integer or float type."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    if _TYPE_NAME.fullmatch(little.dtype.str) is None:
        raise TypeError(f"array {name!r} has the type {array.dtype}, expected bool, integer or float")
    return little


def unpack(blob: bytes) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """Return header and arrays of a blob made by `pack`; the arrays are read-only.

    Raises
    ------
    ValueError, TypeError, KeyError, struct.error, zlib.error
        If the blob is invalid.
    """
    header, listed, payload_length, start = _read_header(blob)
    inflate = zlib.decompressobj()
    payload = inflate.decompress(blob[start:], payload_length + 1)
    if len(payload) != payload_length:
        raise ValueError(f"payload has {len(payload)} bytes or more, expected {payload_length}")
    return header, _arrays_in(payload, listed)


def unpack_first(blob: bytes, number: int) -> Dict[str, np.ndarray]:
    """Return the first ``number`` arrays of a blob, without inflating the others; raises like `unpack`."""
    _, listed, _, start = _read_header(blob)
    length = sum(size * dtype.itemsize for _, dtype, _, size in listed[:number])
    payload = zlib.decompressobj().decompress(blob[start:], length) if length else b""
    if len(payload) != length:
        raise ValueError(f"payload has {len(payload)} bytes, expected {length} or more")
    return _arrays_in(payload, listed[:number])


def _read_header(blob: bytes) -> Tuple[Dict[str, Any], List[Listed], int, int]:
    """Return the header of a blob without its arrays, these arrays, and length and beginning of the payload."""
    header_length, payload_length = _PREFIX.unpack_from(blob)
    if payload_length > _MAX_PAYLOAD:
        raise ValueError(f"payload of {payload_length} bytes, at most {_MAX_PAYLOAD} are allowed")
    start = _PREFIX.size + header_length
    header = values.mapping(json.loads(blob[_PREFIX.size : start].decode("utf-8")), "header")
    listed = [described_array(row) for row in values.sequence(header.pop("arrays"), "arrays")]
    described = sum(size * dtype.itemsize for _, dtype, _, size in listed)
    if described != payload_length:
        raise ValueError(f"payload of {payload_length} bytes, but its arrays have {described}")
    return header, listed, payload_length, start


def _arrays_in(payload: bytes, listed: List[Listed]) -> Dict[str, np.ndarray]:
    """Return the read-only arrays that a payload consists of."""
    arrays, offset = {}, 0
    for name, dtype, shape, size in listed:
        planes = np.frombuffer(payload, np.uint8, size * dtype.itemsize, offset).reshape(dtype.itemsize, size)
        arrays[name] = read_only(np.ascontiguousarray(planes.T).reshape(-1).view(dtype).reshape(shape))
        offset += size * dtype.itemsize
    return arrays


def described_array(row: Any) -> Listed:
    """Return name, type, shape and size of an array that the header of a blob lists."""
    name, type_name, shape = values.sequence(row, "array")
    name = values.text(name, "name of an array")
    if not isinstance(type_name, str) or _TYPE_NAME.fullmatch(type_name) is None:
        raise values.refusal(f"type of array {name!r}", type_name, "bool, integer or float")
    size = 1
    for n in values.sequence(shape, f"shape of array {name!r}"):
        size *= values.whole(n, f"length of an axis of array {name!r}")
    return name, np.dtype(type_name), shape, size


def pack_steps(records: List[StepRecord]) -> bytes:
    """Return consecutive step records as one blob.

    Steps are the last axis of the values, along which they compress best.
    """
    measures = np.stack([record.values for record in records], axis=-1).astype(np.float32, copy=False)
    arrays = {
        "steps": np.array([record.step for record in records], np.int64),
        "seconds": np.array([record.seconds for record in records], np.float64),
        "loss": np.array([record.loss for record in records], np.float64),
        "learning_rate": np.array([record.learning_rate for record in records], np.float64),
        "values": measures,
    }
    losses = np.stack([record.losses for record in records], axis=-1).astype(np.float32, copy=False)
    return pack({}, dict(arrays, losses=losses) if len(losses) else arrays)


def unpack_steps(blob: bytes) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the columns of step records; raises like `unpack`.

    They are steps, seconds, loss and learning rate ``[n]``, values, float32 ``[n, measures, tensors]``, and losses of
    several outputs, float32 ``[n, outputs]``, without columns for one output and in records of older versions.
    """
    _, arrays = unpack(blob)
    measures = values.array(arrays["values"], "values", "f", 3)
    steps, seconds, loss, learning_rate = _step_columns(arrays)
    losses = values.array(arrays.get("losses", np.zeros((0, len(steps)), np.float32)), "losses", "f", 2)
    if any(shape != measures.shape[2:] for shape in (steps.shape, losses.shape[1:])):
        raise ValueError(f"a block of {len(steps)} steps has values of the shape {measures.shape}")
    if measures.shape[0] in OLDER_ROWS:
        unknown = np.full((len(STEP_MEASURES) - len(measures), *measures.shape[1:]), np.nan, np.float32)
        measures = np.concatenate([measures, unknown])
    return steps, seconds, loss, learning_rate, np.moveaxis(measures, 2, 0), losses.T


def unpack_losses(blob: bytes) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return steps (int64), seconds and loss (float64 ``[n]``) of step records, without their measures.

    Raises like `unpack`.
    """
    arrays = unpack_first(blob, len(_STEP_COLUMNS))
    steps, *columns = _step_columns(arrays)
    return steps, columns[0], columns[1]


def _step_columns(arrays: Dict[str, np.ndarray]) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return checked steps, seconds, loss and learning rate of step records."""
    steps = values.array(arrays["steps"], "steps", "i")
    columns = [values.array(arrays[name], name, "f") for name in _STEP_COLUMNS[1:]]
    if any(column.shape != steps.shape for column in columns):
        raise ValueError(f"the columns of a block of {len(steps)} steps have other lengths")
    if (np.diff(steps) <= 0).any():
        raise ValueError("the steps of a block do not ascend")
    if len(steps) and not 0 <= steps[0] <= steps[-1] <= values.LARGEST_STEP:
        raise ValueError(f"steps {steps[0]} to {steps[-1]}: expected 0 to {values.LARGEST_STEP}")
    seconds, loss, learning_rate = (column.astype(np.float64, copy=False) for column in columns)
    if not np.isfinite(seconds).all():
        raise ValueError("the seconds of a block are not finite")
    return steps.astype(np.int64, copy=False), seconds, loss, learning_rate


def pack_snapshot(snapshot: Snapshot) -> bytes:
    """Return a snapshot with all its histograms as one blob, without its branch, which the record stores."""
    return pack(*snapshot_parts(snapshot))


def snapshot_parts(snapshot: Snapshot) -> Tuple[Dict[str, Any], Dict[str, np.ndarray]]:
    """Return header and arrays of a snapshot, without its branch."""
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
    return header, arrays


def unpack_snapshot(blob: bytes) -> Snapshot:
    """Return the snapshot in a blob made by `pack_snapshot`; raises like `unpack`."""
    return snapshot_of_parts(*unpack(blob))


def snapshot_of_parts(header: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> Snapshot:
    """Return the snapshot of which :func:`snapshot_parts` made header and arrays; raises like `unpack`."""
    histograms = {}
    listed = values.sequence(header["histograms"], "histograms")
    value_counts = values.sequence(header.get("value_counts", [[None, None]] * len(listed)), "value_counts")
    for i, (row, known) in enumerate(zip(listed, value_counts)):
        name, code_min, *size = values.sequence(row, "histogram")
        name = values.text(name, "name of a histogram")
        fields = {field: arrays.get(f"{i}.{field}") for field in _HISTOGRAM_ARRAYS}
        histograms[name] = _checked_histogram(name, code_min, size[0] if size else 0, known, fields)
    measures = values.array(arrays["values"], "values", "f", 2)
    if len(FIRST_SNAPSHOT_MEASURES) <= len(measures) < len(SNAPSHOT_MEASURES):  # in records of older versions
        unknown = np.full((len(SNAPSHOT_MEASURES) - len(measures), measures.shape[1]), np.nan, np.float32)
        measures = read_only(np.concatenate([measures, unknown]))
    num_bits = tuple(_checked_bits(bits) for bits in values.sequence(header["num_bits"], "num_bits"))
    enabled = tuple(values.boolean(on, "enabled") for on in values.sequence(header["enabled"], "enabled"))
    if not len(num_bits) == len(enabled) == measures.shape[1]:
        raise ValueError(
            f"the snapshot has bits of {len(num_bits)}, switches of {len(enabled)} and measures of "
            f"{measures.shape[1]} tensors"
        )
    return Snapshot(
        step=values.step(header["step"]),
        seconds=values.seconds(header["seconds"]),
        values=measures,
        histograms=histograms,
        num_bits=num_bits,
        enabled=enabled,
        position=values.optional_whole(header.get("position"), "position"),
    )


def _checked_bits(bits: Any) -> int:
    try:
        return int(_BITS.check(bits, "num_bits"))
    except SettingError as error:
        raise ValueError(str(error)) from error


def _checked_histogram(
    name: str, code_min: Any, size: Any, value_counts: Any, fields: Dict[str, Any]
) -> TensorHistogram:
    where = f"histogram of {name!r}: "
    missing = [field for field, array in fields.items() if array is None and field not in _OPTIONAL_ARRAYS]
    if missing:
        raise ValueError(f"{where}lacks {', '.join(missing)}")
    edges = values.array(fields["edges"], where + "edges", "f", 1, _MAX_BINS + 1)
    if len(edges) < 2 or not np.isfinite(edges).all() or (np.diff(edges) < 0).any():
        raise ValueError(f"{where}edges do not ascend: expected at least 2 finite numbers in order")
    for field in ("float_counts", "quantized_counts"):
        if len(values.counts(fields[field], where + field, _MAX_BINS)) != len(edges) - 1:
            raise ValueError(f"{where}{field} has {len(fields[field])} bins, expected {len(edges) - 1}")
    for field in _OPTIONAL_ARRAYS:
        if fields[field] is not None:
            values.counts(fields[field], where + field, _MAX_CODES)
    for part, whole in _PARTS:
        found, all_ = fields[part], fields[whole]
        if found is not None and (all_ is None or len(all_) != len(found) or (found > all_).any()):
            raise ValueError(f"{where}{part} are no part of {whole}")
    pairs = (("channel_min", "f", "channel_max", "f"), ("scale", "f", "zero_point", "i"))
    for first, first_kind, second, second_kind in pairs:
        lengths = [
            len(values.array(fields[field], where + field, kind))
            for field, kind in ((first, first_kind), (second, second_kind))
        ]
        if lengths[0] != lengths[1] or not lengths[0]:
            raise ValueError(f"{where}{first} and {second} have {lengths[0]} and {lengths[1]} channels")
    zeros, distinct = values.sequence(value_counts, where + "value_counts")
    return TensorHistogram(
        zeros=values.optional_whole(zeros, where + "zeros"),
        distinct=values.optional_whole(distinct, where + "distinct"),
        code_min=values.whole(code_min, where + "code_min", -_MAX_CODES, _MAX_CODES),
        size=values.whole(size, where + "size"),  # records of 0.1.0 have none
        **fields,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")
