"""Weights of classes in the loss, as the text of a setting: "balanced", or a weight for each of some classes."""

import math
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from qatviz.errors import SettingError
from qatviz.name_lookup import index_of
from qatviz.number_format import names_text

#: Weights with which the examples of each class have the same weight in total, as those of scikit-learn.
BALANCED = "balanced"
#: Allowed texts, for messages.
ALLOWED = f"{BALANCED}, or CLASS=WEIGHT[,CLASS=WEIGHT...] with names or indices of classes and weights of at least 0"
_FIELD = "class_weights"


def parse_class_weights(text: str) -> Union[str, Dict[str, float]]:
    """Return `BALANCED`, or the weights by name or index of the class; empty for an empty text.

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
    """Return the text of the setting for the value of a script: weights by name or index of the class, or a text.

    None means no weights, an empty text.
    """
    if isinstance(value, Mapping):
        return ",".join(f"{name}={weight!r}" for name, weight in value.items())
    return "" if value is None else value


def weights_of_classes(text: str, names: Sequence[str], counts: Sequence[int]) -> Optional[List[float]]:
    """Return the weight of each class; None if no weights are set.

    Parameters
    ----------
    text : str
        Text that :func:`parse_class_weights` accepts.
    names : sequence of str
        Names of the classes; empty for regression.
    counts : sequence of int
        Number of training examples of each class. The balanced weight is ``sum(counts) / (len(counts) * count)``, and 1
        for a class without examples. Classes that the text does not name have the weight 1.

    Raises
    ------
    SettingError
        If there are no classes, a class does not exist, or the weights of all classes with examples are 0.
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
        index = index_of(name, names)
        if index is None:
            known = names_text(list(map(repr, names)))
            raise SettingError.of_field(_FIELD, f"has the class {name!r}: expected one of {known}, or its number")
        weights[index] = weight
    if not any(weight and count for weight, count in zip(weights, counts)):
        raise SettingError.of_field(_FIELD, f"is {text!r}: expected a weight above 0 for a class with examples")
    return weights
