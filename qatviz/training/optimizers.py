"""Optimizers whose hyperparameters are live, on TensorFlow's fused update kernels.

``tf.train``'s classes would do for the learning rate, but keep Adam's betas in the initial values of hidden variables,
and give no names to their slots. Here every number is a tensor and every slot a named array of the checkpoint.
"""

from typing import Callable, Dict, List, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.training.variables import StateVariable

Update = Callable[[StateVariable, tf.Tensor, Dict[str, StateVariable], Dict[str, tf.Tensor]], tf.Operation]


class Optimizer(NamedTuple):
    """An optimizer: names of its slots, names and initial values of its scalar state, and its update.

    ``update(variable, gradient, slots, hyper)`` returns the operation; ``hyper`` has the run settings by name and,
    under their names, the scalars. ``advance(scalars, hyper)`` gives the scalars' next values.
    """

    slots: tuple
    scalars: Dict[str, float]
    update: Update
    advance: Callable[[Dict[str, tf.Tensor], Dict[str, tf.Tensor]], Dict[str, tf.Tensor]]
    settings: tuple  # names of the run settings it reads


def _sgd(variable, gradient, slots, hyper):
    return tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=hyper["learning_rate"], delta=gradient)


def _momentum(variable, gradient, slots, hyper):
    return tf.raw_ops.ResourceApplyMomentum(
        var=variable.handle,
        accum=slots["momentum"].handle,
        lr=hyper["learning_rate"],
        grad=gradient,
        momentum=hyper["momentum"],
    )


def _adam(variable, gradient, slots, hyper):
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


def _adam_advance(scalars, hyper):
    return {name + "_power": scalars[name + "_power"] * hyper[name] for name in ("beta1", "beta2")}


def _nothing(scalars, hyper):
    return {}


OPTIMIZERS = {
    "adam": Optimizer(
        ("m", "v"),
        {"beta1_power": 0.9, "beta2_power": 0.999},
        _adam,
        _adam_advance,
        ("learning_rate", "beta1", "beta2", "epsilon"),
    ),
    "momentum": Optimizer(("momentum",), {}, _momentum, _nothing, ("learning_rate", "momentum")),
    "sgd": Optimizer((), {}, _sgd, _nothing, ("learning_rate",)),
}
HYPERPARAMETERS = ("learning_rate", "momentum", "beta1", "beta2", "epsilon")


def slot_arrays(
    optimizer: Optimizer, trainable: Dict[str, np.ndarray], hyper: Dict[str, float]
) -> Dict[str, np.ndarray]:
    """Initial slots (``weights name|slot``) and scalars (``optimizer|name``); Adam's powers start at its betas."""
    arrays = {f"{name}|{slot}": np.zeros_like(value) for name, value in trainable.items() for slot in optimizer.slots}
    for scalar in optimizer.scalars:
        arrays["optimizer|" + scalar] = np.array(hyper[scalar.split("_")[0]], np.float32)
    return arrays


def apply(
    optimizer: Optimizer,
    variables: Dict[str, StateVariable],
    gradients: Dict[str, tf.Tensor],
    hyper: Dict[str, tf.Tensor],
) -> List[tf.Operation]:
    """Update operations of all trainable variables and of the scalars.

    Parameters
    ----------
    variables : dict of str to StateVariable
        All variables of the run by name, slots and scalars among them.
    gradients : dict of str to tf.Tensor
        By the name of the variable.
    hyper : dict of str to tf.Tensor
        Scalars of :data:`HYPERPARAMETERS`.
    """
    scalars = {name: variables["optimizer|" + name].read() for name in optimizer.scalars}
    hyper = dict(hyper, **scalars)
    updates = []
    for name, gradient in gradients.items():
        slots = {slot: variables[f"{name}|{slot}"] for slot in optimizer.slots}
        updates.append(optimizer.update(variables[name], gradient, slots, hyper))
    # The next values are computed from what was read above; only the assignment waits.
    updates.extend(
        variables["optimizer|" + name].assign(value) for name, value in optimizer.advance(scalars, hyper).items()
    )
    return updates
