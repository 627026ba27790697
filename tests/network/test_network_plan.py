"""Quantization plan: units, tensors, grids and groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from network_strategies import RELAXED, networks

from qatviz.errors import NetworkError
from qatviz.network import (
    Add,
    AveragePool,
    BatchNorm,
    Concat,
    Conv2D,
    Conv2DTranspose,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    Network,
    NetworkBuilder,
    Permute,
    ReLU,
    ReLU6,
    Reshape,
    Slice,
    Softmax,
    UpsampleBilinear,
    UpsampleNearest,
    ZeroPad,
    quantization_plan,
)

WEIGHTED = (Conv2D, Conv2DTranspose, DepthwiseConv2D, Dense)
QUANTIZED = (*WEIGHTED, Add, GlobalAveragePool, AveragePool, Concat, UpsampleBilinear)
PASSING = (MaxPool, Flatten, Reshape, ZeroPad, Dropout, ReLU, ReLU6, Slice, Permute, UpsampleNearest)


@RELAXED
@given(networks())
def test_every_layer_is_in_exactly_one_unit(network):
    units = quantization_plan(network).units
    parts = [layer for unit in units for layer in unit.layers]
    assert len(parts) == len(network.layers) and set(parts) == set(network.layers)


@RELAXED
@given(networks())
def test_units_are_ordered_and_their_inputs_are_outputs_of_units(network):
    outputs = {"input"}
    for unit in quantization_plan(network).units:
        assert unit.name == unit.op.name and unit.inputs == unit.op.inputs and outputs.issuperset(unit.inputs)
        for before, after in zip(unit.layers, unit.layers[1:]):
            assert after.inputs == (before.name,) and network.consumers(before.name) == (after.name,)
        assert unit.output == unit.layers[-1].name
        outputs.add(unit.output)
    assert network.output in outputs


@RELAXED
@given(networks())
def test_every_possible_folding_and_fusion_is_applied(network):
    units = quantization_plan(network).units
    by_output = {unit.output: unit for unit in units}
    for unit in units:
        assert not isinstance(unit.op, BatchNorm)
        if isinstance(unit.op, (ReLU, ReLU6)):
            source = by_output.get(unit.inputs[0])
            assert (
                source is None
                or source.activation is not None
                or not isinstance(source.op, (*WEIGHTED, Add))
                or len(network.consumers(source.output)) > 1
            )


@RELAXED
@given(networks())
def test_tensors_are_named_and_ordered_by_unit(network):
    plan = quantization_plan(network)
    expected = ["input.activations"]
    for unit in plan.units:
        expected += [unit.name + ".weights"] if isinstance(unit.op, WEIGHTED) else []
        expected += [unit.name + ".activations"] if isinstance(unit.op, QUANTIZED) else []
    assert [tensor.name for tensor in plan.tensors] == expected
    for index, tensor in enumerate(plan.tensors):
        assert tensor.name in plan and plan.index(tensor.name) == index and plan.tensor(tensor.name) is tensor
        assert tensor.name == f"{tensor.layer}.{tensor.kind}"


@RELAXED
@given(networks())
def test_tensors_have_the_attributes_of_their_layers(network):
    plan = quantization_plan(network)
    units = {unit.name: unit for unit in plan.units}
    for tensor in plan.tensors:
        if tensor.kind == "weights":
            assert tensor.shape == network.parameter_shapes(tensor.layer)["weights"]
            assert tensor.parameters == np.prod(tensor.shape)
            assert tensor.num_channels == np.prod(tensor.shape[tensor.channel_axis :])
            assert tensor.num_channels == network.shapes[tensor.layer][-1]
            assert tensor.group == tensor.name
        else:
            output = "input" if tensor.layer == "input" else units[tensor.layer].output
            assert tensor.shape == network.shapes[output]
            assert (tensor.num_channels, tensor.channel_axis, tensor.parameters) == (1, None, 0)
        assert tensor.op_kind == ("Input" if tensor.layer == "input" else units[tensor.layer].op.kind)


@RELAXED
@given(networks())
def test_a_grid_is_kept_until_new_values_are_computed(network):
    plan = quantization_plan(network)
    assert plan.grid_of("input") == "input.activations"
    for unit in plan.units:
        if isinstance(unit.op, Softmax):
            with pytest.raises(NetworkError, match=repr(unit.name)):
                plan.grid_of(unit.name)
            continue
        grid = plan.grid_of(unit.inputs[0]) if isinstance(unit.op, PASSING) else unit.name + ".activations"
        assert {plan.grid_of(layer.name) for layer in unit.layers} == {grid}


@RELAXED
@given(networks())
def test_groups_partition_the_tensors(network):
    plan = quantization_plan(network)
    assert sorted(index for group in plan.groups for index in group) == list(range(len(plan.tensors)))
    assert list(plan.groups) == sorted(plan.groups) and all(list(group) == sorted(group) for group in plan.groups)
    for group in plan.groups:
        assert {plan.tensors[index].group for index in group} == {plan.tensors[group[0]].name}


@RELAXED
@given(networks())
def test_groups_are_formed_by_pools_interpolation_and_concats_only(network):
    plan = quantization_plan(network)
    ties = {tensor.name: set() for tensor in plan.tensors}
    for unit in plan.units:
        if isinstance(unit.op, (AveragePool, UpsampleBilinear, Concat)):
            for source in unit.inputs:
                ties[plan.grid_of(source)].add(unit.name + ".activations")
                ties[unit.name + ".activations"].add(plan.grid_of(source))
    for tensor in plan.tensors:
        reached, waiting = {tensor.name}, [tensor.name]
        while waiting:
            new = ties[waiting.pop()] - reached
            reached |= new
            waiting += new
        assert reached == {other.name for other in plan.tensors if other.group == tensor.group}


@RELAXED
@given(networks(), st.integers(0, 2**32 - 1))
def test_tensors_are_nonnegative_exactly_if_they_cannot_be_below_zero(network, seed):
    """Every tensor is replaced by a thousand random elements, every layer by its effect on their signs."""
    random = np.random.RandomState(seed)
    values = {"input": random.standard_normal(1000)}
    for layer in network.layers:
        inputs = [values[name] for name in layer.inputs]
        if isinstance(layer, (ReLU, ReLU6)):
            values[layer.name] = np.maximum(inputs[0], 0)
        elif isinstance(layer, Add):
            values[layer.name] = sum(inputs)
        elif isinstance(layer, Concat):
            values[layer.name] = np.minimum.reduce(inputs)
        elif isinstance(layer, (*WEIGHTED, BatchNorm)):
            values[layer.name] = random.standard_normal(1000)
        elif isinstance(layer, Softmax):
            values[layer.name] = np.exp(inputs[0])
        else:
            values[layer.name] = inputs[0]
    plan = quantization_plan(network)
    outputs = dict({unit.name: unit.output for unit in plan.units}, input="input")
    for tensor in plan.tensors:
        if tensor.kind == "activations":
            assert tensor.nonnegative == (values[outputs[tensor.layer]].min() >= 0), tensor.name
        else:
            assert not tensor.nonnegative


def test_a_residual_block():
    net = NetworkBuilder("net", (8, 8, 4))
    net.add(Conv2D, "stem", filters=4, use_bias=False)
    net.add(BatchNorm, "stem_bn")
    shortcut = net.add(ReLU, "stem_relu")
    net.add(Conv2D, "body", filters=4)
    net.add(Add, "sum", (net.last, shortcut))
    net.add(ReLU6, "sum_relu")
    net.add(Flatten, "flat")
    net.add(Dense, "logits", units=2)
    plan = quantization_plan(net.network())
    assert [(unit.name, unit.output, unit.inputs) for unit in plan.units] == [
        ("stem", "stem_relu", ("input",)),
        ("body", "body", ("stem_relu",)),
        ("sum", "sum_relu", ("body", "stem_relu")),
        ("flat", "flat", ("sum_relu",)),
        ("logits", "logits", ("flat",)),
    ]
    assert [tensor.name for tensor in plan.tensors] == [
        "input.activations",
        "stem.weights",
        "stem.activations",
        "body.weights",
        "body.activations",
        "sum.activations",
        "logits.weights",
        "logits.activations",
    ]
    # The shortcut is one tensor with one quantizer, and Add leaves each of its inputs its own.
    assert plan.grid_of("stem_relu") == "stem.activations" and len(plan.groups) == len(plan.tensors)
    assert plan.grid_of("flat") == "sum.activations"
    assert [tensor.name for tensor in plan.tensors if tensor.nonnegative] == ["stem.activations", "sum.activations"]


def test_an_activation_is_not_fused_into_a_layer_with_other_consumers():
    net = NetworkBuilder("net", (4, 4, 2))
    conv = net.add(Conv2D, "conv", filters=2)
    net.add(ReLU6, "clipped")
    net.add(Add, "sum", ("clipped", conv))
    plan = quantization_plan(net.network())
    assert [unit.name for unit in plan.units] == ["conv", "clipped", "sum"]
    assert plan.grid_of("clipped") == "conv.activations" and not plan.tensor("conv.activations").nonnegative


def test_concats_that_share_an_input_share_one_grid():
    net = NetworkBuilder("net", (4, 4, 2))
    a, b, c = (net.add(Conv2D, name, "input", filters=2) for name in "abc")
    pooled = net.add(MaxPool, "pool", b, pool_size=2)
    left = net.add(Concat, "left", (a, b))
    small = net.add(MaxPool, "small", c, pool_size=2)
    right = net.add(Concat, "right", (pooled, small))
    average = net.add(AveragePool, "average", left)
    net.add(Add, "sum", (average, right))
    plan = quantization_plan(net.network())
    grouped = {tensor.name: tensor.group for tensor in plan.tensors if tensor.kind == "activations"}
    shared = "a.activations"
    assert grouped == {
        "input.activations": "input.activations",
        "a.activations": shared,
        "b.activations": shared,
        "c.activations": shared,
        "left.activations": shared,
        "right.activations": shared,
        "average.activations": shared,
        "sum.activations": "sum.activations",
    }


def test_a_pool_on_the_input_shares_the_inputs_grid():
    plan = quantization_plan(Network("net", (4, 4, 1), [AveragePool("pool", "input")]))
    assert plan.groups == ((0, 1),) and plan.grid_of("pool") == "pool.activations"
    assert quantization_plan(Network("net", (4, 4, 1), [GlobalAveragePool("gap", "input")])).groups == ((0,), (1,))


@pytest.mark.parametrize("multiplier", [1, 3])
def test_channels_of_depthwise_weights_are_the_last_two_axes(multiplier):
    network = Network("net", (4, 4, 2), [DepthwiseConv2D("dw", "input", depth_multiplier=multiplier)])
    tensor = quantization_plan(network).tensor("dw.weights")
    assert (tensor.shape, tensor.num_channels, tensor.channel_axis) == ((3, 3, 2, multiplier), 2 * multiplier, 2)


def test_an_unknown_tensor_or_layer_is_an_error_that_lists_the_others():
    plan = quantization_plan(Network("net", (4, 4, 1), [MaxPool("pool", "input")]))
    for ask in (plan.index, plan.tensor):
        with pytest.raises(NetworkError, match="quantized tensor is 'pool.activations'; allowed: input.activations"):
            ask("pool.activations")
    with pytest.raises(NetworkError, match="layer with a quantized output is 'pol'; allowed: input, pool"):
        plan.grid_of("pol")
