"""Built-in networks: supported image sizes, structure and number of parameters."""

import pytest

from qatviz.errors import NetworkError
from qatviz.network import NETWORKS, BatchNorm, Dense, DepthwiseConv2D, Network, ReLU6, Softmax, quantization_plan, zoo

CASES = [(name, shape) for name in NETWORKS for shape in ((28, 28, 1), (32, 32, 3))]


def test_the_built_in_networks_by_name():
    assert list(NETWORKS) == ["mlp", "lenet", "dscnn", "resnet8", "mobilenet"]
    assert all(entry.name == name and entry.description for name, entry in NETWORKS.items())


@pytest.mark.parametrize("name, shape", CASES)
@pytest.mark.parametrize("num_classes", [2, 10])
def test_a_network_supports_the_image_size_and_ends_in_logits(name, shape, num_classes):
    network = zoo.build(name, shape, num_classes)
    assert network.name == name and network.input_shape == shape and network.num_outputs == num_classes
    assert network.output == "logits" and isinstance(network.layer("logits"), Dense)
    assert not any(isinstance(layer, Softmax) for layer in network.layers)
    assert Network.from_dict(network.to_dict()) == network


@pytest.mark.parametrize("name, shape", CASES)
def test_a_layer_has_either_a_batch_norm_or_a_bias(name, shape):
    network = zoo.build(name, shape, 10)
    for unit in quantization_plan(network).units:
        if hasattr(unit.op, "use_bias"):
            assert unit.op.use_bias == (unit.batch_norm is None), unit.name


@pytest.mark.parametrize("name, shape", CASES)
def test_every_activation_is_fused(name, shape):
    for unit in quantization_plan(zoo.build(name, shape, 10)).units:
        assert unit.op.kind not in ("ReLU", "ReLU6")


@pytest.mark.parametrize("name, units", [("mlp", 3), ("lenet", 4), ("dscnn", 10), ("resnet8", 10), ("mobilenet", 28)])
def test_the_number_of_weighted_layers(name, units):
    """Numbers of the published models: DS-CNN 1 + 4·2 + 1, ResNet-8 7 + 2 shortcuts + 1, MobileNet V1 1 + 13·2 + 1."""
    plan = quantization_plan(zoo.build(name, (32, 32, 3), 10))
    assert sum(tensor.kind == "weights" for tensor in plan.tensors) == units


def test_parameters_of_mlp_and_lenet_computed_by_hand():
    mlp = 784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10
    lenet = 25 * 16 + 16 + 25 * 16 * 32 + 32 + 7 * 7 * 32 * 128 + 128 + 128 * 10 + 10
    assert zoo.build("mlp", (28, 28, 1), 10).parameter_count == mlp
    assert zoo.build("lenet", (28, 28, 1), 10).parameter_count == lenet


def test_mobilenet_is_v1_at_a_quarter_of_its_width():
    network = zoo.build("mobilenet", (32, 32, 3), 10)
    depthwise = [layer for layer in network.layers if isinstance(layer, DepthwiseConv2D)]
    assert len(depthwise) == 13
    assert network.shapes["pointwise13_relu6"][-1] == 1024 // 4
    assert sum(isinstance(layer, ReLU6) for layer in network.layers) == 27
    assert sum(isinstance(layer, BatchNorm) for layer in network.layers) == 27


@pytest.mark.parametrize("name", ["resnet50", "", None, "MLP"])
def test_an_unknown_name_is_an_error_that_lists_the_networks(name):
    with pytest.raises(NetworkError, match=f"network is {name!r}; allowed: mlp, lenet, dscnn, resnet8, mob"):
        zoo.build(name, (28, 28, 1), 10)


@pytest.mark.parametrize("name", list(NETWORKS))
@pytest.mark.parametrize("shape", [(28, 28, 0), (28.0, 28, 1), ()])
def test_an_invalid_image_size_is_refused(name, shape):
    with pytest.raises(NetworkError, match="input_shape"):
        zoo.build(name, shape, 10)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "mlp"])
def test_a_convolutional_network_requires_images(name):
    with pytest.raises(NetworkError, match="layer 'conv.*three axes"):
        zoo.build(name, (784,), 10)


@pytest.mark.parametrize("num_classes", [0, -1, 2.5])
def test_an_invalid_number_of_classes_is_refused(num_classes):
    with pytest.raises(NetworkError, match="layer 'logits': units is"):
        zoo.build("mlp", (28, 28, 1), num_classes)
