"""Import of layers that resize and crop images, and of those that do so in training only."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import images_for, plain_output
from tensorflow.compat.v2.image import resize
from test_keras_import_operations import description, layer, loaded, operation

from qatviz.errors import NetworkError


def kinds(imported):
    return [one.kind for one in imported.network.layers]


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
@pytest.mark.parametrize("size", [(12, 15), (3, 5), (4, 7), (9, 5), (13, 2), (6, 10)], ids=str)
@pytest.mark.parametrize("is_function", [False, True])
def test_images_are_resized_as_by_tensorflow(tmp_path, size, method, is_function):
    if is_function:
        own = operation("f", "image.resize", ["x", 0, 0, {"size": list(size), "method": method}])
    else:
        own = layer("Resizing", "f", "x", height=size[0], width=size[1], interpolation=method, fill_value=0.0)
    imported = loaded(tmp_path, description(own, output="f"))
    shown = images_for(imported.network)
    with tf.Graph().as_default(), tf.Session() as session:
        expected = session.run(resize(tf.constant(shown), size, method))
    np.testing.assert_allclose(plain_output(imported, shown), expected, atol=1e-6)


def test_a_multiple_of_the_size_is_an_upsampling_and_the_same_size_nothing(tmp_path):
    double = layer("Resizing", "double", "x", height=12, width=10)
    same = layer("Resizing", "same", "double", height=12, width=10)
    assert kinds(loaded(tmp_path, description(double, same, output="same"))) == ["UpsampleBilinear"]


def test_weights_of_a_resizing_are_not_trained(tmp_path):
    imported = loaded(tmp_path, description(layer("Resizing", "f", "x", height=4, width=5), output="f"))
    assert kinds(imported) == ["Permute", "Conv2D", "Permute"]
    assert set(imported.origin.frozen) == set(imported.parameters)


@pytest.mark.parametrize("size", [(4, 3), (3, 2), (6, 1)], ids=str)
def test_the_center_is_cropped_as_by_keras(tmp_path, size):
    own = layer("CenterCrop", "f", "x", height=size[0], width=size[1])
    imported = loaded(tmp_path, description(own, output="f"))
    shown = images_for(imported.network)
    top, left = int((6 - size[0]) / 2), int((5 - size[1]) / 2)
    expected = shown[:, top : top + size[0], left : left + size[1]]
    np.testing.assert_array_equal(plain_output(imported, shown), expected)


def test_layers_that_have_an_effect_in_training_only_are_omitted(tmp_path):
    names = ["RandomHeight", "RandomWidth", "MixUp", "CutMix", "RandAugment", "AugMix", "Solarization", "Equalization"]
    augmented = [layer(kind, kind, source, factor=0.2) for kind, source in zip(names, ["x", *names])]
    crop = layer("RandomCrop", "crop", names[-1], height=6, width=5, seed=3)
    identity = layer("Identity", "same", "crop")
    record = description(*augmented, crop, identity, layer("ReLU", "r", "same"), output="r")
    imported = loaded(tmp_path, record)
    assert kinds(imported) == ["ReLU"]
    assert any("Identity is omitted, since it has no effect in inference" in note for note in imported.notes)


@pytest.mark.parametrize("kind", ["RandomFlip", "RandomRotation", "CenterCrop", "Resizing", "RandomCrop"])
def test_layers_that_keras_3_calls_in_training_by_default(tmp_path, kind):
    own = layer(kind, "f", "x", height=6, width=5, trainable=True)
    source = {"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}
    own["inbound_nodes"] = [{"args": [source], "kwargs": {"training": True}}]
    network = loaded(tmp_path, description(own, layer("ReLU", "r", "f"), output="r")).network
    assert [one.kind for one in network.layers] == ["ReLU"]
    own["class_name"] = "Dropout"
    own["config"] = {"name": "f", "rate": 0.5, "trainable": True}
    with pytest.raises(NetworkError, match="'f' .Dropout.: it is called with training=True"):
        loaded(tmp_path, description(own, layer("ReLU", "r", "f"), output="r"))


@pytest.mark.parametrize(
    "own, said",
    [
        (layer("Resizing", "bad", "x", height=4, width=4, interpolation="bicubic"), "'bilinear' or 'nearest'"),
        (layer("Resizing", "bad", "x", height=4, width=4, crop_to_aspect_ratio=True), "crop_to_aspect_ratio.*False"),
        (layer("Resizing", "bad", "x", height=0, width=4), "height"),
        (layer("CenterCrop", "bad", "x", height=7, width=4), "enlarges images of 6x5 to 7x4; nearest: a Resizing"),
        (layer("RandomCrop", "bad", "x", height=4, width=4), "training only; nearest: a CenterCrop"),
    ],
)
def test_refusals(tmp_path, own, said):
    with pytest.raises(NetworkError, match="'bad'.*" + said):
        loaded(tmp_path, description(own, output="bad"))
