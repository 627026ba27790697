"""Whether Keras would run code of the file's own when it builds a model from its description.

Everything that a description names is looked at, also what the model's output does not depend on: Keras builds all of
it. Names are allowed, not forbidden, since Keras looks them up among all that its modules import.
"""

import json
from typing import Any, Iterator, Tuple

from qatviz.network.keras_import.config import NESTED
from qatviz.network.keras_import.kinds import KINDS, OPERATIONS

_LAYERS = set(KINDS) | set(NESTED) | {"InputLayer"}
_OPERATION = "TensorFlowOpLayer"
#: Keras' initializers, regularizers and constraints, and what Keras 3 writes about types and tensors.
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
}


def code_in(record: Any) -> Tuple[str, str]:
    """The name and class of the first thing in a model's description that is code or could be; two empty texts if there
    is none.
    """
    for node in _dicts(record):
        if "class_name" not in node:
            continue
        kind, config = node["class_name"], node.get("config")
        name = node.get("name") or (config.get("name") if isinstance(config, dict) else None) or "without a name"
        is_known = isinstance(kind, str) and (kind in _LAYERS or kind in _DETAILS)
        if not is_known or (kind == _OPERATION and _operation(config) not in OPERATIONS):
            return str(name), str(kind)
    return "", ""


def holds_code(config: str) -> bool:
    """Whether there is any in a description as text; also where it is no description."""
    try:
        return code_in(json.loads(config)) != ("", "")
    except (ValueError, RecursionError):
        return True


def _dicts(record: Any) -> Iterator[dict]:
    """All records in it, at any depth."""
    waiting = [record]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _operation(config: Any) -> Any:
    """The TensorFlow operation of such a layer, which Keras writes as a record or as the text of one."""
    node = config.get("node_def") if isinstance(config, dict) else None
    if isinstance(node, str):
        try:
            node = json.loads(node)
        except ValueError:
            return None
    operation = node.get("op") if isinstance(node, dict) else None
    return operation if isinstance(operation, str) else None
