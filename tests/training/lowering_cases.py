"""Networks in a plain graph, and their references: the same layers in tf.keras, or integer arithmetic in NumPy."""

import numpy as np
import tensorflow.compat.v1 as tf

from qatviz.network.plan import quantization_plan
from qatviz.quant import live_state
from qatviz.quant.live import Modes
from qatviz.settings import RunSettings, quantizer_settings
from qatviz.training.lowering.forward_pass import lower
from qatviz.training.parameters import is_trainable


def random_parameters(network, seed=0):
    """Return parameters that differ from their initial values, including biases and moving statistics."""
    random = np.random.RandomState(seed)
    values = {}
    for layer in network.layers:
        for name, shape in network.parameter_shapes(layer.name).items():
            value = (
                random.uniform(0.5, 1.5, shape)
                if name in ("gamma", "moving_variance")
                else random.standard_normal(shape)
            )
            if name == "weights":
                value = value / np.sqrt(np.prod(shape[:-1]))
            values[f"{layer.name}.{name}"] = value.astype(np.float32)
    return values


def settings_of(plan, enabled=True, weights=None, activations=None):
    """Return the settings of every group."""
    own = {"weights": weights or {}, "activations": activations or {}}
    leaders = [plan.tensors[members[0]] for members in plan.groups]
    return [quantizer_settings(t.kind, t.name, **dict({"enabled": enabled}, **own[t.kind])) for t in leaders]


def state_arrays(plan, settings, ranges=None, run=RunSettings()):
    """Return the arrays of the live quantizers, with ranges of activations by tensor name (default -4 to 4)."""
    place = live_state.layout(plan)
    state = dict(live_state.initial_ranges(place), **live_state.settings_arrays(place, settings, run, 0))
    for index, group in enumerate(place.activations):
        low, high = (ranges or {}).get(place.leaders[group].name, (-4.0, 4.0))
        state["range_min"][index], state["range_max"][index] = low, high
    return state


class LoweredNetwork:
    """A network lowered with placeholders for its parameters and its state."""

    def __init__(self, network, training=False, images=None):
        self.network, self.plan = network, quantization_plan(network)
        self.images = tf.placeholder(tf.float32, (None, *network.input_shape)) if images is None else images
        parameters = random_parameters(network)
        state = state_arrays(self.plan, settings_of(self.plan))
        self.parameters = {name: tf.placeholder_with_default(value, value.shape) for name, value in parameters.items()}
        self.state = {name: tf.placeholder(value.dtype, value.shape) for name, value in state.items()}
        self.modes = (
            None if training else Modes(tf.placeholder_with_default(True, []), tf.placeholder_with_default(True, []))
        )
        normed = sum(unit.batch_norm is not None for unit in self.plan.units)
        self.frozen = tf.placeholder_with_default(np.zeros(normed, bool), [normed]) if training else None
        self.single = tf.placeholder_with_default(False, [])
        self.step = tf.placeholder_with_default(0, [])
        self.lowered = lower(
            network,
            self.plan,
            self.images,
            self.parameters,
            self.state,
            training,
            self.frozen,
            tf.stack([7, self.step]) if training else None,
            self.modes,
            single_convolution=self.single,
        )
        self.trainable = [name for name in parameters if is_trainable(name)]

    def feeds(self, images, state, parameters=None, **flags):
        fed = {self.images: images}
        fed.update({self.state[name]: value for name, value in state.items()})
        fed.update({self.parameters[name]: value for name, value in (parameters or {}).items()})
        if "weights" in flags:
            fed.update({self.modes.weights: flags["weights"], self.modes.activations: flags["activations"]})
        if "single" in flags:
            fed[self.single] = flags["single"]
        if "frozen" in flags:
            fed[self.frozen] = np.full(self.frozen.shape.as_list(), flags["frozen"])
        return fed


def _keras_function(layers, layer):
    """Return Keras' own layer of an Activation."""
    form = layer.definition.keras(layer.parameters)
    return getattr(layers, form.kind)(**form.settings)


def _grouped(layers, layer, settings, weights, bias=None):
    """Return a function that computes each group in a Conv2D of its own."""
    fixed = tf.constant_initializer

    def make(x):
        parts = []
        for group in range(layer.groups):
            own = slice(group * layer.filters // layer.groups, (group + 1) * layer.filters // layer.groups)
            conv = layers.Conv2D(
                layer.filters // layer.groups,
                layer.kernel_size,
                dilation_rate=layer.dilation,
                kernel_initializer=fixed(weights[..., own]),
                bias_initializer=None if bias is None else fixed(bias[own]),
                **settings,
            )
            taken = weights.shape[2]
            parts.append(conv(x[..., group * taken : (group + 1) * taken]))
        return layers.Concatenate()(parts)

    return make


def keras_network(network, parameters, images):
    """Return the network's output tensor, built of tf.keras layers; run their initializers first."""
    layers = tf.keras.layers
    outputs = {"input": images}
    for layer in network.layers:
        inputs = [outputs[name] for name in layer.inputs]
        fixed = {
            name: tf.constant_initializer(parameters[f"{layer.name}.{name}"])
            for name in network.parameter_shapes(layer.name)
        }
        same = {
            name: getattr(layer, name)
            for name in ("strides", "padding", "pool_size", "use_bias")
            if hasattr(layer, name)
        }
        if layer.kind == "Conv2D":
            make = layers.Conv2D(
                layer.filters,
                layer.kernel_size,
                dilation_rate=layer.dilation,
                kernel_initializer=fixed["weights"],
                bias_initializer=fixed.get("bias"),
                **same,
            )
        elif layer.kind == "GroupedConv2D":
            make = _grouped(layers, layer, same, *(parameters[f"{layer.name}.{name}"] for name in fixed))
        elif layer.kind == "Conv2DTranspose":
            kernel = parameters[layer.name + ".weights"].swapaxes(2, 3)
            make = layers.Conv2DTranspose(
                layer.filters,
                layer.kernel_size,
                kernel_initializer=tf.constant_initializer(kernel),
                bias_initializer=fixed.get("bias"),
                **same,
            )
        elif layer.kind == "DepthwiseConv2D":
            make = layers.DepthwiseConv2D(
                layer.kernel_size,
                dilation_rate=layer.dilation,
                depth_multiplier=layer.depth_multiplier,
                depthwise_initializer=fixed["weights"],
                bias_initializer=fixed.get("bias"),
                **same,
            )
        elif layer.kind == "Dense":
            make = layers.Dense(
                layer.units, kernel_initializer=fixed["weights"], bias_initializer=fixed.get("bias"), **same
            )
        elif layer.kind == "BatchNorm":
            normalize = layers.BatchNormalization(
                epsilon=layer.epsilon,
                gamma_initializer=fixed["gamma"],
                beta_initializer=fixed["beta"],
                moving_mean_initializer=fixed["moving_mean"],
                moving_variance_initializer=fixed["moving_variance"],
            )
            outputs[layer.name] = normalize(inputs[0], training=False)
            continue
        else:
            make = {
                "ReLU": lambda: layers.ReLU(),
                "ReLU6": lambda: layers.ReLU(6.0),
                **dict.fromkeys(
                    ("Add", "Subtract", "Average", "Multiply", "Maximum", "Minimum"),
                    lambda kind=layer.kind: getattr(layers, kind)(),
                ),
                "MatMul": lambda: layers.Dot((2, 2 if layer.transpose_second else 1)),
                "MaxPool": lambda: layers.MaxPooling2D(**same),
                "AveragePool": lambda: layers.AveragePooling2D(**same),
                "GlobalAveragePool": lambda: layers.GlobalAveragePooling2D(),
                "Flatten": lambda: layers.Flatten(),
                "Concat": lambda: layers.Concatenate(layer.axis + 1 if layer.axis >= 0 else layer.axis),
                "Reshape": lambda: layers.Reshape(layer.target_shape),
                "ZeroPad": lambda: layers.ZeroPadding2D(layer.padding),
                "Slice": lambda: layers.Lambda(lambda x, layer=layer: x[(slice(None), *layer.slices)]),
                "Permute": lambda: layers.Permute([axis + 1 for axis in layer.axes]),
                "UpsampleBilinear": lambda: layers.UpSampling2D(layer.size, interpolation="bilinear"),
                "UpsampleNearest": lambda: layers.UpSampling2D(layer.size),
                "Dropout": lambda: layers.Dropout(layer.rate),
                "Softmax": lambda: layers.Activation("linear"),
                "Activation": lambda: _keras_function(layers, layer),
            }[layer.kind]()
        outputs[layer.name] = make(inputs if len(inputs) > 1 else inputs[0])
    return outputs[network.output]
