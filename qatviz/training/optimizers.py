"""Optimizers with live hyperparameters, based on TensorFlow's fused update kernels.

The classes of ``tf.train`` support a live learning rate, but use Adam's betas as initial values of hidden variables,
and do not name their slots. Here every hyperparameter is a tensor and every slot a named array of the checkpoint.
"""

from typing import Callable, Dict, List, NamedTuple, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.training.variables import StateVariable

Slots = Dict[str, StateVariable]
Tensors = Dict[str, tf.Tensor]
Update = Callable[[StateVariable, tf.Tensor, Slots, Tensors], tf.Operation]


class Optimizer(NamedTuple):
    """Optimizer: names of its slots, names and initial values of its scalar state, and its update.

    ``update(variable, gradient, slots, hyper)`` returns the operation; ``hyper`` contains the run settings and the
    scalars by name. ``advance(scalars, hyper)`` returns the next values of the scalars.
    """

    slots: Tuple[str, ...]
    scalars: Dict[str, float]
    update: Update
    advance: Callable[[Tensors, Tensors], Tensors]


def _sgd(variable: StateVariable, gradient: tf.Tensor, slots: Slots, hyper: Tensors) -> tf.Operation:
    return tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=hyper["learning_rate"], delta=gradient)


def _momentum(variable: StateVariable, gradient: tf.Tensor, slots: Slots, hyper: Tensors) -> tf.Operation:
    return tf.raw_ops.ResourceApplyMomentum(
        var=variable.handle,
        accum=slots["momentum"].handle,
        lr=hyper["learning_rate"],
        grad=gradient,
        momentum=hyper["momentum"],
    )


def _adam(variable: StateVariable, gradient: tf.Tensor, slots: Slots, hyper: Tensors) -> tf.Operation:
    return tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=slots["m"].handle,
        v=slots["v"].handle,
        beta1_power=hyper["beta1_power"],
        beta2_power=hyper["beta2_power"],
        lr=hyper["learning_rate"],
        beta1=hyper["beta1"],
        beta2=hyper["beta2"],
        epsilon=hyper["epsilon"],
        grad=gradient,
    )


def _adam_advance(scalars: Tensors, hyper: Tensors) -> Tensors:
    return {name + "_power": scalars[name + "_power"] * hyper[name] for name in ("beta1", "beta2")}


def _no_scalars(scalars: Tensors, hyper: Tensors) -> Tensors:
    return {}


OPTIMIZERS = {
    "adam": Optimizer(
        ("m", "v"),
        {"beta1_power": 0.9, "beta2_power": 0.999},
        _adam,
        _adam_advance,
    ),
    "momentum": Optimizer(("momentum",), {}, _momentum, _no_scalars),
    "sgd": Optimizer((), {}, _sgd, _no_scalars),
}
HYPERPARAMETERS = ("learning_rate", "momentum", "beta1", "beta2", "epsilon")


def slot_arrays(
    optimizer: Optimizer, trainable: Dict[str, np.ndarray], hyper: Dict[str, float]
) -> Dict[str, np.ndarray]:
    """Return the initial optimizer state: slots ``parameter|slot`` and scalars ``optimizer|name``, float32 arrays.

    Adam's powers start at its betas, which ``hyper`` contains with the other run settings.
    """
    arrays = {f"{name}|{slot}": np.zeros_like(value) for name, value in trainable.items() for slot in optimizer.slots}
    for scalar in optimizer.scalars:
        arrays["optimizer|" + scalar] = np.array(hyper[scalar.split("_")[0]], np.float32)
    return arrays


def apply(
    optimizer: Optimizer,
    variables: Slots,
    gradients: Tensors,
    hyper: Tensors,
) -> List[tf.Operation]:
    """Return the update operations of all trainable variables and of the scalars.

    Parameters
    ----------
    variables : dict of str to StateVariable
        All variables of the run by name, including slots and scalars.
    gradients : dict of str to tf.Tensor
        Gradients by the name of the variable.
    hyper : dict of str to tf.Tensor
        Scalars of :data:`HYPERPARAMETERS`.
    """
    scalars = {name: variables["optimizer|" + name].read() for name in optimizer.scalars}
    hyper = dict(hyper, **scalars)
    updates = []
    for name, gradient in gradients.items():
        slots = {slot: variables[f"{name}|{slot}"] for slot in optimizer.slots}
        updates.append(optimizer.update(variables[name], gradient, slots, hyper))
    # The next values are computed from the values read above, so the assignments need no order.
    updates.extend(
        variables["optimizer|" + name].assign(value) for name, value in optimizer.advance(scalars, hyper).items()
    )
    return updates
