"""What the copies of a network in the graph of a run are built from."""

from typing import Collection, Dict, NamedTuple, Sequence

import tensorflow.compat.v1 as tf

from qatviz.network.graph import Network
from qatviz.network.plan import QuantizationPlan
from qatviz.training.distillation import Teachers
from qatviz.training.graph_data import GraphData
from qatviz.training.heads import GraphHeads
from qatviz.training.optimizers import Optimizer
from qatviz.training.towers import Tower
from qatviz.training.variables import StateVariable

Variables = Dict[str, StateVariable]


class GraphParts(NamedTuple):
    """What all copies of a network use.

    Attributes
    ----------
    network : Network
    plan : QuantizationPlan
    data : GraphData
    heads : GraphHeads
    live : dict of str to StateVariable
        Variables of the run by name.
    values : dict of str to tf.Tensor
        Their values before the step.
    towers : sequence of Tower
        Towers that share each batch and evaluations; none: one device.
    tower_data : sequence of dict of str to StateVariable
        Data on the device of each tower.
    """

    network: Network
    plan: QuantizationPlan
    data: GraphData
    heads: GraphHeads
    live: Variables
    values: Dict[str, tf.Tensor]
    towers: Sequence[Tower] = ()
    tower_data: Sequence[Variables] = ()


class TrainingParts(NamedTuple):
    """What copies that are trained use besides.

    Attributes
    ----------
    optimizer : Optimizer
    trained : list of str
        Parameters with gradients.
    fixed : collection of str
        Parameters that are not trained.
    batch_size : int
    seed : int
        Seed of dropout and of stochastic rounding.
    telemetry : bool
        If True, steps return error measures.
    teachers : Teachers
    tower_moments : bool
        That of :class:`qatviz.protocol.run_spec.Placement`.
    """

    optimizer: Optimizer
    trained: Sequence[str]
    fixed: Collection[str]
    batch_size: int
    seed: int
    telemetry: bool
    teachers: Teachers
    tower_moments: bool = False
