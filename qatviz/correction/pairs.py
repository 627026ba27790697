"""Pairs of consecutive layers that can be equalized, and the reasons why other layers can't."""

from dataclasses import dataclass
from typing import Collection, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

from qatviz.network.activations import Activation
from qatviz.network.graph import WEIGHTED, Network
from qatviz.network.layers import (
    AveragePool,
    Dropout,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    ReLU,
    ReLU6,
    UpsampleBilinear,
    UpsampleNearest,
    ZeroPad,
)
from qatviz.network.plan import QuantizationPlan, Unit
from qatviz.protocol.corrections import RELU6_OPTION

#: Layers without weights whose output scales with their input, channel by channel.
_HOMOGENEOUS = (
    MaxPool,
    AveragePool,
    GlobalAveragePool,
    Dropout,
    Flatten,
    ReLU,
    UpsampleBilinear,
    UpsampleNearest,
    ZeroPad,
)


@dataclass(frozen=True)
class LayerPair:
    """Two layers with weights: the second can undo positive factors of the first's output channels.

    ``between`` are the units whose outputs have these factors: the first layer, and those up to the second.
    """

    first: Unit
    second: Unit
    between: Tuple[Unit, ...]

    @property
    def name(self) -> str:
        """Text for display: ``conv → depthwise1``."""
        return f"{self.first.name} → {self.second.name}"


class Obstacle(NamedTuple):
    """Reason why the output channels of a layer can't be scaled, and whether a ReLU6 is the reason."""

    layer: str
    reason: str
    is_relu6: bool = False

    @property
    def text(self) -> str:
        """Text for display: the layer and the reason."""
        return f"{self.layer}: {self.reason}"


#: Reason why a ReLU6 is an obstacle, and its remedy.
_CLIPS = f"clips all channels at the same value: start or fork the run with ReLU in place of ReLU6 ({RELU6_OPTION})"


def shared_weights(plan: QuantizationPlan) -> Set[str]:
    """Return the names of the layers whose weights other layers use, too."""
    owners = [unit.op.owner for unit in plan.units if isinstance(unit.op, WEIGHTED)]
    return {name for name in owners if owners.count(name) > 1}


def layer_pairs(
    network: Network, plan: QuantizationPlan, fixed: Collection[str] = ()
) -> Tuple[List[LayerPair], List[Obstacle]]:
    """Return the pairs of layers in order, and the obstacle of every other layer with weights but the outputs.

    Parameters
    ----------
    fixed : collection of str
        Parameters ``layer.parameter`` that must not change.
    """
    consumers: Dict[str, List[Unit]] = {}
    for unit in plan.units:
        for name in unit.inputs:
            consumers.setdefault(name, []).append(unit)
    shared = shared_weights(plan)
    pairs: List[LayerPair] = []
    obstacles: List[Obstacle] = []
    for unit in plan.units:
        if not isinstance(unit.op, WEIGHTED):
            continue
        found = _pair(network, unit, consumers, shared, fixed)
        if isinstance(found, LayerPair):
            pairs.append(found)
        elif found is not None:
            obstacles.append(found)
    return pairs, obstacles


def _pair(
    network: Network,
    unit: Unit,
    consumers: Dict[str, List[Unit]],
    shared: Set[str],
    fixed: Collection[str],
) -> Optional[Union[LayerPair, Obstacle]]:
    """Return the pair that begins with ``unit``, or its obstacle; None if its output is one of the network's."""
    if unit.op.owner in shared:
        return Obstacle(unit.name, "other layers use its weights, too")
    if isinstance(unit.activation, ReLU6):
        return Obstacle(unit.name, f"its ReLU6 {_CLIPS}", True)
    kept = _fixed_parameter(unit, fixed)
    if kept:
        return Obstacle(unit.name, f"the Keras model has no {kept} that could take up the factors")
    between, name = [unit], unit.output
    while True:
        if name in network.outputs:
            return None
        users = consumers.get(name, [])
        if len(users) != 1 or users[0].inputs.count(name) != 1:
            return Obstacle(unit.name, "several layers use its output")
        (user,) = users
        if isinstance(user.op, WEIGHTED):
            if user.op.owner in shared:
                return Obstacle(unit.name, f"the weights of {user.name}, which uses its output, are shared")
            return LayerPair(unit, user, tuple(between))
        if isinstance(user.op, ReLU6):
            return Obstacle(unit.name, f"{user.name}, a ReLU6, {_CLIPS}", True)
        if not _is_homogeneous(user):
            return Obstacle(unit.name, f"its output goes to {user.name} ({user.op.kind}), which does not scale with it")
        between.append(user)
        name = user.output


def _fixed_parameter(unit: Unit, fixed: Collection[str]) -> str:
    """Return the first parameter that an equalization would have to change but that is fixed; empty without one."""
    if unit.batch_norm is None:
        return ""
    names = [f"{unit.batch_norm.owner}.{name}" for name in ("gamma", "beta")]
    return next((name for name in names if name in fixed), "")


def _is_homogeneous(unit: Unit) -> bool:
    """Return whether positive factors of a unit's input channels multiply its output channels, too."""
    if isinstance(unit.op, Activation):
        parameters = unit.op.parameters
        if unit.op.function == "leaky_relu":
            return True
        return unit.op.function == "relu" and not parameters.get("threshold") and parameters.get("maximum") is None
    return isinstance(unit.op, _HOMOGENEOUS)


def named_pairs(
    pairs: Sequence[LayerPair], obstacles: Sequence[Obstacle], layers: Sequence[str]
) -> Tuple[List[LayerPair], List[Obstacle]]:
    """Return the pairs and obstacles that begin with one of ``layers`` (names); all of them if it is empty."""
    if not layers:
        return list(pairs), list(obstacles)
    known = {pair.first.name for pair in pairs} | {obstacle.layer for obstacle in obstacles}
    unknown = [Obstacle(name, "is no layer with weights before another one") for name in layers if name not in known]
    return (
        [pair for pair in pairs if pair.first.name in layers],
        [obstacle for obstacle in obstacles if obstacle.layer in layers] + unknown,
    )
