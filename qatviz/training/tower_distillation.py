"""Distillation on several devices: each imitates the teacher's outputs for its part of the batch.

The teacher's variables are on the first device. Others receive their values in the steps that need them.
"""

from functools import partial
from typing import Dict, List, Sequence, Tuple

import tensorflow.compat.v1 as tf

from qatviz.training.distillation import Teachers
from qatviz.training.heads import GraphHeads
from qatviz.training.towers import Packed, Tower
from qatviz.training.variables import StateVariable


class TowerTeachers:
    """Teachers of all towers; their values are sent from the device of the first tower.

    Parameters
    ----------
    teachers : Teachers
    heads : GraphHeads
    settings : tf.Tensor
        :func:`qatviz.training.distillation.settings_array` in the graph.
    """

    def __init__(self, teachers: Teachers, heads: GraphHeads, settings: tf.Tensor):
        self._teachers, self._heads = teachers, heads
        self._weight, _, is_model = tf.unstack(settings, num=3)
        is_on, is_model = self._weight > 0.0, is_model > 0.0
        chosen = [is_on if len(teachers.variables) == 1 else tf.logical_and(is_on, tf.logical_not(is_model))]
        chosen.append(tf.logical_and(is_on, is_model))
        self._sent = [_sent(own, is_wanted) for own, is_wanted in zip(teachers.variables, chosen)]

    def imitation(self, examples: tf.Tensor, outputs: Sequence[tf.Tensor], settings: tf.Tensor) -> tf.Tensor:
        """Return the imitation loss of a tower on its device, float32 scalar; 0, uncomputed, while the weight is 0.

        Parameters
        ----------
        examples : tf.Tensor
            Examples of the tower, float32 ``[n] + input shape``.
        outputs : sequence of tf.Tensor
            Outputs of the trained network for them.
        settings : tf.Tensor
            The settings of distillation that the tower has received.
        """
        weight, temperature, is_model = tf.unstack(settings, num=3)
        received = [(packed, [tf.identity(vector) for vector in vectors]) for packed, vectors in self._sent]
        values = [partial(packed.unpacked, vectors) for packed, vectors in received]

        def with_teacher() -> tf.Tensor:
            found = self._teachers.outputs(examples, is_model > 0.0, values)
            return self._heads.imitation(outputs, [tf.stop_gradient(output) for output in found], temperature)

        return tf.cond(weight > 0.0, with_teacher, lambda: tf.constant(0.0))

    def distilled(self, loss: tf.Tensor, imitations: Sequence[tf.Tensor], towers: Sequence[Tower]) -> tf.Tensor:
        """Return the loss of the batch with distillation, as :func:`qatviz.training.distillation.distilled` does.

        ``loss`` is that for the labels of the batch, and ``imitations`` are the imitation losses of the ``towers``.
        """

        def mixture() -> tf.Tensor:
            parts = [own * ((tower.stop - tower.start) / towers[-1].stop) for own, tower in zip(imitations, towers)]
            return (1.0 - self._weight) * loss + self._weight * tf.add_n(parts)

        return tf.cond(self._weight > 0.0, mixture, lambda: tf.identity(loss))


def _sent(variables: Dict[str, StateVariable], is_wanted: tf.Tensor) -> Tuple[Packed, List[tf.Tensor]]:
    """Return the values of variables as vectors for other devices, which are empty unless ``is_wanted``."""
    packed: List[Packed] = []

    def vectors() -> List[tf.Tensor]:
        packed.append(Packed({name: variable.read() for name, variable in variables.items()}))
        return packed[0].vectors

    sent = tf.cond(is_wanted, vectors, lambda: [tf.zeros([0], own.dtype) for own in packed[0].vectors], strict=True)
    return packed[0], list(sent)
