"""Activation functions of one variable: one entry for each, with its definition and its form in every framework.

Quantized, a function is a table from the codes of its input to those of its output
(:mod:`qatviz.quant.function_tables`). The forms here are those of float arithmetic; a form of a single operation is the
operation that runtimes have for codes, too.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple, Union

import numpy as np

from qatviz.network import checks
from qatviz.network.layer import Layer, setting

_erf = np.vectorize(math.erf, otypes=[np.float64])
_INVERSE_SQRT_2, _SQRT_2_PI = math.sqrt(0.5), math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715
#: Constants of SELU (Klambauer et al. 2017).
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
#: Largest absolute value of a parameter.
_LARGEST = 1e6

#: Values of a function's parameters by name.
Parameters = Mapping[str, Any]
#: ``values(parameters, x)``: float64 values for float64 inputs.
Values = Callable[[Parameters, np.ndarray], np.ndarray]
#: ``form(tensorflow, parameters, x)``, with the module as an argument, so that this module does not import it.
TensorFlowForm = Callable[[Any, Parameters, Any], Any]


class Step(NamedTuple):
    """Operation of a function's form in a file.

    Attributes
    ----------
    operator : str
        Name in the format.
    inputs : tuple
        "x" for the function's input, an int for the result of the step with this index, a float for a constant.
    attributes : mapping
        Its options in the format, by name.
    """

    operator: str
    inputs: Tuple[Union[str, int, float], ...] = ("x",)
    attributes: Mapping[str, Any] = {}


#: ``form(parameters)``: steps in a file, the last of which computes the function.
Form = Callable[[Parameters], Tuple[Step, ...]]


class KerasForm(NamedTuple):
    """Class name and settings of a Keras layer."""

    kind: str
    settings: Mapping[str, Any]


class Function(NamedTuple):
    """Activation function.

    Attributes
    ----------
    values : callable
        Its definition, in double precision; see :data:`Values`.
    tensorflow : callable
        Its operations in a graph, in float32; see :data:`TensorFlowForm`.
    tflite, onnx : callable
        Its steps in a file, in float32; see :data:`Form`.
    keras : callable or None
        Its layer in Keras; None if the Keras of TensorFlow 1.15 has none.
    parameters : dict of str to float or None
        Defaults of its parameters by name; the default None stands for no limit.
    fixed_range : bool
        True if runtimes require that its output has the range that :func:`fixed_range` returns.
    is_nonnegative : bool
        True if no value is below 0, whatever the parameters.
    """

    values: Values
    tensorflow: TensorFlowForm
    tflite: Form
    onnx: Form
    keras: Optional[Callable[[Parameters], KerasForm]]
    parameters: Mapping[str, Optional[float]] = {}
    fixed_range: bool = False
    is_nonnegative: bool = False


def _same(operator: str, **attributes: Any) -> Form:
    """Return the form of a single operation without parameters."""
    return lambda p: (Step(operator, ("x",), attributes),)


def _named(name: str) -> Callable[[Parameters], KerasForm]:
    """Return the form of a function that Keras knows by this name."""
    return lambda p: KerasForm("Activation", {"activation": name})


def _sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _elu(x: np.ndarray, alpha: float) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _elu_steps(names: Tuple[str, ...], alpha: float, scale: float = 1.0) -> Tuple[Step, ...]:
    """Return ``scale * (max(x, 0) + alpha * (exp(min(x, 0)) - 1))``."""
    least, exponential, less, times, rectifier, plus = names
    steps = (
        Step(least, ("x", 0.0)),
        Step(exponential, (0,)),
        Step(less, (1, 1.0)),
        Step(times, (2, alpha)),
        Step(rectifier, ("x",)),
        Step(plus, (4, 3)),
    )
    return steps if scale == 1 else (*steps, Step(times, (5, scale)))


_TFLITE_ELU = ("MINIMUM", "EXP", "SUB", "MUL", "RELU", "ADD")
_ONNX_ELU = ("Min", "Exp", "Sub", "Mul", "Relu", "Add")
_TFLITE_SOFTPLUS = (
    Step("ABS"),
    Step("NEG", (0,)),
    Step("EXP", (1,)),
    Step("ADD", (2, 1.0)),
    Step("LOG", (3,)),
    Step("RELU"),
    Step("ADD", (5, 4)),
)


def _relu(p: Parameters, x: np.ndarray) -> np.ndarray:
    """Return Keras' ReLU with a slope below its threshold, and a maximum."""
    values = np.where(x >= p["threshold"], x, p["slope"] * (x - p["threshold"]))
    return values if p["maximum"] is None else np.minimum(values, p["maximum"])


def _relu_tensorflow(tf: Any, p: Parameters, x: Any) -> Any:
    values = tf.where(x >= p["threshold"], x, p["slope"] * (x - p["threshold"]))
    return values if p["maximum"] is None else tf.minimum(values, p["maximum"])


def _relu_steps(names: Tuple[str, ...]) -> Form:
    at_least, less, times, select, least = names

    def steps(p: Parameters) -> Tuple[Step, ...]:
        found = (
            Step(at_least, ("x", p["threshold"])),
            Step(less, ("x", p["threshold"])),
            Step(times, (1, p["slope"])),
            Step(select, (0, "x", 2)),
        )
        return found if p["maximum"] is None else (*found, Step(least, (3, p["maximum"])))

    return steps


def _hard_sigmoid(p: Parameters, x: np.ndarray) -> np.ndarray:
    return np.clip(p["slope"] * x + 0.5, 0, 1)


def _clip(maximum: Callable[[Any, Any], Any], minimum: Callable[[Any, Any], Any], p: Parameters, x: Any) -> Any:
    """Return ``x`` between the ends that are given, by a framework's functions of two values."""
    x = x if p["threshold"] is None else maximum(x, p["threshold"])
    return x if p["maximum"] is None else minimum(x, p["maximum"])


def _clip_steps(*names: str) -> Form:
    greatest, least = names

    def steps(p: Parameters) -> Tuple[Step, ...]:
        if p["threshold"] is None:
            return (Step(least, ("x", p["maximum"])),)
        first = Step(greatest, ("x", p["threshold"]))
        return (first,) if p["maximum"] is None else (first, Step(least, (0, p["maximum"])))

    return steps


def _rsqrt(p: Parameters, x: np.ndarray) -> np.ndarray:
    """Return the reciprocal square root, which is infinite at 0."""
    with np.errstate(divide="ignore"):
        return 1 / np.sqrt(np.maximum(x, p["threshold"]) + p["offset"])


def _gelu_tanh(p: Parameters, x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(_SQRT_2_PI * (x + _GELU_CUBIC * x**3)))


def _gelu_tanh_steps(times: str, plus: str, tanh: str) -> Tuple[Step, ...]:
    return (
        Step(times, ("x", "x")),
        Step(times, (0, "x")),
        Step(times, (1, _GELU_CUBIC)),
        Step(plus, ("x", 2)),
        Step(times, (3, _SQRT_2_PI)),
        Step(tanh, (4,)),
        Step(plus, (5, 1.0)),
        Step(times, ("x", 0.5)),
        Step(times, (7, 6)),
    )


FUNCTIONS: Dict[str, Function] = {
    "sigmoid": Function(
        lambda p, x: _sigmoid(x),
        lambda tf, p, x: tf.sigmoid(x),
        _same("LOGISTIC"),
        _same("Sigmoid"),
        _named("sigmoid"),
        fixed_range=True,
        is_nonnegative=True,
    ),
    "tanh": Function(
        lambda p, x: np.tanh(x),
        lambda tf, p, x: tf.tanh(x),
        _same("TANH"),
        _same("Tanh"),
        _named("tanh"),
        fixed_range=True,
    ),
    "leaky_relu": Function(
        lambda p, x: np.where(x >= 0, x, p["slope"] * x),
        lambda tf, p, x: tf.nn.leaky_relu(x, p["slope"]),
        lambda p: (Step("LEAKY_RELU", ("x",), {"Alpha": p["slope"]}),),
        lambda p: (Step("LeakyRelu", ("x",), {"alpha": p["slope"]}),),
        lambda p: KerasForm("LeakyReLU", {"alpha": p["slope"]}),
        {"slope": 0.3},
    ),
    "relu": Function(
        _relu,
        _relu_tensorflow,
        _relu_steps(("GREATER_EQUAL", "SUB", "MUL", "SELECT", "MINIMUM")),
        _relu_steps(("GreaterOrEqual", "Sub", "Mul", "Where", "Min")),
        lambda p: KerasForm(
            "ReLU", {"max_value": p["maximum"], "negative_slope": p["slope"], "threshold": p["threshold"]}
        ),
        {"slope": 0.0, "threshold": 0.0, "maximum": None},
    ),
    "elu": Function(
        lambda p, x: _elu(x, p["slope"]),
        lambda tf, p, x: tf.nn.elu(x) if p["slope"] == 1 else tf.where(x > 0, x, p["slope"] * tf.nn.elu(x)),
        lambda p: (Step("ELU"),) if p["slope"] == 1 else _elu_steps(_TFLITE_ELU, p["slope"]),
        lambda p: (Step("Elu", ("x",), {"alpha": p["slope"]}),),
        lambda p: KerasForm("ELU", {"alpha": p["slope"]}),
        {"slope": 1.0},
    ),
    "selu": Function(
        lambda p, x: _SELU_SCALE * _elu(x, _SELU_ALPHA),
        lambda tf, p, x: tf.nn.selu(x),
        lambda p: _elu_steps(_TFLITE_ELU, _SELU_ALPHA, _SELU_SCALE),
        lambda p: _elu_steps(_ONNX_ELU, _SELU_ALPHA, _SELU_SCALE),
        _named("selu"),
    ),
    "hard_sigmoid": Function(
        _hard_sigmoid,
        lambda tf, p, x: tf.clip_by_value(p["slope"] * x + 0.5, 0.0, 1.0),
        lambda p: (
            Step("MUL", ("x", p["slope"])),
            Step("ADD", (0, 0.5)),
            Step("MAXIMUM", (1, 0.0)),
            Step("MINIMUM", (2, 1.0)),
        ),
        lambda p: (Step("HardSigmoid", ("x",), {"alpha": p["slope"], "beta": 0.5}),),
        _named("hard_sigmoid"),
        {"slope": 0.2},
        is_nonnegative=True,
    ),
    "hard_swish": Function(
        lambda p, x: x * np.clip(x + 3, 0, 6) / 6,
        lambda tf, p, x: x * tf.nn.relu6(x + 3.0) * np.float32(1 / 6),
        _same("HARD_SWISH"),
        lambda p: (Step("HardSigmoid", ("x",), {"alpha": 1 / 6, "beta": 0.5}), Step("Mul", ("x", 0))),
        None,
    ),
    "swish": Function(
        lambda p, x: x * _sigmoid(x),
        lambda tf, p, x: x * tf.sigmoid(x),
        lambda p: (Step("LOGISTIC"), Step("MUL", ("x", 0))),
        lambda p: (Step("Sigmoid"), Step("Mul", ("x", 0))),
        None,
    ),
    "gelu": Function(
        lambda p, x: 0.5 * x * (1 + _erf(x * _INVERSE_SQRT_2)),
        lambda tf, p, x: 0.5 * x * (1.0 + tf.math.erf(x * np.float32(_INVERSE_SQRT_2))),
        _same("GELU", Approximate=False),
        lambda p: (
            Step("Mul", ("x", _INVERSE_SQRT_2)),
            Step("Erf", (0,)),
            Step("Add", (1, 1.0)),
            Step("Mul", ("x", 0.5)),
            Step("Mul", (3, 2)),
        ),
        None,
    ),
    "gelu_tanh": Function(
        _gelu_tanh,
        lambda tf, p, x: 0.5 * x * (1.0 + tf.tanh(np.float32(_SQRT_2_PI) * (x + np.float32(_GELU_CUBIC) * x * x * x))),
        lambda p: _gelu_tanh_steps("MUL", "ADD", "TANH"),
        lambda p: _gelu_tanh_steps("Mul", "Add", "Tanh"),
        None,
    ),
    "softplus": Function(
        lambda p, x: np.logaddexp(0, x),
        lambda tf, p, x: tf.nn.softplus(x),
        lambda p: _TFLITE_SOFTPLUS,
        _same("Softplus"),
        _named("softplus"),
        is_nonnegative=True,
    ),
    "mish": Function(
        lambda p, x: x * np.tanh(np.logaddexp(0, x)),
        lambda tf, p, x: x * tf.tanh(tf.nn.softplus(x)),
        lambda p: (*_TFLITE_SOFTPLUS, Step("TANH", (6,)), Step("MUL", ("x", 7))),
        lambda p: (Step("Softplus"), Step("Tanh", (0,)), Step("Mul", ("x", 1))),
        None,
    ),
    "exponential": Function(
        lambda p, x: np.exp(x),
        lambda tf, p, x: tf.exp(x),
        _same("EXP"),
        _same("Exp"),
        _named("exponential"),
        is_nonnegative=True,
    ),
    "softsign": Function(
        lambda p, x: x / (1 + np.abs(x)),
        lambda tf, p, x: tf.nn.softsign(x),
        lambda p: (Step("ABS"), Step("ADD", (0, 1.0)), Step("DIV", ("x", 1))),
        _same("Softsign"),
        _named("softsign"),
    ),
    "clip": Function(
        lambda p, x: _clip(np.maximum, np.minimum, p, x),
        lambda tf, p, x: _clip(tf.maximum, tf.minimum, p, x),
        _clip_steps("MAXIMUM", "MINIMUM"),
        _clip_steps("Max", "Min"),
        None,
        {"threshold": None, "maximum": None},
    ),
    "square": Function(
        lambda p, x: x * x,
        lambda tf, p, x: tf.square(x),
        _same("SQUARE"),
        lambda p: (Step("Mul", ("x", "x")),),
        None,
        is_nonnegative=True,
    ),
    "rsqrt": Function(
        _rsqrt,
        lambda tf, p, x: tf.rsqrt(tf.maximum(x, p["threshold"]) + p["offset"]),
        lambda p: (Step("MAXIMUM", ("x", p["threshold"])), Step("ADD", (0, p["offset"])), Step("RSQRT", (1,))),
        lambda p: (
            Step("Max", ("x", p["threshold"])),
            Step("Add", (0, p["offset"])),
            Step("Sqrt", (1,)),
            Step("Reciprocal", (2,)),
        ),
        None,
        {"threshold": 0.0, "offset": 0.0},
        is_nonnegative=True,
    ),
    "linear": Function(
        lambda p, x: p["slope"] * x + p["offset"],
        lambda tf, p, x: p["slope"] * x + p["offset"],
        lambda p: (Step("MUL", ("x", p["slope"])), Step("ADD", (0, p["offset"]))),
        lambda p: (Step("Mul", ("x", p["slope"])), Step("Add", (0, p["offset"]))),
        None,
        {"slope": 1.0, "offset": 0.0},
    ),
}
"""Activation functions by name. A ReLU and a ReLU6 without parameters are layers of their own, which need no table."""


def _function_name(where: str, value: Any) -> str:
    if not isinstance(value, str) or value not in FUNCTIONS:
        raise checks.invalid_value(where, value, ", ".join(FUNCTIONS))
    return value


_number = checks.number_in(-_LARGEST, _LARGEST, "[]")


def _optional_number(where: str, value: Any) -> Optional[float]:
    return None if value is None else _number(where, value)


@dataclass(frozen=True)
class Activation(Layer):
    """Activation function, applied to each value.

    A parameter that the function does not have is None.

    Attributes
    ----------
    function : str
        A name of `FUNCTIONS`.
    slope : float or None
        Factor of values below 0, or below the threshold; of the exponential of an ELU; of all values in a hard sigmoid
        and a linear function.
    threshold : float or None
        Smallest value that a "relu" returns unchanged; of a "clip", its lower end, None if it has none; of a "rsqrt",
        the number that smaller values are raised to.
    maximum : float or None
        Largest value of the output; None: no limit.
    offset : float or None
        Constant that a linear function adds, and a "rsqrt" before the root.
    """

    function: str = setting(_function_name)
    slope: Optional[float] = setting(_optional_number, default=None)
    threshold: Optional[float] = setting(_optional_number, default=None)
    maximum: Optional[float] = setting(_optional_number, default=None)
    offset: Optional[float] = setting(_optional_number, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.definition.parameters
        for name in FUNCTION_PARAMETERS:
            if name not in known and getattr(self, name) is not None:
                raise checks.invalid_value(self._where(name), getattr(self, name), f"None for {self.function}")
            if getattr(self, name) is None:
                self._set(name, known.get(name))
        if self.function == "clip" and self.threshold is None and self.maximum is None:
            raise checks.invalid_value(self._where("threshold"), None, "a number, or a maximum, for clip")

    @property
    def definition(self) -> Function:
        """Entry of `FUNCTIONS`."""
        return FUNCTIONS[self.function]

    @property
    def parameters(self) -> Dict[str, Optional[float]]:
        """Values of the function's parameters by name."""
        return {name: getattr(self, name) for name in self.definition.parameters}

    @property
    def is_nonnegative(self) -> bool:
        """True if no value of the output is below 0, whatever the input."""
        if self.function == "relu":
            return self.slope == 0 and (self.threshold or 0) >= 0 and (self.maximum is None or self.maximum >= 0)
        return self.definition.is_nonnegative

    def on_grid(self, scale: float) -> "Activation":
        """Return the function of values that are rounded to multiples of ``scale``.

        For a "rsqrt", values below half of it are raised to that: 0 stands for them, too, and its own result would be
        far from all others.
        """
        if self.function != "rsqrt":
            return self
        assert self.threshold is not None
        return replace(self, threshold=max(self.threshold, scale / 2))

    def values(self, x: np.ndarray) -> np.ndarray:
        """Return the function of ``x``, float64."""
        return self.definition.values(self.parameters, np.asarray(x, np.float64))


FUNCTION_PARAMETERS = ("slope", "threshold", "maximum", "offset")
"""Names of the parameters that a function can have."""


def fixed_range(function: str, num_bits: int, symmetric: bool = False) -> Tuple[float, float]:
    """Return the range of the output of a sigmoid, tanh or softmax on the grid that TFLite's kernels require.

    Its scale is a power of two: with 8 bits, 1/256 for values between 0 and 1, 1/128 for values between -1 and 1, and
    for any on a symmetric grid. The upper limit of the function, 1, is one quantization step above the range.

    >>> fixed_range("sigmoid", 8), fixed_range("tanh", 8), fixed_range("sigmoid", 16, symmetric=True)[1] * 2**15
    ((0.0, 0.99609375), (-1.0, 0.9921875), 32767.0)
    """
    step = 2.0 ** (1 - num_bits) if symmetric or function == "tanh" else 2.0**-num_bits
    return -1.0 if function == "tanh" else 0.0, 1.0 - step
