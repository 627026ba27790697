"""Reader of an integer model's ``.npz`` and ``.json``, which validates both."""

import zipfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Set, Tuple, Union

import numpy as np

from qatviz.data.checks import wrap_read_errors
from qatviz.data.npz import read_npz
from qatviz.errors import DataError, ExportError, NetworkError
from qatviz.export.integers.bounds import accumulator_bound, bias_limit, bits_of, is_wide, padding, positions
from qatviz.export.integers.fixed_point import PRODUCT_BITS, FixedPoint
from qatviz.export.integers.model import (
    IntegerModel,
    IntegerOp,
    IntegerTensor,
    IntegerWeights,
    OutputTensor,
    Positions,
    input_of_ids,
    storage_dtype,
)
from qatviz.export.npz import fields
from qatviz.export.npz.checks import check_grids, check_requantization
from qatviz.export.npz.format import CHECKSUM, OLD_SCHEMA, ROUNDED_TWICE, SCHEMA, SUFFIX, checksum
from qatviz.network import checks
from qatviz.network.activations import Activation
from qatviz.network.elementwise import Multiply, Sum
from qatviz.network.embedding import Embedding
from qatviz.network.graph import WEIGHTED
from qatviz.network.layer import Layer, element_count
from qatviz.network.layers import (
    AveragePool,
    BatchNorm,
    Dropout,
    GlobalAveragePool,
    UpsampleBilinear,
    layer_from_dict,
)
from qatviz.network.matmul import MatMul
from qatviz.quant.affine import MAX_BITS, MIN_BITS, code_bounds

#: Largest size of a description (bytes); a network of hundreds of layers needs some hundred thousand.
_MAX_TEXT = 2**26
#: Largest size of an array's header in the archive (bytes).
_MAX_HEADER = 2**14
_TYPES = ("int8", "int16", "int32", "int64", "float32")
_WITHOUT_INTEGERS = (BatchNorm, Dropout)
#: Type and shape of each array, by its name.
Shapes = Dict[str, Tuple[str, Tuple[int, ...]]]


def load_integer_model(path: Union[str, Path]) -> IntegerModel:
    """Return the integer model of an ``.npz`` and the ``.json`` of the same name beside it.

    Everything on which the simulator relies is checked: types, shapes and ranges, that layers, tensors and arrays
    belong together, and that multipliers follow from the scales. No code is run.

    Raises
    ------
    ExportError
        If a file can't be read, or is damaged, or if the two don't belong together; the message names the file and the
        entry.
    """
    path = Path(path)
    described = path.with_suffix(SUFFIX)
    try:
        with wrap_read_errors(str(described), "the description of an integer model"), open(
            str(described), "rb"
        ) as file:
            content = file.read(_MAX_TEXT + 1)
        if len(content) > _MAX_TEXT:
            raise ExportError(f"{described}: is larger than {_MAX_TEXT:,} bytes")
        return _Reader(str(path), fields.parsed(content, str(described)), str(described)).model()
    except (DataError, NetworkError) as error:
        raise ExportError(
            str(error) if str(path) in str(error) or str(described) in str(error) else f"{described}: {error}"
        ) from error


class _Reader:
    """Reader of one model; every method raises :class:`ExportError` or NetworkError for an invalid entry."""

    def __init__(self, path: str, record: Dict[str, Any], where: str):
        self._path, self._record, self._where = path, record, where
        schema = fields.text(record, "schema", where)
        if schema not in (SCHEMA, OLD_SCHEMA):
            raise fields.refused(schema, f"{where}: schema", repr(SCHEMA))
        self._ties_up = schema == OLD_SCHEMA

    def model(self) -> IntegerModel:
        where, record = self._where, self._record
        tensors = [self._tensor(entry) for entry in fields.items(record, "tensors", where)]
        layers = [self._layer(entry) for entry in fields.items(record, "operations", where)]
        inputs = self._inputs()
        if len(tensors) != len(layers) + len(inputs) or len({tensor.name for tensor in tensors}) != len(tensors):
            raise ExportError(
                f"{where}: has {len(tensors)} tensors for {len(layers)} operations: expected "
                f"{'the input' if len(inputs) == 1 else f'{len(inputs)} inputs'} and one for each operation, with "
                "different names"
            )
        by_name = {tensor.name: tensor for tensor in tensors}
        aliases = self._aliases(by_name)
        if inputs != [tensor.name for tensor in tensors[: len(inputs)]]:
            raise fields.refused(inputs, where + ": input", "the names of the first tensors")
        if fields.text(record, "output", where) not in by_name:
            raise fields.refused(record["output"], where + ": output", "the name of a tensor")
        arrays = self._arrays(self._expected(layers))
        if record.get(CHECKSUM, "") not in ("", checksum(record, arrays)):
            raise ExportError(
                f"{where}: it or {self._path} was changed or damaged after the export, or they belong to two exports; "
                f"expected contents that match its {CHECKSUM!r} (remove that entry after a change on purpose)"
            )
        ops, known = [], list(inputs)
        for layer, tensor, entry in zip(layers, tensors[len(inputs) :], record["operations"]):
            ops.append(self._operation(layer, tensor, entry, {name: by_name[name] for name in known}, aliases, arrays))
            known.append(tensor.name)
        metadata = fields.mapping(fields.field(record, "metadata", where), where + ": metadata")
        return IntegerModel(
            checks.layer_name(where + ": name", fields.text(record, "name", where)),
            tuple(tensors),
            tuple(ops),
            record["output"],
            fields.optional_text(record, "softmax", where),
            aliases,
            fields.texts(record, "notes", where),
            metadata,
            self._further(by_name),
        )

    def _inputs(self) -> List[str]:
        """Return the names of the inputs; a network with several lists them in place of its input."""
        where, record = self._where, self._record
        if "inputs" not in record:
            if fields.text(record, "input", where) != checks.INPUT:
                raise fields.refused(record["input"], where + ": input", f"the first tensor, {checks.INPUT!r}")
            return [checks.INPUT]
        rows = [fields.mapping(row, where + ": inputs") for row in fields.items(record, "inputs", where)]
        names = [checks.layer_name(where + ": inputs", fields.text(row, "input", where + ": inputs")) for row in rows]
        if len(names) < 2 or len(set(names)) < len(names):
            raise fields.refused(names, where + ": inputs", "two or more with different names")
        return names

    def _further(self, by_name: Dict[str, IntegerTensor]) -> Tuple[OutputTensor, ...]:
        """Return the outputs after the first, which a network with one output does not list."""
        where = self._where + ": outputs"
        found = []
        for entry in self._record.get("outputs", ()):
            row = fields.mapping(entry, where)
            if fields.text(row, "output", where) not in by_name:
                raise fields.refused(row["output"], where, "the name of a tensor")
            found.append(OutputTensor(row["output"], fields.optional_text(row, "softmax", where)))
        return tuple(found[1:])

    def _tensor(self, entry: Any) -> IntegerTensor:
        name = fields.text(fields.mapping(entry, self._where + ": tensor"), "name", self._where + ": tensor")
        where = f"{self._where}: tensor {name!r}"
        shape = fields.integers(entry, "shape", where, 1, 2**31)
        if not shape or element_count(shape) >= 2**31:
            raise fields.refused(list(shape), where + ": shape", "sizes of fewer than 2**31 codes")
        if "ids" in entry:
            return input_of_ids(name, shape, fields.integer(entry, "ids", where, 1, 2**31 - 1))
        bits = fields.integer(entry, "num_bits", where, MIN_BITS, MAX_BITS)
        narrow = fields.flag(entry, "narrow_range", where)
        return IntegerTensor(
            name,
            shape,
            fields.scale(entry, "scale", where),
            fields.integer(entry, "zero_point", where, *code_bounds(bits, narrow)),
            bits,
            narrow,
            fields.text(entry, "quantizer", where),
        )

    def _layer(self, entry: Any) -> Layer:
        where = self._where + ": operation"
        layer = layer_from_dict(fields.mapping(fields.field(fields.mapping(entry, where), "layer", where), where))
        if isinstance(layer, _WITHOUT_INTEGERS):
            raise fields.refused(layer.kind, f"{where} {layer.name!r}: kind", "an operation with integers")
        return layer

    def _aliases(self, tensors: Dict[str, IntegerTensor]) -> Dict[str, str]:
        where = self._where + ": aliases"
        aliases = fields.mapping(fields.field(self._record, "aliases", self._where), where)
        for name, tensor in aliases.items():
            if tensor not in tensors or name in tensors:
                raise fields.refused(tensor, f"{where}: {name!r}", "the name of a tensor, for a layer without one")
        return dict(aliases)

    def _expected(self, layers: List[Layer]) -> Shapes:
        """Return type and shape of each array according to the description."""
        manifest = fields.mapping(fields.field(self._record, "arrays", self._where), self._where + ": arrays")
        found = {}
        for name, entry in manifest.items():
            where = f"{self._where}: array {name!r}"
            found[name] = (
                fields.text(fields.mapping(entry, where), "dtype", where),
                fields.integers(entry, "shape", where, 0, 2**31),
            )
        names: Set[str] = set()
        owners: Set[Tuple[str, str]] = set()
        for layer in layers:
            weighted = isinstance(layer, WEIGHTED)
            parts = (".weights", ".weights.scale", ".weights.zero_point", ".bias") if weighted else ()
            if layer.owner != layer.name:
                if (layer.kind, layer.owner) not in owners:
                    where = f"{self._where}: operation {layer.name!r}: shares"
                    raise fields.refused(layer.owner, where, f"a {layer.kind} before it with weights of its own")
                parts = parts if layer.name + ".weights" in found else parts[1:]
            else:
                owners.add((layer.kind, layer.name))
            parts += (
                (".multiplier", ".right_shift")
                if weighted or isinstance(layer, (GlobalAveragePool, Sum, Multiply, MatMul))
                else ()
            )
            if isinstance(layer, Activation) or (isinstance(layer, Embedding) and layer.owner == layer.name):
                parts += (".table",)
            parts += (".row_position", ".column_position") if isinstance(layer, UpsampleBilinear) else ()
            names.update(layer.name + part for part in parts)
        if names != set(found):
            raise ExportError(
                f"{self._where}: arrays: {'lack' if names - set(found) else 'have'} "
                f"{', '.join(sorted(names ^ set(found)))}: expected exactly those of the operations"
            )
        return found

    def _arrays(self, expected: Shapes) -> Dict[str, np.ndarray]:
        """Return the archive's arrays, of the types and shapes in the description."""
        with wrap_read_errors(self._path, "an .npz archive"), zipfile.ZipFile(self._path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
        if set(sizes) != {name + ".npy" for name in expected}:
            odd = sorted(set(sizes) ^ {name + ".npy" for name in expected})
            raise ExportError(
                f"{self._path}: does not have the arrays that {self._where} lists: {', '.join(odd[:4])} "
                f"{'is' if len(odd) == 1 else 'are'} in one of them only"
            )
        for name, (dtype, shape) in expected.items():
            if dtype not in _TYPES:
                raise fields.refused(dtype, f"{self._where}: array {name!r}: dtype", ", ".join(_TYPES))
            if sizes[name + ".npy"] > np.dtype(dtype).itemsize * element_count(shape) + _MAX_HEADER:
                raise ExportError(
                    f"{self._path}: {name}: has {sizes[name + '.npy']:,} bytes: expected {dtype} {list(shape)}"
                )
        arrays = read_npz(self._path, list(expected))
        for name, (dtype, shape) in expected.items():
            if arrays[name].dtype != np.dtype(dtype) or arrays[name].shape != shape:
                raise ExportError(
                    f"{self._path}: {name}: is {arrays[name].dtype} {list(arrays[name].shape)}: expected "
                    f"{dtype} {list(shape)}"
                )
            arrays[name] = np.array(arrays[name])
            arrays[name].flags.writeable = False
        return arrays

    def _operation(
        self,
        layer: Layer,
        output: IntegerTensor,
        entry: Dict[str, Any],
        known: Dict[str, IntegerTensor],
        aliases: Dict[str, str],
        arrays: Dict[str, np.ndarray],
    ) -> IntegerOp:
        where = f"{self._where}: operation {layer.name!r}"
        inputs = fields.texts(entry, "inputs", where)
        if inputs != tuple(aliases.get(name, name) for name in layer.inputs) or not set(inputs) <= set(known):
            raise fields.refused(list(inputs), where + ": inputs", "tensors before it, those of its layer")
        sources = [known[name] for name in inputs]
        if fields.text(entry, "output", where) != output.name:
            raise fields.refused(entry["output"], where + ": output", repr(output.name))
        shape = tuple(layer.output_shape([source.shape for source in sources]))
        if shape != output.shape:
            raise fields.refused(list(output.shape), f"{self._where}: tensor {output.name!r}: shape", f"{list(shape)}")
        pads = padding(layer, sources[0].shape, output.shape)
        if fields.field(entry, "pads", where) != (None if pads is None else [list(side) for side in pads]):
            raise fields.refused(entry["pads"], where + ": pads", f"{pads}")
        clamp = fields.integers(entry, "clamp", where, *output.bounds)
        if len(clamp) != 2 or clamp[0] > clamp[1]:
            raise fields.refused(list(clamp), where + ": clamp", "the smallest and the largest code")
        layers = fields.texts(entry, "layers", where)
        if layer.name not in layers:
            raise fields.refused(list(layers), where + ": layers", "the operation's own layer and those merged into it")
        weights = self._weights(layer, sources, fields.field(entry, "weights", where), where, arrays)
        requantization = None
        if layer.name + ".multiplier" in arrays:
            requantization = FixedPoint(arrays[layer.name + ".multiplier"], arrays[layer.name + ".right_shift"])
        self._check_ids(layer, sources, where)
        check_grids(layer, sources, output, where)
        op = IntegerOp(
            layer,
            layers,
            inputs,
            output.name,
            (clamp[0], clamp[1]),
            pads,
            weights,
            requantization,
            fields.integer(entry, "accumulator_bits", where, 0, PRODUCT_BITS),
            self._tie_center(layer, output, entry, where),
            self._table(layer, sources[0], output, (clamp[0], clamp[1]), arrays),
            self._positions(layer, sources[0], entry, where, arrays),
            isinstance(layer, (Multiply, MatMul)) and entry.get("rule") == layer.kind + ROUNDED_TWICE,
        )
        check_requantization(op, sources, output, self._path)
        bound = accumulator_bound(layer, weights, requantization, sources)
        if op.accumulator_bits != (bits_of(bound) if requantization is not None else 0):
            raise fields.refused(
                op.accumulator_bits, where + ": accumulator_bits", "the value that follows from weights and inputs"
            )
        return op

    def _check_ids(self, layer: Layer, sources: List[IntegerTensor], where: str) -> None:
        """Check that the input of an Embedding, and no other, has ids, for each of which there is a row."""
        for source in sources:
            if (source.ids > 0) != isinstance(layer, Embedding) or source.ids > getattr(layer, "input_dim", 0):
                raise fields.refused(source.name, where + ": inputs", "ids of rows for an Embedding, else no ids")

    def _tie_center(self, layer: Layer, output: IntegerTensor, entry: Dict[str, Any], where: str) -> Optional[int]:
        low, high = output.bounds
        if self._ties_up:
            # Away from the smallest code is up.
            return low if isinstance(layer, AveragePool) else None
        if isinstance(layer, (AveragePool, UpsampleBilinear)):
            return fields.integer(entry, "tie_center", where, low, high)
        if fields.field(entry, "tie_center", where) is not None:
            raise fields.refused(entry["tie_center"], where + ": tie_center", f"null: a {layer.kind} has none")
        return None

    def _positions(
        self, layer: Layer, source: IntegerTensor, entry: Dict[str, Any], where: str, arrays: Dict[str, np.ndarray]
    ) -> Optional[Positions]:
        if not isinstance(layer, UpsampleBilinear):
            return None
        unit = fields.field(entry, "position_unit", where)
        for expected in (positions(layer, source.shape, wide) for wide in (False, True)):
            if expected.unit == unit:
                found = [arrays[f"{layer.name}.{axis}_position"] for axis in ("row", "column")]
                if all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(found, expected)):
                    return Positions(found[0], found[1], expected.unit)
        raise ExportError(
            f"{self._path}: {layer.name}.row_position, {layer.name}.column_position or the position_unit of its "
            "operation are not those of its size"
        )

    def _table(
        self,
        layer: Layer,
        source: IntegerTensor,
        output: IntegerTensor,
        clamp: Tuple[int, int],
        arrays: Dict[str, np.ndarray],
    ) -> Optional[np.ndarray]:
        if not isinstance(layer, (Activation, Embedding)):
            return None
        table = arrays[layer.owner + ".table"]
        shape: Tuple[int, ...] = (2**source.num_bits,)
        if isinstance(layer, Embedding):
            shape = layer.parameter_shapes([source.shape])["weights"]
        if table.dtype != output.dtype or table.shape != shape:
            expected = f"{output.dtype} {list(shape)}, an entry for each code of its input"
            raise ExportError(f"{self._path}: {layer.name}.table does not fit its operation: expected {expected}")
        if table.min() < clamp[0] or table.max() > clamp[1]:
            raise ExportError(f"{self._path}: {layer.name}.table has codes outside of its clamp, {list(clamp)}")
        return table

    def _weights(
        self, layer: Layer, sources: List[IntegerTensor], entry: Any, where: str, arrays: Dict[str, np.ndarray]
    ) -> Optional[IntegerWeights]:
        if not isinstance(layer, WEIGHTED):
            if entry is not None:
                raise fields.refused(entry, where + ": weights", f"null: a {layer.kind} has none")
            return None
        fields.mapping(entry, where + ": weights")
        bits = fields.integer(entry, "num_bits", where, MIN_BITS, MAX_BITS)
        narrow = fields.flag(entry, "narrow_range", where)
        name = layer.name + ".weights"
        scale, zero_point, bias = (arrays[key] for key in (name + ".scale", name + ".zero_point", layer.name + ".bias"))
        codes = arrays[name if name in arrays else layer.owner + ".weights"]
        low, high = code_bounds(bits, narrow)
        wide = is_wide(sources[0], bits)
        shape = tuple(layer.parameter_shapes([sources[0].shape])["weights"])
        channels = element_count(shape[-2 if layer.kind == "DepthwiseConv2D" else -1 :])
        limit = bias_limit(wide)
        for fits, array, expected in (
            (codes.dtype == storage_dtype(bits), name, f"codes of {bits} bits"),
            (codes.shape == shape, name, "the layer's shape"),
            (low <= codes.min() and codes.max() <= high, name, f"codes {low} to {high}"),
            (
                scale.dtype == np.float32 and scale.shape in ((), (channels,)),
                name + ".scale",
                "one, or one per channel",
            ),
            (np.isfinite(scale).all() and (scale > 0).all(), name + ".scale", "numbers above 0"),
            (
                zero_point.dtype == np.int32 and zero_point.shape == scale.shape,
                name + ".zero_point",
                "the shape of the scale",
            ),
            (low <= zero_point.min() and zero_point.max() <= high, name + ".zero_point", "codes"),
            (
                bias.dtype == (np.int64 if wide else np.int32) and bias.shape == (channels,),
                layer.name + ".bias",
                f"{'int64' if wide else 'int32'} [{channels}]",
            ),
            (-limit <= bias.min() and bias.max() <= limit, layer.name + ".bias", f"at most {limit}"),
        ):
            if not fits:
                raise ExportError(f"{self._path}: {array} does not fit its operation: expected {expected}")
        return IntegerWeights(layer.owner + ".weights", codes, scale, zero_point, bits, narrow, bias)
