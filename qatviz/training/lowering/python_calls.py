"""Python functions that operations of the graph call, in whatever process the operations run.

TensorFlow finds the function of a ``PyFunc`` by a token in a registry of the process that runs it. The tokens here name
a function and its settings, from which every process that imports this module, such as a worker, makes the function.
"""

import json
import weakref
from typing import Any, Callable, Dict, Sequence

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.ops import gen_script_ops, script_ops

from qatviz.network.layers import layer_from_dict
from qatviz.quant import function_tables as tables
from qatviz.quant import int16_kernels
from qatviz.quant import tie_safe_scales as scales
from qatviz.quant import tie_safe_sums as sums
from qatviz.quant.affine import AffineGrid
from qatviz.quant.matrix_products import matrix_constants
from qatviz.quant.softmax_codes import probability_codes

Function = Callable[..., np.ndarray]
_PREFIX = "qatviz:"


def in_python(
    name: str, given: Sequence[tf.Tensor], dtype: tf.DType, shape: Any, settings: Sequence[Any] = ()
) -> tf.Tensor:
    """Return the tensor of this type and shape that a Python function without side effects computes.

    Parameters
    ----------
    name : str
        A key of `_MAKERS`.
    given : sequence of tf.Tensor
        Arguments of the function, which gets them as arrays.
    settings : sequence
        JSON-able arguments of the maker.
    """
    token = _PREFIX + json.dumps([name, list(settings)])
    (found,) = gen_script_ops.py_func_stateless(input=list(given), token=token, Tout=[dtype], name="PyFunc")
    found.set_shape(shape)
    return found


def _tie_safe_sum_scale(signs: Sequence[int], divisor: int) -> Function:
    def chosen(scales: Any, zero_points: Any, halves: Any, scale: Any, half: Any) -> np.float32:
        return sums.tie_safe_sum_scale(scales, zero_points, halves, scale, half, tuple(signs), divisor)

    return chosen


def _function_table(layer: Dict[str, Any]) -> Function:
    activation: Any = layer_from_dict(layer)

    def table(*numbers: np.ndarray) -> np.ndarray:
        grids = _grid(*numbers[:3]), _grid(*numbers[3:6])
        return tables.function_table(activation, *grids, bool(numbers[6])).astype(np.int32)

    return table


def _probabilities() -> Function:
    def probabilities(given: np.ndarray, *numbers: np.ndarray) -> np.ndarray:
        grids = _grid(*numbers[:3]), _grid(*numbers[3:])
        found = probability_codes(given + grids[0].zero_point, *grids) - grids[1].zero_point
        return found.astype(np.int32)

    return probabilities


def _matrix_constants(factor: float) -> Function:
    return lambda first, second, output: np.stack(matrix_constants(first, second, output, factor))


def _grid(scale: np.ndarray, zero_point: np.ndarray, half: np.ndarray) -> AffineGrid:
    """Return the grid with this scale, zero point ``[1]`` and ``2**(num_bits - 1)``."""
    return AffineGrid(np.float32(scale), np.int32(zero_point[0]), int(half).bit_length(), False)


#: Makers of functions by name; their arguments are the settings.
_MAKERS: Dict[str, Callable[..., Function]] = {
    "tie_safe_scales": lambda: scales.tie_safe_scales,
    "tie_safe_product_scale": lambda: scales.tie_safe_product_scale,
    "tie_safe_sum_scale": _tie_safe_sum_scale,
    "function_table": _function_table,
    "probabilities": _probabilities,
    "sum_constants": lambda: lambda *given: np.stack(int16_kernels.sum_constants(given[:-1], given[-1])),
    "product_constants": lambda: lambda *given: np.stack(int16_kernels.product_constants(*given)),
    "matrix_constants": _matrix_constants,
}


class _Functions(weakref.WeakValueDictionary):  # type: ignore[type-arg]
    """Registry of functions by token, in place of TensorFlow's; it makes those of this module at their first call."""

    def __init__(self, known: Any):
        super().__init__(known)
        self._made: Dict[str, Function] = {}

    def get(self, key: Any, default: Any = None) -> Any:
        if not (isinstance(key, str) and key.startswith(_PREFIX)):
            return super().get(key, default)
        if key not in self._made:
            name, settings = json.loads(key[len(_PREFIX) :])
            self._made[key] = _MAKERS[name](*settings)
        return self._made[key]


script_ops._py_funcs._funcs = _Functions(script_ops._py_funcs._funcs)
