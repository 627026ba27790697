"""Detection of code in a model's description, which Keras would run when it builds the model.

The import itself runs code only for layers of the kind `LAMBDA` that the output depends on. An export to Keras gives
the whole description to Keras, which builds even what the output does not depend on: all parts are checked here. The
check is an allow-list, because a list of dangerous names could not be complete: Keras accepts the name of anything that
its modules import.
"""

import json
from typing import Any, Dict, Iterator

from qatviz.network.keras_import.config import KERAS3_OPERATION, NESTED, NODE_LAYER, OPERATIONS, layer_kind
from qatviz.network.keras_import.kinds import KINDS
from qatviz.network.keras_import.operations import is_known

_LAYERS = set(KINDS) | set(NESTED) | {"InputLayer"}
#: Objects that are not layers: initializers, regularizers and constraints, and Keras 3's data types and tensors.
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


def describes_code(record: Any) -> bool:
    """Return whether an object in a model's description is or may be code."""
    return any("class_name" in node and not _is_safe(node) for node in _dicts(record))


def _is_safe(node: Dict[str, Any]) -> bool:
    """Return whether an object with a class name is one of Keras' own that runs no code of the description."""
    kind = node["class_name"]
    if not isinstance(kind, str):
        return False
    own = layer_kind(node)
    if own == KERAS3_OPERATION:
        return is_known(own, {"function": kind})
    if own in (NODE_LAYER, *OPERATIONS):
        return is_known(own, node.get("config"))
    return kind in _LAYERS or kind in _DETAILS


def contains_code(config: str) -> bool:
    """Return whether a description (JSON) contains or may contain code; True for invalid JSON."""
    try:
        return describes_code(json.loads(config))
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
