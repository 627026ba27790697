"""Computation of each correction in pieces, from the present state of a run.

Each correction is a generator: it yields the fraction 0..1 that is done after each piece, and at the end the
:class:`Correction`. Other commands are executed between the pieces.
"""

from typing import Dict, Iterator, List, NamedTuple, Sequence, Set, Tuple, Union

import numpy as np

from qatviz.analysis.channels import channel_ranges
from qatviz.correction.adaround import LearnedRounding, Rounding, code_limits, rounded_weights
from qatviz.correction.equalization import changed_units, equalized
from qatviz.correction.pairs import LayerPair, Obstacle, layer_pairs, named_pairs, shared_weights
from qatviz.correction.patches import Rows, has_rows, sampled_rows
from qatviz.correction.result import Correction
from qatviz.correction.statistics import BatchNormMeans, MeanError, bias_of, corrected_bias
from qatviz.errors import RunStateError
from qatviz.measures import MEASURES
from qatviz.network.folding import batch_norm_factor, by_output, folded
from qatviz.network.layers import DepthwiseConv2D, ReLU, ReLU6
from qatviz.network.plan import QuantizationPlan, Unit
from qatviz.number_format import count
from qatviz.protocol import commands as c
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant.affine import code_bounds
from qatviz.settings import NO_MAP, QuantizerSettings
from qatviz.training.correction_graph import CorrectionGraph

Arrays = Dict[str, np.ndarray]
#: Number of rows of a layer from which AdaRound learns, and number of its iterations in one piece.
ROUNDING_ROWS, _ITERATIONS = 4096, 10
#: Part of the time for a layer that AdaRound needs to collect the rows, in the display of progress.
_COLLECTING = 0.2
#: Largest number of layers that a note names.
_NAMED = 3


class Present(NamedTuple):
    """State of a run that is corrected.

    Attributes
    ----------
    spec : RunSpec
    book : SettingsBook
        Settings in effect.
    arrays : dict of str to np.ndarray
        Arrays of the state, as in a checkpoint; they are not changed.
    batches : sequence of np.ndarray
        Indices of the training examples of each batch that the correction uses, int32 ``[batch]``.
    step : int
        Number of training steps complete.
    """

    spec: RunSpec
    book: SettingsBook
    arrays: Arrays
    batches: Sequence[np.ndarray]
    step: int

    @property
    def plan(self) -> QuantizationPlan:
        return self.spec.plan

    @property
    def shared(self) -> Set[str]:
        """Names of the layers whose weights other layers use, too."""
        return shared_weights(self.plan)


Pieces = Iterator[Union[float, Correction]]


def check_possible(spec: RunSpec, command: c.Command) -> None:
    """Raise RunStateError with the reason if a network can't be corrected by a command, whatever its state."""
    if isinstance(command, c.ReestimateBatchNorm) and not any(unit.batch_norm for unit in spec.plan.units):
        raise RunStateError("this network has no batch norm")
    if isinstance(command, c.EqualizeLayers):
        pairs, obstacles = _pairs(spec, command.layers)
        if command.layers and obstacles:
            raise RunStateError(obstacles[0].text)
        if not pairs:
            raise RunStateError(_why_none(obstacles))


def reestimate_batch_norm(present: Present, graph: CorrectionGraph) -> Pieces:
    """Re-estimate the moving statistics of all batch norms; see :class:`qatviz.correction.statistics.BatchNormMeans`.

    The state ``present`` must be loaded into ``graph``.
    """
    normed = [unit for unit in present.plan.units if unit.batch_norm is not None]
    means, number = BatchNormMeans(), len(present.batches)
    for done, indices in enumerate(present.batches, 1):
        for name, mean, variance in graph.batch_statistics(indices):
            means.add(name, mean, variance)
        yield done / number
    changed = means.applied(present.arrays)
    owners = list(dict.fromkeys(unit.batch_norm.owner for unit in normed if unit.batch_norm is not None))
    notes = (
        f"statistics of {count(len(owners), 'batch norm')} re-estimated over {count(number, 'batch', 'batches')}",
        _largest_change(owners, present.arrays, changed),
    )
    yield Correction(changed, notes, tuple(dict.fromkeys(unit.weights for unit in normed)))


def equalize_layers(present: Present, layers: Sequence[str]) -> Pieces:
    """Equalize the pairs whose first layers are named ``layers``, or all pairs if it is empty.

    See :mod:`qatviz.correction.equalization`.
    """
    plan, (pairs, obstacles) = present.plan, _pairs(present.spec, layers)
    result = equalized(plan, pairs, present.arrays)
    names = changed_units(pairs)
    units = [unit for unit in plan.units if unit.name in names]
    notes = [
        f"{count(len(pairs), 'pair')} of layers equalized in {count(result.passes, 'pass', 'passes')}: largest "
        f"{MEASURES['range_ratio'].name.lower()} {_ratio(plan, units, present.arrays)} → "
        f"{_ratio(plan, units, result.arrays)}",
        "a batch norm takes up the factors in gamma and beta, and keeps its statistics; optimizer slots are scaled "
        "accordingly",
    ]
    if obstacles:
        notes.append(f"left out: {_some([obstacle.text for obstacle in obstacles], '; ')}")
    grids = [plan.grid_of(unit.output) for pair in pairs for unit in pair.between]
    weights = tuple(unit.weights for unit in units)
    yield Correction(result.arrays, tuple(notes), weights, tuple(dict.fromkeys(grids)))


def correct_bias(present: Present, graph: CorrectionGraph) -> Pieces:
    """Correct the bias of each layer in order; see :func:`qatviz.correction.statistics.corrected_bias`.

    The state ``present`` must be loaded into ``graph``; each corrected bias is loaded before the next one is computed.

    Raises
    ------
    RunStateError
        At the first piece, if no layer has a bias or a batch norm of its own.
    """
    arrays, shared, batches = present.arrays, present.shared, present.batches
    units = [unit for unit in graph.units if bias_of(unit, arrays) is not None and unit.op.owner not in shared]
    if not units:
        raise RunStateError("no layer of this network has a bias or a batch norm of its own")
    largest = 0.0, ""
    for number, unit in enumerate(units):
        errors = []
        for part, indices in enumerate(batches, 1):
            errors.append(graph.mean_error(unit, indices))
            yield (number + part / len(batches)) / len(units)
        error = MeanError(*(np.mean(values, axis=0) for values in zip(*errors)))
        name = bias_of(unit, arrays)
        assert name is not None
        arrays = corrected_bias(name, error, arrays)
        graph.load_parameters(arrays)
        largest = max(largest, (float(np.abs(error.difference).max()), unit.name))
    notes = [
        f"biases of {count(len(units), 'layer')} corrected over {count(len(batches), 'batch', 'batches')}: the largest "
        f"mean error was {largest[0]:.3g}, in {largest[1]}"
    ]
    left = [unit.name for unit in graph.units if unit not in units]
    if left:
        notes.append(f"left out: {_some(left)}, without a bias of {'its' if len(left) == 1 else 'their'} own")
    yield Correction(arrays, tuple(notes))


def ada_round(present: Present, graph: CorrectionGraph, iterations: int) -> Pieces:
    """Learn the rounding of each layer's weights in order, in ``iterations`` iterations for each layer.

    See :mod:`qatviz.correction.adaround`. Weights with a map, shared weights and those that are not quantized stay as
    they are. The state ``present`` must be loaded into ``graph``; the rounded weights of a layer are loaded before the
    next layer is computed.

    Raises
    ------
    RunStateError
        At the first piece, if no weights can be rounded.
    """
    arrays, shared = present.arrays, present.shared
    units = [
        unit
        for unit in graph.units
        if has_rows(unit) and unit.op.owner not in shared and _is_rounded(present.book.of(unit.weights), graph, unit)
    ]
    if not units:
        raise RunStateError("no weights that AdaRound can round are quantized now")
    errors, moved, total = np.zeros(2), 0, 0
    for number, unit in enumerate(units):
        random, parts = np.random.RandomState([present.spec.seed % 2**32, number]), []
        for part, indices in enumerate(present.batches, 1):
            rows = -(-ROUNDING_ROWS // len(present.batches))
            parts.append(sampled_rows(unit, *graph.values(unit, indices), rows, random))
            yield (number + _COLLECTING * part / len(present.batches)) / len(units)
        inputs, outputs = Rows(*(np.concatenate(columns) for columns in zip(*parts)))
        problem, ends = _rounding(present, graph, unit, arrays)
        learned = LearnedRounding(problem, inputs, outputs, iterations, random)
        for done in learned.run():
            if done % _ITERATIONS == 0:
                yield (number + _COLLECTING + (1 - _COLLECTING) * done / iterations) / len(units)
        arrays = _with_codes(unit, arrays, problem, learned.codes, ends)
        graph.load_parameters(arrays)
        errors += (learned.errors[0], min(learned.errors))
        moved, total = moved + int((learned.codes != problem.nearest).sum()), total + problem.weights.size
    notes = [
        f"rounding of {count(total, 'weight')} in {count(len(units), 'layer')} learned: {100 * moved / total:.1f} % of "
        f"the codes are not the nearest; squared error of the layers' outputs {errors[0]:.3g} → {errors[1]:.3g}",
        "weights have the values of their codes now",
    ]
    left = [unit.name for unit in graph.units if unit not in units]
    if left:
        notes.append(f"left as they are: {_some(left)}")
    yield Correction(arrays, tuple(notes))


def _pairs(spec: RunSpec, layers: Sequence[str]) -> Tuple[List[LayerPair], List[Obstacle]]:
    """Return the pairs and obstacles of a run's network that begin with ``layers`` (names), or all."""
    return named_pairs(*layer_pairs(spec.network, spec.plan, spec.fixed), layers)


def _is_rounded(settings: QuantizerSettings, graph: CorrectionGraph, unit: Unit) -> bool:
    """Return whether AdaRound can round a layer's weights: they are quantized, and no map moves them off the levels."""
    return settings.effective_map == NO_MAP and bool(graph.weight_grid(unit)[0].any())


def _rounding(
    present: Present, graph: CorrectionGraph, unit: Unit, arrays: Arrays
) -> Tuple[Rounding, Tuple[np.ndarray, np.ndarray]]:
    """Return the problem of rounding a layer's weights, and the smallest and the largest weight of each scale.

    Weights at these ends are kept, because they may define the scale; so are zeros if the run keeps them.
    """
    settings = present.book.of(unit.weights)
    values, bias = folded(present.plan, unit, arrays)
    is_depthwise = isinstance(unit.op, DepthwiseConv2D)
    matrix = values.reshape(-1, *values.shape[2:]) if is_depthwise else values.reshape(-1, values.shape[-1])
    scale, zero_point = (array.reshape(1, *matrix.shape[1:]) for array in graph.weight_grid(unit))
    scale, zero_point = np.where(scale > 0, scale, np.float32(1)), zero_point.astype(np.float32)
    axes = (0,) if settings.per_channel else tuple(range(matrix.ndim))
    low, high = matrix.min(axis=axes, keepdims=True), matrix.max(axis=axes, keepdims=True)
    smallest, largest = (
        np.float32(bound) - zero_point for bound in code_bounds(settings.num_bits, settings.narrow_range)
    )
    is_kept = (matrix == low) | (matrix == high)
    if present.book.run.keep_zeros:
        is_kept |= matrix == 0
    limits = code_limits(low, high, scale, (smallest, largest))
    limit = {ReLU: np.inf, ReLU6: 6.0}[type(unit.activation)] if unit.activation is not None else None
    return Rounding(matrix, scale, *limits, is_kept, bias, None if limit is None else (0.0, limit)), (low, high)


def _with_codes(
    unit: Unit, arrays: Arrays, problem: Rounding, codes: np.ndarray, ends: Tuple[np.ndarray, np.ndarray]
) -> Arrays:
    """Return ``arrays`` with a layer's weights set to the values of ``codes``; batch norm stays as it is.

    ``ends`` are the smallest and the largest weight of each scale.
    """
    weights = arrays[unit.weights]
    new = rounded_weights(problem, codes, *ends).reshape(weights.shape)
    is_moved = new != problem.weights.reshape(weights.shape)
    if unit.batch_norm is not None:
        factor = by_output(unit, batch_norm_factor(unit.batch_norm, arrays), weights)
        is_moved &= factor != 0
        new = new / np.where(factor == 0, np.float32(1), factor)
    return {**arrays, unit.weights: np.where(is_moved, new, weights).astype(np.float32)}


def _ratio(plan: QuantizationPlan, units: Sequence[Unit], arrays: Arrays) -> str:
    """Return the largest range ratio between channels of the layers ``units`` as text, with the layer's name."""
    ratios = [
        (channel_ranges(plan.tensor(unit.weights), folded(plan, unit, arrays).weights).range_ratio, unit.name)
        for unit in units
    ]
    ratio, name = max((item for item in ratios if np.isfinite(item[0])), default=(1.0, units[0].name))
    return f"{MEASURES['range_ratio'].text(ratio)} ({name})"


def _largest_change(owners: Sequence[str], before: Arrays, after: Arrays) -> str:
    """Return a note on the largest changes: of a mean, in standard deviations, and of a standard deviation."""
    shifts, ratios = [], []
    for name in owners:
        deviation = np.sqrt(before[name + ".moving_variance"]) + 1e-12
        shifts.append(
            (float(np.abs((after[name + ".moving_mean"] - before[name + ".moving_mean"]) / deviation).max()), name)
        )
        ratio = np.sqrt(after[name + ".moving_variance"]) / deviation
        ratios.append((float(np.abs(np.log2(np.maximum(ratio, 1e-12))).max()), name))
    shift, ratio = max(shifts), max(ratios)
    return (
        f"means moved by up to {shift[0]:.2g} standard deviations ({shift[1]}), deviations changed by up to a factor "
        f"of {2 ** ratio[0]:.3g} ({ratio[1]})"
    )


def _why_none(obstacles: Sequence[Obstacle]) -> str:
    """Return the reason why no layers can be equalized; a ReLU6 is named first, because there is a remedy."""
    if not obstacles:
        return "this network has no two consecutive layers with weights"
    first = next((obstacle for obstacle in obstacles if obstacle.is_relu6), obstacles[0])
    return f"no layers can be equalized. {first.text}" + (f"; {len(obstacles) - 1} more" if obstacles[1:] else "")


def _some(texts: Sequence[str], joint: str = ", ") -> str:
    """Return the first of ``texts`` joined, and the number of the others."""
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return joint.join(texts[:_NAMED]) + more
