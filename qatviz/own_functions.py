"""Losses and metrics that are functions of a user's Python file, written as ``path.py:function``.

They have Keras' signature ``(y_true, y_pred)``. `qatviz.session.own_code` reads them, `qatviz.training.own_functions`
calls them.
"""

import re
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

#: Form of a function in options, for messages.
FORM = "PATH.py:FUNCTION"
#: Regular expression for that form.
PATTERN = r"[^\x00-\x1f]*\.py:[A-Za-z_]\w*"
#: Beginning of the name of a metric that is a function; the name of the function follows.
OWN_METRIC = "own:"
#: Words in the names of functions whose smaller results are better.
_LOWER_IS_BETTER = ("loss", "error", "distance", "mae", "mse", "rmse")


class OwnFunction(NamedTuple):
    """Function of a user's file.

    Attributes
    ----------
    spec : str
        Absolute path and name: ``/path.py:function``.
    digest : str
        SHA-256 of the file, hexadecimal; empty if there is no file.
    call : callable (y_true, y_pred) -> tf.Tensor, optional
        None if it has not been read.
    """

    spec: str
    digest: str = ""
    call: Optional[Callable[[Any, Any], Any]] = None

    @property
    def where(self) -> str:
        """Name for messages: ``function 'dice' of /path.py``."""
        path, name = split_spec(self.spec)
        return f"function {name!r} of {path}"


class OwnFunctions(NamedTuple):
    """Functions that a run uses.

    Attributes
    ----------
    functions : tuple of OwnFunction
    sigmoids : tuple of str
        Outputs whose sigmoid was left to the loss, so that it is applied before the functions are called.
    """

    functions: Tuple[OwnFunction, ...] = ()
    sigmoids: Tuple[str, ...] = ()

    def named(self, spec: str) -> OwnFunction:
        """Return the function of this path and name; one that can't be called if it is unknown."""
        return next((function for function in self.functions if function.spec == spec), OwnFunction(spec))

    def to_dict(self) -> Dict[str, Any]:
        """Return the JSON-able form, without the functions themselves."""
        return {
            "digests": {function.spec: function.digest for function in self.functions},
            "sigmoids": list(self.sigmoids),
        }


def is_function(text: Any) -> bool:
    """Return whether a loss or a metric is a function of a file.

    >>> is_function("losses.py:dice"), is_function("mse")
    (True, False)
    """
    return isinstance(text, str) and re.fullmatch(PATTERN, text) is not None


def split_spec(spec: str) -> Tuple[str, str]:
    """Return the path and the name of a function."""
    path, _, name = spec.rpartition(":")
    return path, name


def is_higher_better(function: str) -> bool:
    """Return whether larger results of a metric are better, which its name tells: not those of losses and errors.

    >>> is_higher_better("dice"), is_higher_better("hausdorff_distance")
    (True, False)
    """
    words = re.split(r"_+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", function).lower())
    return not any(word in _LOWER_IS_BETTER for word in words)
