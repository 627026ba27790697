"""Evaluations run in batches, whose size does not affect the result."""

import numpy as np
import pytest

from qatviz.metric import ACCURACY
from qatviz.network import zoo
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Conv2D, Dense, Flatten
from qatviz.training import measuring
from qatviz.training.measuring import LARGEST_PIECE, Evaluation, piece_size


def large(side):
    net = NetworkBuilder("large", (side, side, 3))
    net.add(Conv2D, "conv", filters=64, kernel_size=3, padding="SAME")
    net.add(Conv2D, "conv2", filters=64, kernel_size=3, padding="SAME")
    net.add(Flatten, "flatten")
    net.add(Dense, "logits", units=4)
    return net.network()


class Counted:
    """A graph that returns the number of even examples."""

    def __init__(self, network):
        self.network, self.asked = network, []

    def publish(self):
        pass

    def total_score(self, indices, weights, activations):
        self.asked.append(len(indices))
        return float(np.sum(indices % 2 == 0))


@pytest.mark.parametrize("name", sorted(zoo.NETWORKS))
def test_networks_of_the_zoo_are_evaluated_in_batches_of_the_maximum_size(name):
    assert piece_size(zoo.build(name, (28, 28, 1), 10)) == LARGEST_PIECE


@pytest.mark.parametrize("side, low, high", [(32, 30, 60), (96, 2, 8), (512, 1, 1)])
def test_larger_networks_are_evaluated_in_smaller_batches(side, low, high):
    assert low <= piece_size(large(side)) <= high


def test_the_result_does_not_depend_on_the_batch_size(monkeypatch):
    found = {}
    for size in (7, 100, 128):
        monkeypatch.setattr(measuring, "LARGEST_PIECE", size)
        graph = Counted(zoo.build("mlp", (28, 28, 1), 10))
        run, result = Evaluation(graph, ACCURACY, 100, 3), None
        while result is None:
            result = run.advance()
        assert max(graph.asked) == min(size, 100) and sum(graph.asked) == 400
        found[size] = dict(vars(result), seconds=None)
    assert found[7] == found[100] == found[128]
