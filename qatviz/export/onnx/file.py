"""ONNX's file format: nodes and constants put together to a model, with the package ``onnx``.

The package is an extra; it is imported when a file is made.
"""

from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from qatviz import __version__
from qatviz.errors import ExportError
from qatviz.export.onnx.limits import needs_packages

#: The operators' set, in which QuantizeLinear and DequantizeLinear know channels, and the format's version that came
#: soon after: both are known to runtimes from 2021 on.
OPSET, IR_VERSION = 13, 8
#: What operators take for types.
FLOAT, UINT8, INT32, DOUBLE = 1, 2, 6, 11
#: The name of the batch axis.
BATCH_AXIS = "N"


class Port(NamedTuple):
    """An input or output of a file; ``shape`` is without the batch axis."""

    name: str
    dtype: np.dtype
    shape: Tuple[int, ...]


class OnnxFile:
    """A file under construction: one graph.

    Parameters
    ----------
    name : str
        Of the graph.
    about : dict of str to str
        Kept in the file as its ``metadata_props``.

    Raises
    ------
    ExportError
        If the package ``onnx`` is not there.
    """

    def __init__(self, name: str, about: Mapping[str, str]):
        self._onnx = onnx_package()
        self._name, self._about = name, dict(about)
        self._nodes: List[Any] = []
        self._constants: Dict[str, Any] = {}

    def add_node(self, operator: str, inputs: Sequence[str], output: str, name: str, **attributes: Any) -> str:
        """Append a node, which is computed after those before it; the name of its output."""
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [output], name=name, **attributes))
        return output

    def add_step(self, operator: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """The same for one whose output is of interest to the next only; its name is the node's and ".value"."""
        return self.add_node(operator, inputs, name + ".value", name, **attributes)

    def add_constant(self, name: str, data: Any, dtype: Any) -> str:
        """The name of a new tensor with this data."""
        array = np.ascontiguousarray(data, dtype).reshape(np.shape(data))
        self._constants[name] = self._onnx.numpy_helper.from_array(array, name)
        return name

    def finish(self, inputs: Sequence[Port], outputs: Sequence[Port]) -> bytes:
        """The file with these inputs and outputs, checked by ONNX's own checker, shapes and types included."""
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
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        helper.set_model_props(model, self._about)
        self._onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()

    def _value(self, port: Port) -> Any:
        element = self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
        return self._onnx.helper.make_tensor_value_info(port.name, element, (BATCH_AXIS, *tuple(port.shape)))


def onnx_package() -> Any:
    """The package ``onnx``; :class:`ExportError` that says how to get it if it is not there."""
    try:
        import onnx
    except ImportError as error:
        raise missing("onnx", error) from error
    return onnx


def missing(package: str, error: ImportError) -> ExportError:
    """Return the error for a package that can't be imported."""
    return ExportError.refused(needs_packages(package, f"can't be imported ({error})"))
