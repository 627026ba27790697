"""Detection of code in a model's description, which Keras would run when it builds the model.

All parts of a description are checked, even those that the output does not depend on, since Keras builds all of them.
The check is an allow-list, because a list of dangerous names could not be complete: Keras accepts the name of anything
that its modules import.
"""

import json
from typing import Any, Dict, Iterator, Tuple

from qatviz.network.keras_import.config import KERAS3_OPERATION, NESTED, OPERATIONS, layer_kind
from qatviz.network.keras_import.kinds import KINDS
from qatviz.network.keras_import.operations import NODE_LAYER, is_known

_LAYERS = set(KINDS) | set(NESTED) | {"InputLayer"}
#: Keras' initializers, regularizers and constraints, and Keras 3's classes of data types and tensors.
_DETAILS = {
    "Constant",
    "GlorotNormal",
    "GlorotNormalV2",
    "GlorotUniform",
    "GlorotUniformV2",
    "HeNormal",
    "HeNormalV2",
    "HeUniform",
    "HeUniformV2",
    "Identity",
    "LecunNormal",
    "LecunNormalV2",
    "LecunUniform",
    "LecunUniformV2",
    "Ones",
    "OnesV2",
    "Orthogonal",
    "RandomNormal",
    "RandomNormalV2",
    "RandomUniform",
    "RandomUniformV2",
    "TruncatedNormal",
    "TruncatedNormalV2",
    "VarianceScaling",
    "VarianceScalingV2",
    "Zeros",
    "ZerosV2",
    "ConstantV2",
    "IdentityV2",
    "OrthogonalV2",
    "L1",
    "L2",
    "L1L2",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "RadialConstraint",
    "UnitNorm",
    "Policy",
    "DTypePolicy",
    "__keras_tensor__",
    "__ellipsis__",
    "__numpy__",
    "__slice__",
    "__tensor__",
    "__tuple__",
}


def find_code(record: Any) -> Tuple[str, str]:
    """Return name and class of the first object in a model's description that is or may be code; ("", "") if none."""
    for node in _dicts(record):
        if "class_name" not in node:
            continue
        kind, config = node["class_name"], node.get("config")
        name = node.get("name") or (config.get("name") if isinstance(config, dict) else None) or "unnamed"
        own = layer_kind(node) if isinstance(kind, str) else None
        if own == KERAS3_OPERATION:
            is_safe = is_known(own, {"function": kind})
        elif own in (NODE_LAYER, *OPERATIONS):
            is_safe = is_known(own, config)
        else:
            is_safe = isinstance(kind, str) and (kind in _LAYERS or kind in _DETAILS)
        if not is_safe:
            return str(name), str(kind)
    return "", ""


def contains_code(config: str) -> bool:
    """Return whether a description (JSON) contains or may contain code; True for invalid JSON."""
    try:
        return find_code(json.loads(config)) != ("", "")
    except (ValueError, RecursionError):
        return True


def _dicts(record: Any) -> Iterator[Dict[str, Any]]:
    """Yield all dicts in a JSON value, at any depth."""
    waiting = [record]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
