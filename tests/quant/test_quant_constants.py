"""Shared constants of a graph."""

import gc
import weakref

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.quant.constants import all_axes, shared_constant, shared_zeros


def test_equal_values_are_one_tensor_and_others_are_not():
    with tf.Graph().as_default():
        same = [shared_constant(1), shared_constant(1.0), shared_constant(np.float32(1))]
        others = [
            shared_constant(1, np.int32),
            shared_constant([1.0]),
            shared_constant([[1.0]]),
            shared_constant(-0.0),
            shared_constant(0.0),
            shared_zeros([1]),
            shared_zeros([1, 1]),
            shared_zeros([]),
        ]
        assert same[0] is same[1] is same[2]
        assert len({id(tensor) for tensor in same[:1] + others}) == 1 + len(others)
        assert shared_zeros([2, 3]) is shared_zeros((2, 3))
        with tf.Session() as session:
            values = session.run([others[1], others[3], others[6], all_axes(tf.zeros([2, 3, 4]))])
    for found, expected in zip(values, ([1.0], -0.0, [[0.0]], [0, 1, 2])):
        np.testing.assert_array_equal(found, expected)
        assert found.shape == np.shape(expected)
    assert np.signbit(values[1])


def test_constants_made_in_a_conditional_branch_are_usable_outside():
    with tf.Graph().as_default(), tf.Session() as session:
        taken = tf.placeholder(tf.bool, [])
        inside = tf.cond(taken, lambda: shared_constant(2.0) + 1.0, lambda: tf.constant(0.0))
        outside = shared_constant(2.0) + 3.0
        assert session.run([inside, outside], {taken: False}) == [0.0, 5.0]
        assert session.run([inside, outside], {taken: True}) == [3.0, 5.0]


def test_each_graph_has_its_own_constants_and_can_be_freed():
    graphs, tensors = [], []
    for _ in range(2):
        with tf.Graph().as_default() as graph:
            tensors.append(shared_constant(1.0))
            assert tensors[-1].graph is graph
        graphs.append(weakref.ref(graph))
    assert tensors[0] is not tensors[1]
    del tensors, graph
    gc.collect()
    assert [reference() for reference in graphs] == [None, None]
