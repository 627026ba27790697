"""Import of operations between layers, and refusals of several layers at once."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from keras_import_cases import fresh_keras, functional, images_for, imported_exactly, plain_output

from qatviz.errors import CodeRefused, NetworkError
from qatviz.network.keras_import import import_model, load_model_file
from qatviz.network.keras_import.code import describes_code

layers = tf.keras.layers


def test_arithmetic_with_constants_is_one_depthwise_convolution():
    def body(x):
        return layers.Conv2D(2, 3)(2.0 - (x * np.float32([1, 2, 3]) / 4.0 + 1.0))

    imported = imported_exactly(functional(body))
    assert [layer.kind for layer in imported.network.layers] == ["DepthwiseConv2D", "Conv2D"]


def test_a_scaling_that_others_use_too_is_not_merged():
    def body(x):
        y = x * 3.0
        return layers.Concatenate()([y, y - 1.0])

    assert [layer.kind for layer in imported_exactly(functional(body)).network.layers].count("DepthwiseConv2D") == 2


@pytest.mark.parametrize("shape", [(7,), (6, 5), (3, 4, 5, 2)])
def test_scalings_of_other_shapes(shape):
    imported_exactly(functional(lambda x: layers.Dense(2)(layers.Flatten()(x / 3.0 + 0.5)), shape))


def description(*middle, output):
    """Return a functional model in the form of TensorFlow 2.4 with an input x of shape (6, 5, 4)."""
    first = {
        "class_name": "InputLayer",
        "name": "x",
        "inbound_nodes": [],
        "config": {"name": "x", "batch_input_shape": [None, 6, 5, 4], "dtype": "float32"},
    }
    config = {"name": "m", "layers": [first, *middle], "input_layers": [["x", 0, 0]], "output_layers": [[output, 0, 0]]}
    return {"class_name": "Functional", "config": config}


def operation(name, function, node):
    kind = "SlicingOpLambda" if "getitem" in function else "TFOpLambda"
    return {
        "class_name": kind,
        "name": name,
        "inbound_nodes": [node],
        "config": {"name": name, "trainable": True, "dtype": "float32", "function": function},
    }


def layer(kind, name, source, **config):
    return {
        "class_name": kind,
        "name": name,
        "inbound_nodes": [[[source, 0, 0, {}]]],
        "config": dict(config, name=name),
    }


def loaded(tmp_path, record):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(record))
    return load_model_file(path)


def part(start=None, stop=None, step=None):
    return {"start": start, "stop": stop, "step": step}


@pytest.mark.parametrize(
    "key, shape",
    [
        ([part(), part(1, 5, 2)], (2, 5, 4)),
        ([{"class_name": "__ellipsis__"}, part(-2)], (6, 5, 2)),
        ([part(), 0], (5, 4)),
        ([part(), part(), -1, part(1)], (6, 3)),
        ([part(), 2, 3, 1], (1,)),
    ],
)
def test_parts_of_tensors_have_the_shapes_of_numpy(tmp_path, key, shape):
    record = description(operation("p", "__operators__.getitem", ["x", 0, 0, {"slice_spec": key}]), output="p")
    network = loaded(tmp_path, record).network
    assert network.shapes[network.output] == shape


@pytest.mark.parametrize(
    "function, node, said",
    [
        ("io.write_file", ["x", 0, 0, {"contents": "y"}], "the operation 'io.write_file' is not supported; nearest: "),
        ("sparse.add", ["x", 0, 0, {"y": ["x", 0, 0]}], "'sparse.add' is not supported"),
        ("math.erf", ["x", 0, 0, {"name": None}], "'math.erf' is not supported"),
        ("math.add", ["x", 0, 0, {"y": "text"}], "constant 'text'; supported: numbers"),
        ("math.add", ["x", 0, 0, {"y": 1e999}], "constant inf; supported: numbers"),
        ("math.divide", ["x", 0, 0, {"y": 0.0}], "by 0"),
        ("math.add", ["x", 0, 0, {"y": 1.0, "odd": 2}], "called with odd=2"),
        ("concat", [["x", 0, 0, {"axis": 0}], ["x", 0, 0, {"axis": 0}]], "axis"),
        ("clip_by_value", ["x", 0, 0, {"clip_value_min": 1.0}], "clips to .1.0.; supported: two numbers"),
        ("clip_by_value", ["x", 0, 0, {"clip_value_min": 2, "clip_value_max": 1}], "the lower one first"),
        ("cast", ["x", 0, 0, {"dtype": "int32"}], "converts to 'int32'; supported: float32"),
        ("reshape", ["x", 0, 0, {"shape": [5, -1]}], "keeps the batch"),
        ("math.reduce_mean", ["x", 0, 0, {"axis": [0]}], "axes from 1 to 3, or below 0"),
        ("nn.relu", ["_CONSTANT_VALUE", -1, 1.0, {}], "at least one layer"),
        ("__operators__.getitem", ["x", 0, 0, {"slice_spec": [0]}], "part of the batch"),
        ("__operators__.getitem", ["x", 0, 0, {"slice_spec": [part(), part(None, None, -1)]}], "with the step -1"),
        ("__operators__.getitem", ["x", 0, 0, {"slice_spec": [part("a")]}], "it selects the part"),
        (7, ["x", 0, 0, {}], "'7' is not supported"),
    ],
)
def test_operations_that_are_refused(tmp_path, function, node, said):
    own = operation("bad", "", node)
    own["config"]["function"] = function
    if function == "__operators__.getitem":
        own["class_name"] = "SlicingOpLambda"
    with pytest.raises(NetworkError, match="'bad'") as caught:
        loaded(tmp_path, description(own, output="bad"))
    assert caught.match(said)


@pytest.mark.parametrize(
    "node",
    [
        {"class_name": "Lambda", "module": "keras.src.ops.numpy", "config": {"name": "x", "function": "add"}},
        {"class_name": "Lambda", "config": {"name": "x"}, "inbound_nodes": [{"args": []}]},
        {"class_name": "TFOpLambda", "config": {"name": "x", "function": "io.write_file"}},
        {"class_name": "TFOpLambda", "config": "add"},
        {"class_name": "eval", "module": "keras.ops", "config": {}},
    ],
)
def test_code_is_not_hidden_by_the_form_of_an_operation(node):
    assert describes_code(description(node, output="x"))


def test_operations_are_not_code():
    node = {"class_name": "Add", "module": "keras.src.ops.numpy", "config": {"name": "x"}}
    record = description(node, operation("y", "nn.relu", ["x", 0, 0, {}]), output="y")
    assert not describes_code(record)


def test_all_refusals_are_listed_at_once(tmp_path):
    record = description(
        layer("ConvLSTM2D", "a", "x"),
        layer("ConvLSTM2D", "b", "a"),
        layer("Flatten", "c", "b", data_format="channels_first"),
        layer("Softmax", "d", "c", odd=3, also={"a": 1}),
        operation("e", "math.erf", ["d", 0, 0, {}]),
        output="e",
    )
    with pytest.raises(NetworkError) as caught:
        loaded(tmp_path, record)
    text = str(caught.value)
    assert "5 layers cannot be imported: layers 'a', 'b' (ConvLSTM2D): it is recurrent, " in text
    assert "layer 'c' (Flatten): its images have channels first" in text
    assert "layer 'd' (Softmax): setting odd (= 3) is unknown" in text and "setting also (= {'a': 1})" in text
    assert "layer 'e' (TFOpLambda): the operation 'math.erf'" in text


def test_refusals_come_before_the_question_about_code(tmp_path):
    code = layer("Lambda", "code", "x", function=["x", None, None])
    with pytest.raises(CodeRefused):
        loaded(tmp_path, description(code, output="code"))
    with pytest.raises(NetworkError, match="'a' .ConvLSTM2D.: it is recurrent") as caught:
        loaded(tmp_path, description(code, layer("ConvLSTM2D", "a", "code"), output="a"))
    assert not isinstance(caught.value, CodeRefused)


def test_unknown_settings_without_a_value_are_neutral(tmp_path):
    record = description(
        layer("Conv2D", "c", "x", filters=3, kernel_size=[1, 1], use_bias=1, brand_new=None, newer=False), output="c"
    )
    assert loaded(tmp_path, record).network.layer("c").use_bias is True


def test_mixed_precision_is_noted(tmp_path):
    policy = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    record = description(layer("Flatten", "flat", "x", dtype=policy), output="flat")
    assert "of mixed precision in Keras, but computed in float32 here: 'flat'" in loaded(tmp_path, record).notes
    record = description(layer("Flatten", "flat", "x", dtype="float64"), output="flat")
    with pytest.raises(NetworkError, match="dtype is 'float64', while .* float32; nearest: .*converted"):
        loaded(tmp_path, record)


@pytest.mark.parametrize(
    "function, body",
    [
        ("hard_sigmoid", lambda x: tf.nn.relu6(x + 3.0) / 6.0),
        ("hard_sigmoid", lambda x: layers.ReLU(6.0)(x + 3.0) * (1 / 6)),
        ("hard_swish", lambda x: x * (tf.nn.relu6(x + 3.0) / 6.0)),
        ("hard_swish", lambda x: layers.Multiply()([layers.ReLU(6.0)(x + 3.0) * (1 / 6), x])),
        ("hard_swish", lambda x: tf.nn.relu6(x + 3.0) * x / 6.0),
        ("swish", lambda x: layers.Multiply()([layers.Activation("sigmoid")(x), x])),
        ("swish", lambda x: x * tf.nn.sigmoid(x)),
    ],
)
def test_functions_that_a_model_spells_are_one_layer(function, body):
    imported = imported_exactly(functional(lambda x: layers.Conv2D(3, 3)(body(layers.Conv2D(4, 3)(x)))))
    assert [layer.kind for layer in imported.network.layers] == ["Conv2D", "Activation", "Conv2D"]
    layer = imported.network.layers[1]
    assert layer.function == function
    assert layer.slope == (pytest.approx(1 / 6) if function == "hard_sigmoid" else None)
    note = f"the layers of a {function} are imported as one, with the name of the last: {layer.name!r}"
    assert note in imported.notes


@pytest.mark.parametrize(
    "body",
    [
        lambda x: tf.nn.relu6(x + 2.0) / 6.0,
        lambda x: tf.nn.relu6(x + 3.0) / 5.0,
        lambda x: tf.nn.relu(x + 3.0) / 6.0,
        lambda x: tf.nn.sigmoid(x) * tf.nn.relu(x),
    ],
)
def test_other_functions_remain_as_they_are(body):
    imported = imported_exactly(functional(lambda x: layers.Conv2D(3, 3)(body(layers.Conv2D(4, 3)(x)))))
    assert not any("imported as one," in note for note in imported.notes)


def test_parts_of_functions_that_are_used_elsewhere_remain():
    def body(x):
        shifted, gate = layers.Conv2D(4, 3)(x) + 3.0, layers.Conv2D(4, 3, activation="sigmoid")(x)
        six = tf.nn.relu6(shifted)
        return layers.Concatenate()([six / 6.0, six, shifted, gate * layers.Activation("sigmoid")(gate), six * shifted])

    found = [
        layer.function for layer in imported_exactly(functional(body)).network.layers if layer.kind == "Activation"
    ]
    assert found == ["sigmoid", "swish"]


@pytest.mark.parametrize(
    "node",
    [
        ["x", 0, 0, {"clip_value_min": -4.0, "clip_value_max": 5}],
        ["x", 0, 0, {"clip_value_max": 5, "clip_value_min": -4.0, "name": None}],
    ],
)
def test_a_clip_is_a_function(tmp_path, node):
    imported = loaded(tmp_path, description(operation("c", "clip_by_value", node), output="c"))
    layer = imported.network.layer("c")
    assert (layer.kind, layer.function, layer.threshold, layer.maximum) == ("Activation", "clip", -4, 5)
    assert layer.values([-9, -4, 0.5, 5, 6]).tolist() == [-4, -4, 0.5, 5, 5]


@pytest.mark.parametrize(
    "body, kinds",
    [
        (lambda x: tf.clip_by_value(x, -0.5, 1.5), ["Activation"]),
        (lambda x: tf.minimum(tf.maximum(x, -0.5), 1.5), ["Activation"]),
        (lambda x: tf.maximum(x, 0.25), ["Activation"]),
        (lambda x: tf.minimum(1.5, x), ["Activation"]),
        (lambda x: tf.maximum(x, 0.0), ["ReLU"]),
        (lambda x: tf.clip_by_value(x, 0.0, 6.0), ["ReLU6"]),
        (lambda x: tf.maximum(tf.maximum(x, -1.0), -2.0), ["Activation", "Activation"]),
        (lambda x: x * tf.clip_by_value(x + 3.0, 0.0, 6.0) / 6.0, ["Activation"]),
        (lambda x: tf.reshape(x, (-1, 9, 2, 20)), ["Reshape"]),
        (lambda x: tf.nn.leaky_relu(x, 0.15), ["Activation"]),
        (lambda x: tf.stack([x, x], -1), ["Reshape", "Reshape", "Concat"]),
    ],
)
def test_operations_of_tensorflow_1(body, kinds):
    imported = imported_exactly(functional(lambda x: layers.Flatten()(body(layers.Conv2D(4, 3, padding="same")(x)))))
    assert [layer.kind for layer in imported.network.layers if layer.kind != "Conv2D"][: len(kinds)] == kinds


@pytest.mark.parametrize(
    "split",
    [
        lambda x: tf.split(x, 2, axis=-1),
        lambda x: tf.split(x, [3, 2, 4], axis=1),
        lambda x: tf.unstack(x, axis=2),
        lambda x: tf.unstack(x, axis=-1),
    ],
)
def test_splits_of_tensorflow_1(split):
    def body(x):
        parts = split(layers.Conv2D(4, 3, padding="same")(x))
        flat = [layers.Flatten()(part) for part in parts[::-1]]
        return layers.Dense(3)(tf.concat(flat, axis=1))

    imported = imported_exactly(functional(body))
    assert [layer.kind for layer in imported.network.layers].count("Slice") >= 2


def test_attributes_that_a_lambda_does_not_have_are_not_guessed():
    def body(x):
        return layers.Lambda(lambda y: tf.nn.leaky_relu(y, 0.1), name="leaky")(layers.Conv2D(4, 3)(x))

    with fresh_keras(), pytest.raises(NetworkError, match="'leaky'.*the description has no alpha of its operation"):
        import_model(functional(body)())


@pytest.mark.parametrize(
    "function, settings, outputs",
    [
        ("split", {"num_or_size_splits": 2, "axis": -1}, 2),
        ("split", {"num_or_size_splits": [1, -1, 2], "axis": 1}, 3),
        ("unstack", {"axis": 2}, 5),
        ("unstack", {"axis": -1}, 4),
    ],
)
def test_each_output_of_a_split_is_a_layer(tmp_path, function, settings, outputs):
    parts = [layer("Flatten", f"flat{k}", "s") for k in range(outputs)]
    for k, record in enumerate(parts):
        record["inbound_nodes"][0][0][2] = k
    joined = layer("Concatenate", "joined", "flat0", axis=-1)
    joined["inbound_nodes"] = [[[f"flat{k}", 0, 0, {}] for k in reversed(range(outputs))]]
    record = description(operation("s", function, ["x", 0, 0, settings]), *parts, joined, output="joined")
    imported = loaded(tmp_path, record)
    shown = images_for(imported.network)
    with tf.Graph().as_default(), tf.Session() as session:
        found = getattr(tf, function)(tf.constant(shown), **settings)
        expected = session.run(tf.concat([tf.reshape(one, (len(shown), -1)) for one in reversed(found)], -1))
    np.testing.assert_array_equal(plain_output(imported, shown), expected)


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"num_or_size_splits": 3, "axis": -1}, "it splits 4 elements into 3"),
        ({"num_or_size_splits": [1, 1], "axis": 3}, "it splits 4 elements into"),
        ({"num_or_size_splits": 2, "axis": 0}, "axis"),
        ({"num_or_size_splits": 2, "axis": 4}, "axis"),
        ({"num_or_size_splits": "a", "axis": 1}, "it splits 6 elements"),
    ],
)
def test_splits_that_are_refused(tmp_path, settings, said):
    record = description(operation("bad", "split", ["x", 0, 0, settings]), output="bad")
    with pytest.raises(NetworkError, match="'bad'.*" + said):
        loaded(tmp_path, record)


def test_an_output_that_an_operation_does_not_have_is_refused(tmp_path):
    for function, settings, number in (("split", {"num_or_size_splits": 2, "axis": -1}, 2), ("nn.relu", {}, 1)):
        flat = layer("Flatten", "flat", "bad")
        flat["inbound_nodes"][0][0][2] = number
        record = description(operation("bad", function, ["x", 0, 0, settings]), flat, output="flat")
        with pytest.raises(NetworkError, match="bad"):
            loaded(tmp_path, record)
