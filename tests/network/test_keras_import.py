"""Exact import of tf.keras models: in float, the outputs are those of `predict`."""

import numpy as np
import pytest
import tensorflow
import tensorflow.compat.v1 as tf
from keras_import_cases import (
    assert_same,
    assign,
    fresh_keras,
    functional,
    images_for,
    imported_exactly,
    lowered_output,
    plain_output,
    predicted,
    randomize,
)

from qatviz.network.forward_folding import norm_notes
from qatviz.network.keras_import import import_model
from qatviz.training.parameters import initial_parameters

layers = tf.keras.layers


def chain(*makers, input_shape=(9, 10, 3)):
    """Return a function that builds a Sequential model of new layers."""

    def build():
        return tf.keras.Sequential([layers.InputLayer(input_shape, name="image")] + [make() for make in makers])

    return build


def conv(name="conv", filters=4, **settings):
    return lambda: layers.Conv2D(filters, 3, name=name, **settings)


def dense(units=5, **settings):
    return lambda: layers.Dense(units, name="logits", **settings)


def kinds(imported):
    return [(layer.name, layer.kind) for layer in imported.network.layers]


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "strides": 2, "padding": "same"},
        {"kernel_size": 3, "strides": 2, "padding": "valid"},
        {"kernel_size": (2, 5), "strides": 3, "padding": "same", "use_bias": False},
        {"kernel_size": (4, 1), "strides": 3, "padding": "valid"},
        {"kernel_size": 3, "dilation_rate": 2, "padding": "same"},
        {"kernel_size": (2, 3), "dilation_rate": (1, 3), "padding": "valid", "use_bias": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["Conv2D", "DepthwiseConv2D", "SeparableConv2D"])
def test_convolutions(kind, settings):
    own = dict(settings, **({} if kind == "DepthwiseConv2D" else {"filters": 5}))
    if kind != "Conv2D":
        own["depth_multiplier"] = 2
    imported_exactly(chain(lambda: getattr(layers, kind)(name="c", **own), layers.Flatten, input_shape=(11, 14, 3)))


def test_a_convolution_with_unequal_strides():
    imported_exactly(chain(conv(strides=(2, 3)), layers.Flatten))


def test_a_separable_convolution_becomes_two_layers_with_its_name():
    imported = imported_exactly(
        chain(lambda: layers.SeparableConv2D(4, 3, activation="relu", name="sep"), layers.BatchNormalization)
    )
    assert kinds(imported)[:3] == [("sep/depthwise", "DepthwiseConv2D"), ("sep", "Conv2D"), ("sep/relu", "ReLU")]
    assert any("'sep'" in note and "SeparableConv2D" in note for note in imported.notes)


@pytest.mark.parametrize(
    "settings",
    [
        {"pool_size": 2},
        {"pool_size": 3, "strides": 2, "padding": "same"},
        {"pool_size": (2, 3), "strides": (1, 2)},
        {"pool_size": 2, "strides": 3, "padding": "valid"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["MaxPooling2D", "AveragePooling2D"])
def test_pools(kind, settings):
    imported_exactly(chain(conv(), lambda: getattr(layers, kind)(**settings), layers.Flatten))


@pytest.mark.parametrize(
    "activation, kind",
    [
        ("relu", "ReLU"),
        (tf.nn.relu, "ReLU"),
        (tf.nn.relu6, "ReLU6"),
        ("softmax", "Softmax"),
        (tf.nn.softmax, "Softmax"),
        (tensorflow.compat.v2.nn.softmax, "Softmax"),
        ("linear", None),
        (None, None),
        *((name, "Activation") for name in ("sigmoid", "tanh", "elu", "selu", "softplus", "softsign", "exponential")),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_activations_as_arguments_and_as_layers(activation, kind):
    imported = imported_exactly(chain(layers.Flatten, dense(activation=activation)))
    name = activation if kind == "Activation" else (kind or "").lower()
    assert kinds(imported)[2:] == ([("logits/" + name, kind)] if kind else [])
    if activation is not None:
        imported = imported_exactly(chain(layers.Flatten, dense(), lambda: layers.Activation(activation, name="own")))
        assert kinds(imported)[2:] == ([("own", kind)] if kind else [])
        assert bool(imported.notes) == (kind is None)


@pytest.mark.parametrize(
    "make, kind",
    [
        (lambda: layers.ReLU(name="own"), "ReLU"),
        (lambda: layers.ReLU(6.0, name="own"), "ReLU6"),
        (lambda: layers.Softmax(name="own"), "Softmax"),
        (lambda: layers.LeakyReLU(name="own"), "Activation"),
        (lambda: layers.LeakyReLU(0.01, name="own"), "Activation"),
        (lambda: layers.ELU(0.5, name="own"), "Activation"),
        (lambda: layers.ReLU(3.0, name="own"), "Activation"),
        (lambda: layers.ReLU(3.0, negative_slope=0.1, threshold=0.5, name="own"), "Activation"),
        (lambda: layers.ThresholdedReLU(0.7, name="own"), "Activation"),
    ],
)
def test_layers_that_are_activations(make, kind):
    # The kernel is stretched so that a ReLU6 that was a ReLU would be seen.
    imported = imported_exactly(chain(lambda: layers.Flatten(), dense(), make))
    assert kinds(imported)[-1] == ("own", kind)


@pytest.mark.parametrize("evaluate", [plain_output, lowered_output])
def test_a_graph_with_branches(evaluate):
    def body(image):
        stem = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(
            layers.ZeroPadding2D(((0, 1), (2, 0)))(image)
        )
        left = layers.BatchNormalization()(layers.Conv2D(6, 1, use_bias=False)(stem))
        right = layers.ReLU(6.0)(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(stem)))
        joined = layers.Add()([left, right, stem])
        columns = layers.Concatenate(axis=2)([joined, right])
        rows = layers.Concatenate(axis=-3)([columns, columns])
        channels = layers.Concatenate()([rows, layers.AveragePooling2D(2, 1, "same")(rows)])
        pooled = layers.GlobalAveragePooling2D()(channels)
        largest = layers.GlobalMaxPooling2D()(channels)
        flat = layers.Flatten()(layers.Reshape((2, 4, 3))(layers.Dropout(0.3)(layers.concatenate([pooled, largest]))))
        return layers.Dense(7, activation="softmax")(flat)

    imported_exactly(functional(body), evaluate=evaluate)


def test_a_reshape_with_an_inferred_axis():
    assert imported_exactly(chain(conv(), lambda: layers.Reshape((-1, 7)))).network.shapes["reshape"] == (32, 7)


def random_model(seed):
    random = np.random.RandomState(seed)

    def choose(*values):
        return values[random.randint(len(values))]

    def block(x):
        settings = {
            "padding": choose("same", "valid"),
            "activation": choose(None, "relu", tf.nn.relu6),
            "use_bias": choose(True, False),
        }
        settings.update(choose({"strides": 1}, {"strides": 2}, {"dilation_rate": 2}))
        size = choose(1, 2, 3)
        y = choose(
            lambda: layers.Conv2D(6, size, **settings),
            lambda: layers.DepthwiseConv2D(size, **settings),
            lambda: layers.SeparableConv2D(6, size, **settings),
        )()(x)
        for make in (layers.BatchNormalization, layers.ReLU, lambda: layers.Dropout(0.5), layers.BatchNormalization):
            y = make()(y) if random.rand() < 0.5 else y
        return choose(
            lambda: layers.Add()([y, layers.Conv2D(int(y.shape[-1]), 1)(y)]),
            lambda: layers.Concatenate()([y, layers.BatchNormalization()(y)]),
            lambda: y,
        )()

    def body(x):
        for _ in range(3):
            x = block(x)
        return layers.Dense(4)(choose(layers.Flatten, layers.GlobalAveragePooling2D)()(x))

    return functional(body, (25, 22, 3))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.always("0", "1", "2")
def test_random_models(seed):
    imported_exactly(random_model(seed), seed, evaluate=plain_output if seed else lowered_output)


def test_a_batch_norm_after_a_convolution_keeps_settings_and_parameters():
    def normalize():
        return layers.BatchNormalization(momentum=0.7, epsilon=0.02, name="bn")

    with fresh_keras():
        model = chain(conv(), normalize, layers.Flatten, dense())()
        randomize(model)
        imported = import_model(model)
        stored = {variable.name.split(":")[0]: value for variable, value in zip(model.weights, model.get_weights())}
    normal = imported.network.layer("bn")
    assert (normal.momentum, normal.epsilon, normal.inputs) == (0.7, 0.02, ("conv",))
    assert imported.notes == ()
    for name in ("gamma", "beta", "moving_mean", "moving_variance"):
        np.testing.assert_array_equal(imported.parameters["bn." + name], stored["bn/" + name])
    np.testing.assert_array_equal(imported.parameters["conv.weights"], stored["conv/kernel"])


def test_the_parameters_are_named_and_shaped_as_initial_ones():
    imported = imported_exactly(
        chain(conv(), layers.BatchNormalization, layers.Flatten, layers.BatchNormalization, dense())
    )
    initial = initial_parameters(imported.network, 0)
    assert {name: (value.shape, value.dtype) for name, value in imported.parameters.items()} == {
        name: (value.shape, value.dtype) for name, value in initial.items()
    }


@pytest.mark.parametrize(
    "makers",
    [
        [conv(activation="relu"), lambda: layers.BatchNormalization(name="bn"), layers.ReLU, layers.Flatten],
        [lambda: layers.BatchNormalization(name="bn"), conv()],
        [conv(), layers.BatchNormalization, lambda: layers.BatchNormalization(name="bn")],
        [layers.Flatten, dense(activation="relu"), lambda: layers.BatchNormalization(name="bn"), layers.ReLU],
        [lambda: layers.Reshape((45, 6)), lambda: layers.BatchNormalization(name="bn")],
        [
            conv(),
            lambda: layers.Activation("relu"),
            lambda: layers.Activation("linear"),
            lambda: layers.BatchNormalization(name="bn"),
        ],
    ],
    ids=["activation", "input", "batch norm", "features", "two axes", "left out between"],
)
def test_a_batch_norm_after_any_other_layer_gets_a_layer_to_be_folded_into(makers):
    imported = imported_exactly(chain(*makers))
    assert imported.network.layer("bn").inputs == ("bn/scale",)
    assert (imported.parameters["bn/scale.weights"] == 1).all()
    (note,) = norm_notes(imported.network)
    assert note.endswith("have a depthwise 1×1 convolution, named <name>/scale: 'bn'")


@pytest.mark.parametrize("between", [False, True])
def test_a_batch_norm_is_not_folded_into_a_layer_with_other_consumers(between):
    def body(image):
        y = layers.Conv2D(4, 3, name="conv")(image)
        seen = layers.Activation("linear")(y) if between else y
        return layers.Add()([layers.BatchNormalization(name="bn")(seen), layers.ReLU()(seen)])

    imported = imported_exactly(functional(body))
    assert imported.network.layer("bn").inputs == ("bn/scale",)


def test_a_batch_norm_is_folded_across_an_omitted_layer():
    imported = imported_exactly(
        chain(conv(), lambda: layers.Activation("linear"), lambda: layers.BatchNormalization(name="bn"), layers.ReLU)
    )
    assert imported.network.layer("bn").inputs == ("conv",)


@pytest.mark.parametrize("settings", [{"scale": False}, {"center": False}, {"scale": False, "center": False}], ids=str)
def test_a_batch_norm_without_scale_or_center(settings):
    imported_exactly(
        chain(
            conv(),
            lambda: layers.BatchNormalization(**settings),
            layers.ReLU,
            lambda: layers.BatchNormalization(**settings),
            layers.Flatten,
            dense(),
        )
    )


@pytest.mark.parametrize("epsilon", [1e-8, 1e-5, 1e-4])
@pytest.mark.parametrize("shape, settings", [((9, 10, 3), {}), ((9, 10, 3), {"fused": False}), ((7,), {})], ids=str)
def test_a_small_epsilon_matters_if_the_variance_is_small(shape, settings, epsilon):
    with fresh_keras():
        model = chain(
            dense(), lambda: layers.BatchNormalization(epsilon=epsilon, name="bn", **settings), input_shape=shape
        )()
        randomize(model)
        assign(model, "moving_variance", 1e-6)
        imported = import_model(model)
        images = images_for(imported.network)
        expected = predicted(model, images)
    assert_same(plain_output(imported, images), expected)
    raised = len(shape) == 3 and not settings and epsilon < 1.001e-5
    assert imported.network.layer("bn").epsilon == (1.001e-5 if raised else epsilon)
    assert any("epsilon" in note and "'bn'" in note for note in imported.notes) == raised


@pytest.mark.parametrize("shape", [(9, 10, 3), (12, 5), (2, 3, 2, 3)], ids=str)
def test_a_dense_on_more_than_one_axis(shape):
    imported = imported_exactly(chain(dense(activation="relu"), layers.Flatten, input_shape=shape))
    assert imported.network.layer("logits").kind == "Conv2D"
    imported_exactly(chain(dense(use_bias=False), layers.Flatten, lambda: layers.Dense(3), input_shape=shape))


def test_layers_without_effect_in_inference_are_omitted():
    imported = imported_exactly(
        chain(
            lambda: layers.GaussianNoise(0.5),
            conv(),
            layers.Flatten,
            lambda: layers.GaussianDropout(0.5),
            lambda: layers.AlphaDropout(0.5),
            lambda: layers.ActivityRegularization(0.1),
            lambda: layers.Dropout(0.4, name="kept"),
            dense(),
        )
    )
    assert [kind for _, kind in kinds(imported)] == ["Conv2D", "Flatten", "Dropout", "Dense"]
    assert imported.network.layer("kept").rate == 0.4
    assert len(imported.notes) == 4


def test_a_squeeze_and_excite_block():
    def build():
        image = layers.Input((6, 5, 3))
        trunk = layers.Conv2D(8, 3, activation="relu")(image)
        gates = layers.GlobalAveragePooling2D()(trunk)
        gates = layers.Dense(8, activation="sigmoid")(layers.Dense(4, activation="relu")(gates))
        excited = layers.Multiply()([trunk, layers.Reshape((1, 1, 8))(gates)])
        product = layers.Multiply(name="three")([excited, trunk, excited * trunk])
        return tf.keras.Model(image, layers.Dense(3)(layers.Flatten()(product)))

    imported = imported_exactly(build)
    assert [kind for _, kind in kinds(imported)].count("Multiply") == 4


def test_operations_among_layers():
    def body(image):
        y = layers.Conv2D(3, 3, padding="same")(image)
        return layers.Flatten()(tf.nn.relu6(tf.nn.relu(y + image) + y))

    imported = imported_exactly(functional(body))
    assert [kind for _, kind in kinds(imported)] == ["Conv2D", "Add", "ReLU", "Add", "ReLU6", "Flatten"]


def test_lambdas_of_one_known_operation():
    def body(image):
        y = layers.Conv2D(3, 3, padding="same")(image)
        z = layers.Lambda(lambda both: both[0] + both[1], name="sum")([image, y])
        return layers.Lambda(lambda x: tf.nn.relu6(tf.identity(x)), name="clip")(z)

    assert kinds(imported_exactly(functional(body)))[1:] == [("sum", "Add"), ("clip", "ReLU6")]


def test_nested_models_are_inlined():
    def body(image):
        base = tf.keras.Sequential(
            [
                layers.InputLayer((9, 10, 3)),
                layers.Conv2D(4, 3, name="c1"),
                layers.BatchNormalization(name="bn1"),
                layers.ReLU(6.0, name="r1"),
            ],
            name="base",
        )
        pixels = layers.Input((7, 8, 4))
        side = tf.keras.Model(
            pixels, [layers.Conv2D(4, 1, name="c1")(pixels), layers.Conv2D(4, 1, name="unread")(pixels)], name="side"
        )
        features = base(image, training=False)
        return layers.Dense(3, name="logits")(
            layers.Flatten(name="flat")(layers.Add(name="sum")([side(features)[0], features]))
        )

    imported = imported_exactly(functional(body))
    assert [name for name, _ in kinds(imported)] == ["c1", "bn1", "r1", "side/c1", "sum", "flat", "logits"]
    assert imported.network.layer("bn1").inputs == ("c1",)
    assert any("'c1' in 'side' to 'side/c1'" in note for note in imported.notes)


def test_a_model_in_a_sequential():
    def build():
        base = tf.keras.applications.MobileNet(input_shape=(32, 32, 3), alpha=0.25, include_top=False, weights=None)
        base.trainable = False
        return tf.keras.Sequential([base, layers.GlobalAveragePooling2D(), layers.Dense(3)])

    imported = imported_exactly(build)
    assert imported.network.input_shape == (32, 32, 3)
    assert any("trainable" in note and "'conv1'" in note for note in imported.notes)


def test_a_sequential_without_an_input_layer():
    def build():
        model = tf.keras.Sequential(
            [layers.Conv2D(4, 3, name="c"), layers.BatchNormalization(), layers.Flatten(), layers.Dense(3)]
        )
        model.build((None, 9, 10, 3))
        return model

    assert imported_exactly(build).network.input_shape == (9, 10, 3)


def test_an_open_input_shape_is_given():
    with fresh_keras():
        model = chain(conv(), layers.GlobalAveragePooling2D, dense(), input_shape=(None, None, 3))()
        assert import_model(model, input_shape=(12, 8, 3)).network.shapes["conv"] == (10, 6, 4)


def test_names_are_changed_only_if_necessary():
    def body(image):
        y = layers.Conv2D(4, 1, name="a.b")(image)
        y = layers.Conv2D(4, 1, name="a_b", activation="relu")(y)
        y = layers.Conv2D(4, 1, name="1st-Layer")(y)
        y = layers.Conv2D(4, 1, name="input")(y)
        return layers.ReLU(name="a_b/relu")(y)

    imported = imported_exactly(functional(body))
    assert imported.network.name == "graph"
    names = [name for name, _ in kinds(imported)]
    assert names == ["a_b_2", "a_b", "a_b/relu_2", "layer_1st-Layer", "input_", "a_b/relu"]
    assert "'a.b' to 'a_b_2', '1st-Layer' to 'layer_1st-Layer', 'input' to 'input_'" in imported.notes[0]


def test_ignored_settings_of_the_training_are_noted():
    def frozen():
        layer = layers.Conv2D(4, 3, name="frozen")
        layer.trainable = False
        return layer

    notes = imported_exactly(
        chain(
            frozen,
            layers.Flatten,
            lambda: layers.Dense(3, name="held", kernel_regularizer="l2", bias_constraint="nonneg"),
        )
    ).notes
    assert len(notes) == 2 and "'frozen'" in notes[0] and "'held'" in notes[1]


def test_the_origin_maps_parameters_to_keras_arrays():
    def build():
        base = tf.keras.Sequential(
            [
                layers.InputLayer((9, 10, 3)),
                layers.SeparableConv2D(4, 3, name="sep"),
                layers.BatchNormalization(name="bn", scale=False),
                layers.ReLU(),
                layers.BatchNormalization(name="bn2"),
                layers.Dense(3, name="pixels"),
            ],
            name="base",
        )
        return tf.keras.Sequential(
            [layers.InputLayer((9, 10, 3)), base, layers.Flatten(), layers.Dense(2, name="logits")]
        )

    with fresh_keras():
        model = build()
        randomize(model)
        imported = import_model(model)
        found = {variable.name: value for variable, value in zip(model.weights, model.get_weights())}
    assert len(imported.origin.arrays) == len(found)
    assert imported.origin.arrays["sep/depthwise.weights"] == (("base", "sep"), "depthwise_kernel")
    assert imported.origin.arrays["pixels.bias"] == (("base", "pixels"), "bias")
    assert set(imported.parameters) - set(imported.origin.arrays) == {"bn.gamma", "bn2/scale.weights"}
    for name, (path, key) in imported.origin.arrays.items():
        np.testing.assert_array_equal(imported.parameters[name].ravel(), found[f"{path[-1]}/{key}:0"].ravel())


def test_a_model_can_be_trained_after_its_import():
    with fresh_keras():
        model = chain(conv(), layers.Flatten, dense())()
        model.compile("sgd", "mse")
        images, labels = np.ones((8, 9, 10, 3), np.float32), np.ones((8, 5), np.float32)
        model.train_on_batch(images, labels)
        before = import_model(model)
        model.train_on_batch(images, labels)
        after = import_model(model)
    assert before.network == after.network
    assert not np.array_equal(before.parameters["logits.bias"], after.parameters["logits.bias"])
