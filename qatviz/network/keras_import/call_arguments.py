"""Arguments of the calls of operations in descriptions, such as ``x + y`` or ``tf.concat([x, y], -1)``."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional

from qatviz.errors import NetworkError

_CONSTANT = "_CONSTANT_VALUE"


class Tensor(NamedTuple):
    """Argument that is the output of a layer: its position among the inputs of the call."""

    position: int


class Arguments(NamedTuple):
    """Arguments of a call: values, and a `Tensor` for each output of a layer."""

    args: List[Any]
    kwargs: Dict[str, Any]

    def operands(self, *names: str) -> List[Any]:
        """Return the positional arguments, those in lists of tensors one by one, then the named keyword arguments."""
        found: List[Any] = []
        for value in self.args:
            found += value if _is_list_of_tensors(value) else [value]
        return found + [self.kwargs[name] for name in names if name in self.kwargs]

    def others(self, *names: str) -> Dict[str, Any]:
        """Return the keyword arguments without these names that have a value."""
        return {key: value for key, value in self.kwargs.items() if key not in names and value is not None}


AddReference = Callable[[Any], Tensor]
"""``add(reference)`` appends the output [name, node, output] to the inputs of a call and returns its position."""


def keras2_arguments(node: Any, add: AddReference, where: str) -> Arguments:
    """Return the arguments of a call of a TFOpLambda, the form of TensorFlow 2.4 to Keras 2.15.

    The first argument is [name, node, output, kwargs], or a list of those; constants have the name _CONSTANT_VALUE and
    their value in the place of the output. In kwargs, an output of a layer is [name, node, output].
    """
    is_single = isinstance(node, list) and bool(node) and isinstance(node[0], str)
    items = [node] if is_single else node
    first: List[Any] = []
    kwargs: Any = {}
    for item in items if isinstance(items, list) else []:
        if not isinstance(item, list) or not 3 <= len(item) <= 4 or not isinstance(item[0], str):
            raise NetworkError(f"{where}: an argument is not [name, node, output]")
        kwargs = item[3] if len(item) == 4 else kwargs
        first.append(item[2] if item[0] == _CONSTANT else add(item[:3]))
    if not first or not isinstance(kwargs, dict):
        raise NetworkError(f"{where}: it is called without arguments")
    return Arguments([first[0] if is_single else first], _with_tensors(kwargs, add, _keras2_reference))


def keras3_arguments(node: Any, add: AddReference, where: str) -> Arguments:
    """Return the arguments of a call of an operation of Keras 3."""
    args, kwargs = node.get("args"), node.get("kwargs") or {}
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise NetworkError(f"{where}: it is called without arguments")
    return Arguments(_with_tensors(args, add, keras3_reference), _with_tensors(kwargs, add, keras3_reference))


def _keras2_reference(value: Any) -> Optional[List[Any]]:
    is_reference = isinstance(value, list) and len(value) == 3 and [type(item) for item in value] == [str, int, int]
    return value if is_reference else None


def keras3_reference(value: Any) -> Optional[List[Any]]:
    """Return [name, node, output] of a description of an output of a layer in Keras 3; None for any other value."""
    if not isinstance(value, dict) or value.get("class_name") != "__keras_tensor__":
        return None
    config = value.get("config")
    history = config.get("keras_history") if isinstance(config, dict) else None
    return history if isinstance(history, list) else []


def _with_tensors(value: Any, add: AddReference, reference_in: Callable[[Any], Optional[List[Any]]]) -> Any:
    """Return an argument with tensors and plain values in the place of their descriptions."""
    reference = reference_in(value)
    if reference is not None:
        return add(reference)
    if isinstance(value, list):
        return [_with_tensors(item, add, reference_in) for item in value]
    if isinstance(value, dict):
        config = value.get("config")
        kind = value.get("class_name")
        if kind in ("__numpy__", "__tensor__") and isinstance(config, dict):
            return config.get("value")
        if kind == "__slice__" and isinstance(config, dict):
            return {key: config.get(key) for key in ("start", "stop", "step")}
        if kind == "__ellipsis__":
            return Ellipsis
        return {key: _with_tensors(item, add, reference_in) for key, item in value.items()}
    return value


def _is_list_of_tensors(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, Tensor) for item in value)


NO_ARGUMENTS = Arguments([], {})
