"""Objects from which the copies of a network in the graph of a run are built."""

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
    """Objects that all copies of a network use.

    Attributes
    ----------
    network : Network
    plan : QuantizationPlan
    data : GraphData
    heads : GraphHeads
    live : dict of str to StateVariable
        Variables of the run by name.
    values : dict of str to tf.Tensor
        Values of ``live`` before the training step, by the same names.
    towers : sequence of Tower
        Towers among which each batch, and each evaluation, is divided; empty on one device.
    tower_data : sequence of dict of str to StateVariable
        Variables with the data on the device of each tower.
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
    """Objects that only the copies that are trained use.

    Attributes
    ----------
    optimizer : Optimizer
    trained : sequence of str
        Parameters ``layer.parameter`` with gradients.
    fixed : collection of str
        Parameters ``layer.parameter`` that are never trained.
    batch_size : int
        Number of examples of a training step.
    seed : int
        Seed of dropout and of stochastic rounding.
    telemetry : bool
        If True, training steps return error measures.
    teachers : Teachers
    tower_moments : bool
        If True, batch norms use the moments of each tower's part of the batch (:attr:`.Placement.tower_moments`).
    """

    optimizer: Optimizer
    trained: Sequence[str]
    fixed: Collection[str]
    batch_size: int
    seed: int
    telemetry: bool
    teachers: Teachers
    tower_moments: bool = False
