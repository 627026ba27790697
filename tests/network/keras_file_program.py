"""Program that saves small models of random weights with the Keras it runs in, in all formats of that version.

    python keras_file_program.py MODULE FOLDER [v2]

MODULE is the module of Keras: "keras", "tf_keras" or "tensorflow.keras". Beside each model, NAME.npz has inputs "x" and
the outputs "y" that this Keras predicts. The program runs in Python 3.7 and later, outside of the tests' environment.
"""

import importlib
import importlib.util
import os
import sys

import numpy as np

SHAPE = (8, 9, 3)


def sequence(keras):
    """Return a Sequential of the common layers."""
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Conv2D(4, 3, padding="same", use_bias=False, input_shape=SHAPE, name="first"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.25),
            layers.DepthwiseConv2D(3, strides=2),
            layers.BatchNormalization(scale=False),
            layers.ReLU(6.0),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, activation="relu"),
            layers.Dense(3, activation="softmax", name="last"),
        ],
        name="sequence",
    )


def graph(keras):
    """Return a functional model with branches, a nested model, frozen layers, and a layer that is called twice."""
    layers = keras.layers
    image = layers.Input(SHAPE, name="image")
    inner = keras.models.Sequential(
        [
            layers.Conv2D(4, 1, input_shape=(4, 5, 4)),
            layers.BatchNormalization(),
            layers.Conv2D(4, 3, padding="same", activation="relu"),
        ],
        name="inner",
    )
    inner.layers[-2].trainable = False
    relu = layers.ReLU(name="twice")
    x = layers.SeparableConv2D(4, 3, padding="same", strides=2)(image)
    y = layers.Conv2D(4, 3, strides=2, name="own/name" if keras.__name__ == "tensorflow.keras" else "own_name")(
        layers.ZeroPadding2D(((0, 1), (1, 1)))(image)
    )
    x = layers.Add()([inner(relu(x)), relu(y)])
    x = layers.Concatenate()([layers.MaxPooling2D()(x), layers.AveragePooling2D(2)(x)])
    frozen = layers.Dense(4, trainable=False)
    return keras.models.Model(image, layers.Dense(2)(frozen(layers.Flatten()(x))), name="graph")


def operators(keras):
    """Return a functional model with operations between layers, scalings, and layers of augmentation."""
    layers = keras.layers
    if hasattr(keras, "ops"):
        relu, relu6, concat, mean = keras.ops.relu, keras.ops.relu6, keras.ops.concatenate, keras.ops.mean
    else:
        import tensorflow as tf

        relu, relu6, concat, mean = tf.nn.relu, tf.nn.relu6, tf.concat, tf.reduce_mean
    image = layers.Input(SHAPE, name="image")
    augment = keras.models.Sequential(
        [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.2)], name="augment"
    )
    x = layers.Rescaling(1 / 127.5, offset=-1)(augment(image))
    adapted = layers.Normalization()
    adapted.adapt(np.random.RandomState(2).standard_normal((50, *SHAPE)) * [1, 2, 3] + 1)
    stated = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 1.5, 2.5])
    y = keras.applications.vgg16.preprocess_input(image)[:, 1:7, ..., 1:]
    y = layers.Conv2D(4, 3, strides=2, padding="same")(keras.applications.mobilenet.preprocess_input(y))
    x = layers.Conv2D(4, (3, 3), strides=2)(layers.ZeroPadding2D(((0, 0), (1, 1)))(stated(adapted(x))))
    z = relu6(relu(x) + y)
    z = concat([z, 1.0 - y / 2.0], axis=-1) * 0.5
    z = layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(z)) + mean(z, [1, 2])
    return keras.models.Model(image, layers.Dense(3)(z), name="operators")


def transformer(keras):
    """Return a small vision transformer: patches, positions, blocks of attention with layer normalization, a mean."""
    layers = keras.layers
    image = layers.Input(SHAPE, name="image")
    x = layers.Reshape((12, 6))(layers.Conv2D(6, (2, 3), strides=(2, 3))(image))
    x = x + np.random.RandomState(3).standard_normal((12, 6)).astype(np.float32)
    for index in range(2):
        y = layers.LayerNormalization(epsilon=1e-6 if index else 1e-3, center=not index)(x)
        settings = {"value_dim": 5, "use_bias": False} if index else {"dropout": 0.1}
        attention = layers.MultiHeadAttention(num_heads=2, key_dim=3, name=f"attention{index}", **settings)
        y = attention(y, layers.Dense(4)(y), key=layers.Dense(4)(y)) if index else attention(y, y)
        x = layers.Add()([x, y])
        y = layers.Dense(8, activation="elu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(6)(y)])
    unit = layers.UnitNormalization()(x)
    similar = layers.Dot(axes=(2, 2))([unit, unit])
    if hasattr(keras, "ops"):
        mixed, mean = keras.ops.matmul(similar, x), keras.ops.mean(x, axis=-1)
    else:
        import tensorflow as tf

        mixed, mean = tf.matmul(similar, x), tf.reduce_mean(x, axis=-1)
    plain = layers.Attention()([mixed, x])
    joined = layers.Concatenate()([layers.GlobalAveragePooling1D()(plain), mean])
    return keras.models.Model(image, layers.Dense(3)(joined), name="transformer")


def recurrent(keras):
    """Return a functional model of all recurrent layers, in both directions and for each element of a sequence."""
    layers = keras.layers
    rows = layers.Input((5, 4), name="rows")
    x = layers.LSTM(3, return_sequences=True, recurrent_activation="sigmoid")(rows)
    x = layers.Bidirectional(layers.GRU(2, return_sequences=True, reset_after=True))(x)
    x = layers.TimeDistributed(layers.Dense(3, activation="relu"))(x)
    x = layers.Bidirectional(layers.LSTM(2), merge_mode="sum")(layers.SimpleRNN(3, return_sequences=True)(x))
    return keras.models.Model(rows, layers.Dense(2)(x), name="recurrent")


def inputs(keras):
    """Return a functional model with two inputs, one of which is read by a recurrent layer."""
    layers = keras.layers
    image, rows = layers.Input(SHAPE, name="image"), layers.Input((5, 4), name="rows")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, strides=2, activation="relu")(image))
    x = layers.Concatenate()([layers.GRU(3, reset_after=False)(rows), layers.BatchNormalization()(x)])
    return keras.models.Model([image, rows], layers.Dense(2)(x), name="inputs")


def plain(keras):
    """Return a Sequential of layers that tfmot supports."""
    layers = keras.layers
    return keras.models.Sequential(
        [
            layers.Conv2D(4, 3, padding="same", use_bias=False, input_shape=SHAPE),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.DepthwiseConv2D(3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )


def wrapped_by_tfmot(keras):
    """Return (name, model, its outputs) of models in the wrappers of TensorFlow's Model Optimization Toolkit.

    The outputs of a quantized model are those without its quantization: of the wrapped layers.
    """
    import tensorflow_model_optimization as tfmot

    own = randomized(plain(keras))
    quantized = tfmot.quantization.keras.quantize_model(own)
    pruned = tfmot.sparsity.keras.prune_low_magnitude(own)
    random = np.random.RandomState(3)
    for layer in pruned.layers:
        for weight in layer.weights:
            if "mask" in weight.name:
                weight.assign((random.uniform(size=weight.shape) < 0.6).astype(np.float32))
    return [("quantized", quantized, own.predict), ("pruned", pruned, pruned.predict)]


def randomized(model, seed=0):
    """Set all weights to random values that keep the outputs of all layers of the order of 1; return the model."""
    random = np.random.RandomState(seed)
    for layer in layers_of(model):
        values = [random_values(weight, random) for weight in layer.weights]
        layer.set_weights([np.asarray(value, np.float32) for value in values])
    return model


def layers_of(model):
    """Yield the layers of a model and of the models in it."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from layers_of(layer)
        else:
            yield layer


def random_values(weight, random):
    """Return values for a weight; a Normalization keeps what it was adapted to."""
    name = (getattr(weight, "path", None) or weight.name).split("/")[-1].split(":")[0]
    shape = tuple(int(axis) for axis in weight.shape)
    if name in ("mean", "variance", "count"):
        return weight.numpy()
    if name in ("gamma", "moving_variance"):
        return random.uniform(0.5, 1.5, shape)
    if "kernel" in name:
        fan_in = np.prod(shape[:2] if "depthwise" in name else shape[:-1])
        return random.standard_normal(shape) * np.sqrt(2.0 / fan_in)
    return random.standard_normal(shape) * 0.3


def write(save, path):
    """Write a file, unless this version of Keras fails to: 3.0 with a SeparableConv2D, tf_keras with ``x[..., 1:]``."""
    try:
        save(path)
    except (TypeError, ValueError) as error:
        print(f"{path}: {error}")
        if os.path.exists(path):
            os.remove(path)


def save(keras, model, folder, inputs, name=None, predict=None):
    """Save a model in all formats, and its outputs; nothing if this version of Keras cannot describe it.

    A list of several inputs is saved as rows with the values of all.
    """
    base = os.path.join(folder, name or model.name)
    newest = int(keras.__version__.split(".")[0]) >= 3
    try:
        description = model.to_json()
    except TypeError as error:  # 3.0 with ``x[..., 1:]``
        print(f"{base}: {error}")
        return
    write(model.save, base + ".h5")
    with open(base + ".json", "w") as file:
        file.write(description)
    model.save_weights(base + (".weights.h5" if newest else "-weights.h5"))
    if newest or keras.__name__ == "tf_keras":
        write(model.save, base + ".keras")
    if keras.__name__ == "tf_keras":
        model.save_weights(base + ".weights.h5")
    if keras.__name__ != "keras":
        save_with_tensorflow(keras, model, base)
    outputs = (predict or model.predict)(inputs)
    if isinstance(inputs, list):
        inputs = np.concatenate([values.reshape(len(values), -1) for values in inputs], axis=1)
    np.savez(base + ".npz", x=inputs, y=outputs)


def save_with_tensorflow(keras, model, base):
    """Save a model in the formats of TensorFlow."""
    import tensorflow as tf

    model.save_weights(base + "-weights.ckpt", save_format="tf")
    if tf.compat.v1.executing_eagerly():
        model.save(base + "-saved", save_format="tf")
    else:
        keras.experimental.export_saved_model(model, base + "-exported")
        tf.compat.v1.train.Saver().save(
            keras.backend.get_session(), base + "-weights-saver.ckpt", write_meta_graph=False
        )


def main(module, folder, behavior=""):
    """Save all models; with `behavior` "v2" as TensorFlow 2 does, which is possible in TensorFlow 1.15."""
    if behavior == "v2":
        importlib.import_module("tensorflow").compat.v1.enable_v2_behavior()
    keras = importlib.import_module(module)
    random = np.random.RandomState(1)
    os.makedirs(folder, exist_ok=True)
    images = random.standard_normal((3, *SHAPE)).astype(np.float32)
    rows = random.standard_normal((3, 5, 4)).astype(np.float32)
    for build, given in ((sequence, images), (graph, images), (recurrent, rows), (inputs, [images, rows])):
        save(keras, randomized(build(keras)), folder, given)
    if hasattr(keras.layers, "Rescaling"):
        save(keras, randomized(operators(keras)), folder, images * 50 + 100)
    if hasattr(keras.layers, "UnitNormalization"):
        save(keras, randomized(transformer(keras)), folder, images)
    if importlib.util.find_spec("tensorflow_model_optimization"):
        for name, model, predict in wrapped_by_tfmot(keras):
            save(keras, model, folder, images, name, predict)


if __name__ == "__main__":
    main(*sys.argv[1:])
