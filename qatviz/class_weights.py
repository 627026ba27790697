"""Weights of classes in the loss: "balanced", or a weight for some of the classes, in the text form of the setting."""

import math
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from qatviz.errors import SettingError

#: Weights that give all classes the same weight in sum, as scikit-learn has them.
BALANCED = "balanced"
#: Allowed texts, for messages.
ALLOWED = f"{BALANCED}, or CLASS=WEIGHT[,CLASS=WEIGHT...] with names or numbers of classes and weights of at least 0"
_FIELD = "class_weights"


def parse_class_weights(text: str) -> Union[str, Dict[str, float]]:
    """Return `BALANCED`, or the weights by name or number of the class; empty for an empty text.

    Raises
    ------
    SettingError
        If the text has another form.
    """
    if text.strip() == BALANCED:
        return BALANCED
    weights: Dict[str, float] = {}
    for part in text.split(",") if text.strip() else ():
        name, equals, number = (word.strip() for word in part.rpartition("="))
        try:
            weight = float(number)
        except ValueError:
            weight = -1.0
        if not equals or not name or name in weights or not 0.0 <= weight < math.inf:
            raise SettingError.of_field(_FIELD, f"is {text!r}: expected {ALLOWED}")
        weights[name] = weight
    return weights


def class_weights_text(value: Union[str, Mapping[Any, float], None]) -> str:
    """Return the text of weights by name or number of the class, as scripts pass them; None is no weights."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={weight!r}" for name, weight in value.items())
    return "" if value is None else value


def weights_of_classes(text: str, names: Sequence[str], counts: Sequence[int]) -> Optional[List[float]]:
    """Return the weight of each class; None if none is set.

    Parameters
    ----------
    text : str
    names : sequence of str
        Names of the classes; empty for regression.
    counts : sequence of int
        Number of training examples of each class. The balanced weight is ``sum(counts) / (len(counts) * count)``, and 1
        for a class without examples. Classes that the text does not name have the weight 1.

    Raises
    ------
    SettingError
        If there are no classes, a class does not exist, or all weights are 0.
    """
    parsed = parse_class_weights(text)
    if not parsed:
        return None
    if not names:
        raise SettingError.of_field(_FIELD, f"is {text!r}, but the data has no classes: expected none")
    if isinstance(parsed, str):
        return [sum(counts) / (len(counts) * count) if count else 1.0 for count in counts]
    weights = [1.0] * len(names)
    for name, weight in parsed.items():
        if name in names:
            weights[names.index(name)] = weight
        elif name.isascii() and name.isdecimal() and int(name) < len(names):
            weights[int(name)] = weight
        else:
            known = ", ".join(map(repr, names[:8])) + (", ..." if names[8:] else "")
            raise SettingError.of_field(_FIELD, f"has the class {name!r}: expected one of {known}, or its number")
    if not any(weight and count for weight, count in zip(weights, counts)):
        raise SettingError.of_field(_FIELD, f"is {text!r}: expected a weight above 0 for a class with examples")
    return weights
