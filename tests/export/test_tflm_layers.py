"""Layers in TFLite Micro: each computes the simulator's codes of its own inputs, or next ones where it rounds twice.

TFLite Micro is that of tflite-micro; without it, these tests are skipped.
"""

import numpy as np
import pytest
from integer_cases import model_of, network_of
from test_activations import functions_network
from test_moves import moves
from test_multiply import squeeze_and_excite
from test_tflite_lowering import images_for
from test_transposed_convolutions import decoder

from qatviz.export.integers.simulator import quantize_input, run_op
from qatviz.export.tflite.lowering import tflite_model
from qatviz.export.tflm.runtime import MicroMissing, MicroRunner, find_micro
from qatviz.export.tflm.sources import arena_bound
from qatviz.network.layers import AveragePool, Conv2D, Dense, DepthwiseConv2D, Flatten, MaxPool, ReLU

#: 1-D layers are those of an image of one row.
SEQUENCE = network_of(
    (1, 64, 2),
    (Conv2D, "conv", {"filters": 8, "kernel_size": (1, 5), "strides": (1, 2)}),
    (ReLU, "relu", {}),
    (MaxPool, "pool", {"pool_size": (1, 2)}),
    (DepthwiseConv2D, "depthwise", {"kernel_size": (1, 3), "dilation": (1, 2)}),
    (AveragePool, "average", {"pool_size": (1, 3), "strides": 1, "padding": "SAME"}),
    (Flatten, "flat", {}),
    (Dense, "logits", {"units": 4}),
)
FUNCTIONS = ("sigmoid", "tanh", "leaky_relu", "elu", "swish", "hard_sigmoid")
NETWORKS = {
    "functions": lambda: functions_network({name: {} for name in FUNCTIONS}),
    "moves": lambda: moves(most_axes=3),
    "product": squeeze_and_excite,
    "transposed": decoder,
    "sequence": lambda: SEQUENCE,
}
SYMMETRIC = {"symmetric": True, "narrow_range": True, "per_channel": True}


@pytest.fixture(scope="module")
def micro():
    try:
        return find_micro()
    except MicroMissing as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("name", NETWORKS)
def test_each_layer_is_computed_by_tflite_micro(name, micro):
    model = model_of(NETWORKS[name](), SYMMETRIC)
    outputs = [op.output for op in model.ops]
    file = tflite_model(model, outputs=outputs)
    codes = quantize_input(model, images_for(model, 12))
    with MicroRunner(micro, file, 2 * arena_bound(file.content)) as runner:
        found = dict(runner.run(codes), **{model.input: codes})
    for op in model.ops:
        expected = run_op(model, op, found)
        assert len(np.unique(expected)) > 3, op.name
        difference = np.abs(np.asarray(found[op.output], np.int64).reshape(expected.shape) - expected)
        # Sums, products and LEAKY_RELU's two slopes are rounded twice; everything else is exact.
        rounds_twice = op.requantization is not None or op.name == "leaky_relu"
        assert difference.max() <= rounds_twice and np.mean(difference > 0) < 0.5, (op.name, np.mean(difference > 0))
