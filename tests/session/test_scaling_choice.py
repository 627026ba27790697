"""The choice of the scaling of pixels for a trained model: never one in which it is clearly less accurate."""

import numpy as np
import pytest
from tensorflow_needed import needs_tensorflow

from qatviz.data import from_arrays
from qatviz.network.graph import NetworkBuilder
from qatviz.network.layers import Dense, Flatten, ReLU
from qatviz.scaling import SIGNED, UNIT, UNSCALED, scaling_of
from qatviz.session.scaling_choice import best_scaling

pytestmark = needs_tensorflow

CLASSES, LEVELS = 5, (30, 60, 90, 120, 150)
SIDE = 4
STANDARD = "standard"


def shades(count=1000, seed=0):
    """Return noisy images of one level of brightness per class, uint8 ``[N, SIDE, SIDE, 1]``, and the classes."""
    random = np.random.RandomState(seed)
    y = np.arange(count) % CLASSES
    x = np.take(LEVELS, y)[:, np.newaxis, np.newaxis, np.newaxis] + random.randint(-20, 21, (count, SIDE, SIDE, 1))
    return x.astype(np.uint8), y


def data_of(x, y):
    return from_arrays("shades", "a test", (x, y), validation_fraction=0.5)


def network_for(shape=(SIDE, SIDE, 1)):
    net = NetworkBuilder("shades", shape)
    net.add(Flatten, "flat")
    net.add(Dense, "mean", units=1)
    net.add(ReLU, "relu")
    net.add(Dense, "logits", units=CLASSES)
    return net.network()


def parameters_for(scaling, steepness=1.0):
    """Return parameters that find the nearest level in images that are fed with this scaling.

    The network undoes the scaling; of the mean brightness m, the logit of a level c is c·m − c²/2.
    """
    numbers = scaling_of(scaling)
    levels = np.float64(LEVELS)
    values = {
        "mean.weights": np.full((SIDE * SIDE, 1), numbers.deviations[0] / SIDE**2),
        "mean.bias": np.float64([numbers.means[0]]),
        "logits.weights": steepness * levels[np.newaxis] / 100,
        "logits.bias": -steepness * levels**2 / 200,
    }
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


@pytest.mark.parametrize("scaling", [UNIT, SIGNED, UNSCALED, STANDARD])
@pytest.mark.parametrize("shape", [(SIDE, SIDE, 1), (SIDE, SIDE)], ids=["image", "rows"])
def test_the_choice_is_the_scaling_in_which_the_model_is_most_accurate(scaling, shape):
    x, y = shades()
    dataset = data_of(x.reshape((-1, *shape)), y)
    # Rows have a mean for each column, which is nearly that of all pixels.
    known, wanted = (
        (data_of(x, y).standard_scaling(), dataset.standard_scaling()) if scaling == STANDARD else (scaling, scaling)
    )
    choice = best_scaling(network_for(), parameters_for(known), dataset)
    assert choice.scaling == wanted
    assert choice.accuracies[wanted] > 0.95 and choice.examples == 256
    others = [accuracy for name, accuracy in choice.accuracies.items() if name != wanted]
    assert len(others) == 3 and max(others) < 0.7


def test_a_better_accuracy_by_chance_does_not_replace_the_usual_scaling():
    """The labels are random: a model that is hardly certain of any class is right for a fifth in every scaling."""
    x, y = shades()
    random = np.random.RandomState(0)
    parameters = parameters_for(UNIT, steepness=1e-5)
    choices = [best_scaling(network_for(), parameters, data_of(x, random.permutation(y))) for _ in range(4)]
    assert [choice.scaling for choice in choices] == [UNIT] * 4
    assert any(max(choice.accuracies.values()) > choice.accuracies[UNIT] for choice in choices)
