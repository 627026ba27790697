"""Builder of ONNX files from nodes and constants, with the package ``onnx``.

The package is an extra; it is imported when a file is built.
"""

import json
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from qatviz import __version__
from qatviz.errors import ExportError
from qatviz.export.integers.nibbles import packed_nibbles
from qatviz.export.onnx.layout import Move
from qatviz.export.onnx.limits import OPSET_13, OPSET_19, OPSET_21, needs_packages
from qatviz.network.checks import INPUT

#: Version of the format for each operator set: the one that runtimes with the operator set support.
_IR_VERSIONS = {OPSET_13: 8, OPSET_19: 9, OPSET_21: 10}
#: Element types, as operators number them.
FLOAT, UINT8, INT32, INT64, DOUBLE, INT4 = 1, 2, 6, 7, 11, 22
#: First operator set in which the axes of a ReduceMean are an input.
_AXES_AS_INPUT = 18
#: Name of the batch axis.
BATCH_AXIS = "N"


#: End of the name of the value of one of several inputs until :meth:`OnnxFile.name_inputs`.
GIVEN = ".given"


def port_name(name: str, has_ids: bool) -> str:
    """Return the name in a file of codes of an input of the network, which may have ids."""
    return ("ids" if has_ids else "images") if name == INPUT else name


class Port(NamedTuple):
    """An input or output of a file; ``shape`` is without the batch axis."""

    name: str
    dtype: np.dtype
    shape: Tuple[int, ...]


class FileText(NamedTuple):
    """Description of a file (``doc_string``), and further ``metadata_props``."""

    description: str = ""
    properties: Mapping[str, str] = {}


class OnnxFile:
    """Builder of a file with one graph.

    Parameters
    ----------
    name : str
        Name of the graph.
    about : dict of str to str
        Stored in the file as its ``metadata_props``.
    opset : str
        Operator set, one of :data:`qatviz.export.onnx.limits.OPSETS`.

    Raises
    ------
    ExportError
        If the package ``onnx`` is missing.
    """

    def __init__(self, name: str, about: Mapping[str, str], opset: str = OPSET_13):
        self._onnx = onnx_package()
        self._name, self._about, self._opset = name, dict(about), opset
        self._nodes: List[Any] = []
        self._constants: Dict[str, Any] = {}
        #: Names of the constants that may be shared.
        self._shared: Dict[str, List[str]] = {}

    def add_node(self, operator: str, inputs: Sequence[str], output: str, name: str, **attributes: Any) -> str:
        """Append a node, which is computed after those before it; return the name of its output."""
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [output], name=name, **attributes))
        return output

    def add_step(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Append a node whose output, which is named after it, is used by the next node only."""
        return self.add_node(operator, inputs, name + ".value", name, **attributes)

    def reduction_axes(self, name: str, axes: Sequence[int]) -> Tuple[List[str], Dict[str, Any]]:
        """Return further inputs, whose names begin with ``name``, and attributes of a ReduceMean or ReduceMax."""
        if int(self._opset) < _AXES_AS_INPUT:
            return [], {"axes": list(axes)}
        return [self.add_constant(name + ".axes", axes, np.int64)], {}

    def add_constant(self, name: str, data: Any, dtype: Any, shared: str = "") -> str:
        """Append a tensor with this data; return its name.

        If one with the same name ``shared`` and the same data exists, return the name of that one.
        """
        array = np.ascontiguousarray(data, dtype).reshape(np.shape(data))
        return self._put(name, self._onnx.numpy_helper.from_array(array, name), shared)

    def add_inputs(self, name: str, move: Move) -> List[str]:
        """Append the constant inputs of a node of this name; return their names."""
        return [
            self.add_constant(f"{name}.{what}", array, array.dtype) if what else ""
            for what, array in move.constants.items()
        ]

    def add_int4_constant(self, name: str, codes: np.ndarray, shared: str = "") -> str:
        """Append a tensor of type INT4 with these codes from -8 to 7, two per byte; see :meth:`add_constant`."""
        array = self._onnx.TensorProto(name=name, data_type=INT4, dims=codes.shape)
        array.raw_data = packed_nibbles(codes).tobytes()
        return self._put(name, array, shared)

    def name_inputs(self, inputs: Sequence[Port], outputs: Sequence[Port]) -> List[Port]:
        """Give the values of several inputs, which end in `GIVEN`, their names; return the outputs.

        The rounded values, which had these names, end in ".rounded" instead.
        """
        rounded = {port.name: port.name + ".rounded" for port in inputs}
        renamed = {**rounded, **{port.name + GIVEN: port.name for port in inputs}}
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [renamed.get(name, name) for name in names]
        return [port._replace(name=rounded.get(port.name, port.name)) for port in outputs]

    def finish(self, inputs: Sequence[Port], outputs: Sequence[Port], text: FileText = FileText()) -> bytes:
        """Return the file with these inputs and outputs.

        ONNX's checker has verified it with shapes and types, if this version of the package knows the operator set.
        """
        helper = self._onnx.helper
        graph = helper.make_graph(
            self._nodes,
            self._name,
            [self._value(port) for port in inputs],
            [self._value(port) for port in outputs],
            list(self._constants.values()),
        )
        model = helper.make_model(
            graph,
            producer_name="qatviz",
            producer_version=__version__,
            opset_imports=[helper.make_opsetid("", int(self._opset))],
            ir_version=_IR_VERSIONS[self._opset],
            doc_string=text.description,
        )
        helper.set_model_props(model, {**self._about, **text.properties})
        if int(self._opset) <= self._onnx.defs.onnx_opset_version():
            self._onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

    def _put(self, name: str, array: Any, shared: str) -> str:
        """Append a tensor unless an equal one is ``shared``; return its name."""
        known = self._shared.setdefault(shared, []) if shared else []
        for other in known:
            one = self._constants[other]
            if (one.raw_data, one.dims, one.data_type) == (array.raw_data, array.dims, array.data_type):
                return other
        self._constants[name] = array
        known.append(name)
        return name

    def _value(self, port: Port) -> Any:
        element = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
        return self._onnx.helper.make_tensor_value_info(port.name, element, (BATCH_AXIS, *port.shape))


def properties(about: Mapping[str, Any]) -> Dict[str, str]:
    """Return JSON-able values as a file's metadata, with our prefix."""
    return {"qatviz." + name: value if isinstance(value, str) else json.dumps(value) for name, value in about.items()}


def onnx_package() -> Any:
    """Return the package ``onnx``; raise :class:`ExportError` that says how to install it if it is missing."""
    try:
        import onnx
    except ImportError as error:
        raise missing("onnx", error) from error
    return onnx


def missing(package: str, error: ImportError) -> ExportError:
    """Return the error for a package that can't be imported."""
    return ExportError.refused(needs_packages(package, f"can't be imported ({error})"))
