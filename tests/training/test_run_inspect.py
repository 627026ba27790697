"""The float values of one tensor on request equal those measured by the snapshot of the same step."""

import numpy as np
from small_runs import spec
from training_cases import Driver, assert_answers

from qatviz.protocol import events
from qatviz.protocol.commands import InspectTensor
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, Snapshot, TensorValues
from qatviz.quant.affine import AffineGrid
from qatviz.quant.measures import measure

EXACT = ("mse", "mse_clipping", "mse_rounding", "rmse_over_scale", "clipped", "flushed", "used_codes", "effective_bits")


def test_values_are_those_measured_by_the_snapshot():
    with Driver(spec()) as driver:
        plan, book, sequences = driver.run.spec.plan, driver.run.spec.book, []
        for tensor in plan.tensors:
            sequences.append(driver.run.send(InspectTensor(tensor.name)))
            values = driver.until(lambda item: isinstance(item, TensorValues) and item.name == tensor.name)
            snapshot = [item for item in driver.news if isinstance(item, Snapshot) and item.step == values.step][-1]
            settings, histogram = book.of(tensor.name), snapshot.histograms[tensor.name]
            grid = AffineGrid(histogram.scale, histogram.zero_point, settings.num_bits, settings.narrow_range)
            expected = measure(values.values, grid)
            found = dict(zip(SNAPSHOT_MEASURES, snapshot.values[:, plan.index(tensor.name)]))
            assert values.values.shape[1] == tensor.num_channels and not values.values.flags.writeable
            np.testing.assert_allclose(
                [found[name] for name in EXACT],
                [getattr(expected, name) for name in EXACT],
                rtol=1e-4,
                atol=1e-9,
                err_msg=tensor.name,
            )
        assert_answers(driver, sequences)


def test_an_unknown_tensor_is_refused_by_name():
    with Driver(spec()) as driver:
        answer = driver.send(InspectTensor("conv9.weights"))
        assert isinstance(answer, events.CommandRejected)
        assert "conv9.weights" in answer.message and "dense1.weights" in answer.message
