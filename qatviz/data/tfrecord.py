"""TFRecord files with a schema. TensorFlow, which verifies their checksums, is imported on first use.

The schema is a JSON file: which feature of an example is the input of the network, which its label or targets, and how
they are stored::

    {"examples": {"feature": "image", "encoding": "raw", "dtype": "uint8", "shape": [28, 28, 1]},
     "targets": {"feature": "label"},
     "class_names": ["cat", "dog"]}

Examples of several inputs are such entries by name of the input, ``{"left": {"feature": ...}, "age": {...}}``.

The encoding is "raw" (the bytes of an array of this dtype, little endian, in C order), "image" (a PNG, JPEG or other
image file, of this shape) or "list" (numbers of a feature, the default).
"""

import os
import struct
from typing import Any, BinaryIO, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.data.build import from_arrays, name_from_path, train_and_test
from qatviz.data.checks import (
    LARGER_DATA,
    check_memory,
    is_gzipped,
    list_directory,
    memory_limit,
    read_json,
    wrap_read_errors,
)
from qatviz.data.dataset import Dataset, Note
from qatviz.data.images import decoded
from qatviz.data.inputs import from_inputs
from qatviz.data.split_names import TRAIN, check_random_split, held_out_part, part_of_name
from qatviz.data.streamed import READ_WITH_SAMPLE, Array, StreamedArray, is_streamed
from qatviz.data_options import TEST, VALIDATION, DataOptions
from qatviz.errors import DataError, require_tensorflow
from qatviz.number_format import names_text
from qatviz.task import TASKS

#: Names of the data options that apply.
TFRECORD_OPTIONS = ("schema", "held_out")
#: Name of the schema beside the files.
SCHEMA = "schema.json"
_ENDINGS = (".tfrecord", ".tfrecords")
_RAW, _IMAGE, _LIST = "raw", "image", "list"
_ENCODINGS = (_RAW, _IMAGE, _LIST)
_DTYPES = ("uint8", "int8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64")
_MAX_SCHEMA_BYTES = 2**22
#: Bytes before and after the content of a record: its length and two checksums.
_BEFORE, _AFTER = 12, 4


class Feature(NamedTuple):
    """Name of a feature of an example, and how its values are stored: one of `_ENCODINGS`, dtype and shape."""

    name: str
    encoding: str
    dtype: np.dtype
    shape: Tuple[int, ...]


class Schema(NamedTuple):
    """Content of a schema file; ``inputs`` are the examples by name of the input, if there are several."""

    examples: Feature
    targets: Feature
    class_names: Optional[List[str]]
    task: Optional[str]
    inputs: Mapping[str, Feature] = {}


def is_tfrecord(path: str) -> bool:
    """Return whether a path is a TFRecord file, by its name, or a directory of such files."""
    if os.path.isdir(path):
        return any(map(_has_ending, list_directory(path)))
    return _has_ending(os.path.basename(path))


def load_tfrecord(
    path: str,
    validation_fraction: float = 0.2,
    seed: int = 0,
    task: Optional[str] = None,
    options: DataOptions = DataOptions(),
) -> Dataset:
    """Load a data set from a TFRecord file, or from the files in a directory, whose names tell their parts.

    Examples that do not fit in memory are read when they are used, unless the files are compressed.

    Parameters
    ----------
    path : str
    validation_fraction, seed
        See :func:`qatviz.data.build.from_arrays`.
    task : str, optional
        Task; default: the task in the schema; without that, see :func:`qatviz.data.build.from_arrays`.
    options : DataOptions
        `TFRECORD_OPTIONS` of them are used.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        If there is no schema, a file is damaged, or an example lacks a feature or has another number of values; the
        message names the file and the number of the record.
    """
    schema = read_schema(_schema_path(path, options))
    parts = _parts(path, options)
    records = {part: [_Records(file) for file in files] for part, files in parts.items()}
    features = schema.inputs or {"": schema.examples}
    pairs = [_read(files, features, schema.targets, path) for files in records.values()]
    are_streamed = any(is_streamed(array) for examples, _ in pairs for array in examples.values())
    notes = [Note(READ_WITH_SAMPLE)] if are_streamed else []
    if schema.inputs:
        return from_inputs(
            name_from_path(path),
            path,
            *train_and_test(pairs),
            schema.class_names,
            validation_fraction,
            seed,
            dict.fromkeys(("y_train", "y_test"), f"{path}: {schema.targets.name}"),
            task or schema.task,
            notes,
        )
    arrays = [(examples[""], targets) for examples, targets in pairs]
    where = {
        f"{key}_{part}": f"{path}: {feature.name}"
        for part in ("train", "test")
        for key, feature in (("x", schema.examples), ("y", schema.targets))
    }
    return from_arrays(
        name_from_path(path),
        path,
        *train_and_test(arrays),
        schema.class_names,
        validation_fraction,
        seed,
        where,
        task or schema.task,
        notes,
    )


def read_schema(path: str) -> Schema:
    """Return the checked content of a schema file; a `DataError` names the first entry that is not allowed."""
    found = read_json(path, "the schema of TFRecord files", _MAX_SCHEMA_BYTES)
    if not isinstance(found, dict) or set(found) - {"examples", "targets", "class_names", "task"}:
        raise DataError(f"{path}: expected examples, targets, and optionally class_names and task")
    names = found.get("class_names")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise DataError(f"{path}: class_names: expected a list of strings")
    task = found.get("task")
    if task is not None and task not in TASKS:
        raise DataError(f"{path}: task is {task!r}; expected one of {', '.join(TASKS)}")
    given, targets = found.get("examples"), _feature(found.get("targets"), f"{path}: targets")
    if isinstance(given, dict) and len(given) > 1 and all(isinstance(each, dict) for each in given.values()):
        inputs = {name: _feature(each, f"{path}: examples: {name}") for name, each in given.items()}
        return Schema(next(iter(inputs.values())), targets, names, task, inputs)
    return Schema(_feature(given, f"{path}: examples"), targets, names, task)


def _feature(found: Any, where: str) -> Feature:
    """Return the checked description of a feature in a schema; ``where`` names it in messages."""
    if not isinstance(found, dict) or set(found) - {"feature", "encoding", "dtype", "shape"}:
        raise DataError(f"{where}: expected feature, and optionally encoding, dtype and shape")
    name, encoding, dtype = found.get("feature"), found.get("encoding", _LIST), found.get("dtype")
    shape = found.get("shape", [])
    if not isinstance(name, str) or not name:
        raise DataError(f"{where}: feature is {name!r}; expected the name of a feature")
    if encoding not in _ENCODINGS:
        raise DataError(f"{where}: encoding is {encoding!r}; expected one of {', '.join(_ENCODINGS)}")
    if dtype is None:
        dtype = {_RAW: "uint8", _IMAGE: "uint8"}.get(encoding, "float32")
    if dtype not in _DTYPES:
        raise DataError(f"{where}: dtype is {dtype!r}; expected one of {', '.join(_DTYPES)}")
    if not isinstance(shape, list) or not all(type(size) is int and 0 < size < 2**31 for size in shape):
        raise DataError(f"{where}: shape is {shape!r}; expected a list of sizes")
    if encoding == _IMAGE and (len(shape) != 3 or shape[2] not in (1, 3)):
        raise DataError(f"{where}: shape is {shape!r}; expected [height, width, 1 or 3] for images")
    return Feature(name, encoding, np.dtype(dtype), tuple(shape))


def _has_ending(name: str) -> bool:
    """Return whether a file has the name of a TFRecord file."""
    # Also the files of a set, such as train.tfrecord-00000-of-00010.
    return any(name.lower().endswith(ending) or f"{ending}-" in name.lower() for ending in _ENDINGS)


def _schema_path(path: str, options: DataOptions) -> str:
    """Return the path of the schema that the options name, or of the one beside the files."""
    if options.schema:
        return os.path.expanduser(options.schema)
    beside = os.path.join(path if os.path.isdir(path) else os.path.dirname(path), SCHEMA)
    if not os.path.exists(beside):
        raise DataError(
            f"{path}: found no {SCHEMA} beside the records, which says what their features are; expected it there, or "
            "its path as the schema",
            "schema",
        )
    return beside


def _parts(path: str, options: DataOptions) -> Dict[str, List[str]]:
    """Return the files of the training part and, if there is one, of the held-out part."""
    if not os.path.isdir(path):
        check_random_split(options, path)
        return {TRAIN: [path]}
    named: Dict[str, List[str]] = {TRAIN: [], VALIDATION: [], TEST: []}
    names = [name for name in list_directory(path) if _has_ending(name)]
    for name in names:
        stem = name.lower().split(".tfrecord")[0]
        named[part_of_name(stem) or TRAIN].append(os.path.join(path, name))
    if not named[TRAIN]:
        raise DataError(
            f"{path}: found {', '.join(names)}, but none for training; expected a file such as train.tfrecord"
        )
    held_out = held_out_part(options, [part for part, files in named.items() if files], path)
    return {part: named[part] for part in (TRAIN, held_out) if part is not None}


class _Records:
    """Records of a file: :meth:`contents` passes over all of them, then :meth:`content` reads single ones.

    Attributes
    ----------
    path : str
    places : list of (int, int)
        Position in the file and length, in bytes, of the content of each record; found by `contents`.
    is_compressed : bool
        Whether the file is gzipped, so that single records can't be read.
    """

    def __init__(self, path: str):
        self.path = path
        self.places: List[Tuple[int, int]] = []
        with wrap_read_errors(path, "a TFRecord file"):
            self.is_compressed = is_gzipped(path)

    def contents(self) -> Iterator[bytes]:
        """Yield the content of each record, with its checksum verified; a `DataError` names a damaged record."""
        require_tensorflow("reading TFRecord files")
        import tensorflow.compat.v1 as tf

        compression = tf.python_io.TFRecordCompressionType
        options = tf.python_io.TFRecordOptions(compression.GZIP if self.is_compressed else compression.NONE)
        position, self.places = 0, []
        try:
            for content in tf.python_io.tf_record_iterator(self.path, options):
                self.places.append((position + _BEFORE, len(content)))
                position += _BEFORE + len(content) + _AFTER
                yield content
        except tf.errors.OpError as error:
            raise DataError(
                f"{self.path}: record {len(self.places)}: {error.message}; expected a TFRecord file"
            ) from error

    def content(self, file: BinaryIO, number: int) -> bytes:
        """Return the content of a record from the open ``file``; a `DataError` if its length has changed."""
        position, length = self.places[number]
        file.seek(position - _BEFORE)
        (found,) = struct.unpack("<Q", file.read(8))
        if found != length:
            raise DataError(
                f"{self.path}: record {number} has {found:,} bytes, {length:,} before: the file was changed"
            )
        file.seek(position)
        return file.read(length)


def _read(
    files: Sequence[_Records], features: Mapping[str, Feature], of_targets: Feature, source: str
) -> Tuple[Dict[str, Array], np.ndarray]:
    """Return the examples of a part by name of the input, and its targets.

    The examples are streamed if those of all inputs do not fit in memory together.
    """
    targets: List[np.ndarray] = []
    examples: Dict[str, List[np.ndarray]] = {name: [] for name in features}
    n_bytes, can_stream = 0, not any(file.is_compressed for file in files)
    limit = memory_limit() // 2  # the arrays are joined in the end
    for file in files:
        for number, content in enumerate(file.contents()):
            where = f"{file.path}: record {number}"
            found = _parsed(content, where)
            targets.append(_value(found, of_targets, where))
            if n_bytes <= limit or not can_stream:
                for name, feature in features.items():
                    examples[name].append(_value(found, feature, where))
                    n_bytes += examples[name][-1].nbytes
                if not can_stream:
                    check_memory(source, 2 * n_bytes, "loading its examples", LARGER_DATA)
                elif n_bytes > limit:
                    examples = {name: own[:1] for name, own in examples.items()}
    if not targets:
        raise DataError(f"{source}: found no records; expected examples")
    if n_bytes <= limit or not can_stream:
        return {name: np.array(own) for name, own in examples.items()}, np.array(targets)
    arrays: Dict[str, Array] = {}
    for name, feature in features.items():
        arrays[name] = streamed = _RecordArray(files, feature, examples[name][0])
        streamed.state_sample()
    return arrays, np.array(targets)


def _parsed(content: bytes, where: str) -> Any:
    """Return the features of an example, by name, from the content of its record."""
    from tensorflow.core.example import example_pb2

    with wrap_read_errors(where, "a tf.train.Example"):
        return example_pb2.Example.FromString(content).features.feature


def _value(found: Any, feature: Feature, where: str) -> np.ndarray:
    """Return the values of a feature, of its shape and dtype, from the features of an example by name.

    Labels that are stored as integers, in a feature without a stated dtype and shape, stay integers.
    """
    if feature.name not in found:
        names = names_text(sorted(found)) or "no features"
        raise DataError(f"{where}: found {names}; expected the feature {feature.name!r}")
    stored = found[feature.name]
    kind = stored.WhichOneof("kind")
    if feature.encoding == _LIST:
        if kind not in ("float_list", "int64_list"):
            raise DataError(
                f"{where}: {feature.name} has bytes; expected numbers, or the encoding {_RAW!r} or {_IMAGE!r}"
            )
        values = np.array(getattr(stored, kind).value)
    else:
        if kind != "bytes_list" or len(stored.bytes_list.value) != 1:
            raise DataError(f"{where}: {feature.name}: expected the bytes of one array or image")
        content = stored.bytes_list.value[0]
        if feature.encoding == _IMAGE:
            return decoded(content, feature.shape, f"{where}: {feature.name}")
        values = np.frombuffer(
            content[: len(content) // feature.dtype.itemsize * feature.dtype.itemsize], feature.dtype.newbyteorder("<")
        )
    wanted = int(np.prod(feature.shape))
    if values.size != wanted:
        raise DataError(
            f"{where}: {feature.name} has {values.size:,} values; expected {wanted:,} for the shape "
            f"{list(feature.shape)}"
        )
    if feature.encoding == _LIST and kind == "int64_list" and feature.dtype == np.float32 and not feature.shape:
        return values.reshape(())
    return values.astype(feature.dtype.newbyteorder("=")).reshape(feature.shape)


class _RecordArray(StreamedArray):
    """Examples in the records of files; ``first`` is the first example, whose shape and dtype all have."""

    def __init__(self, files: Sequence[_Records], feature: Feature, first: np.ndarray):
        counts = [len(file.places) for file in files]
        super().__init__((sum(counts), *first.shape), first.dtype)
        self._files, self._feature = files, feature
        self._starts = np.concatenate([[0], np.cumsum(counts)])

    def read(self, rows: np.ndarray) -> np.ndarray:
        result = np.empty((len(rows), *self.shape[1:]), self.dtype)
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        for owner in np.unique(owners):
            records = self._files[owner]
            with wrap_read_errors(records.path, "a TFRecord file"), open(records.path, "rb") as file:
                for place in np.flatnonzero(owners == owner):
                    number = int(rows[place] - self._starts[owner])
                    where = f"{records.path}: record {number}"
                    result[place] = _value(_parsed(records.content(file, number), where), self._feature, where)
        return result
