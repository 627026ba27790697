"""Ghost: preview of a tensor's grid and error under the pending settings, drawn over those of the newest snapshot.

Applied settings have a ghost until a snapshot measures them: what the user sees never falls back to the old levels.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Optional, Tuple
from weakref import WeakKeyDictionary

import numpy as np

from qatviz.analysis import pending
from qatviz.analysis.sampled_sqnr import Estimate, are_few, finds_range, held_out, is_known, result_of
from qatviz.gui.model.edits import Edits
from qatviz.gui.model.run_model import RunModel
from qatviz.measures import MEASURES, size_bytes
from qatviz.network.layer import element_count
from qatviz.network.plan import QuantizedTensor
from qatviz.number_format import Quantity
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import Snapshot, TensorHistogram
from qatviz.quant.affine import AffineGrid
from qatviz.quant.measures import ErrorMeasures
from qatviz.quant.ranges import as_applied, min_max_range
from qatviz.settings import EXTREMES, FROZEN, MIN_MAX, MOVING_AVERAGE, PERCENTILE, WEIGHTS, QuantizerSettings

#: Maximum age of a tensor's values relative to the newest snapshot, in seconds of training.
MAX_VALUES_AGE_S = 5.0
#: Cache by model and tensor: settings, histogram and values (None if unknown) of the last ghost, and the ghost.
_CACHE: "WeakKeyDictionary[RunModel, Dict[str, Tuple[Any, TensorHistogram, Optional[np.ndarray], Ghost]]]"
_CACHE = WeakKeyDictionary()


@dataclass(frozen=True)
class Ghost:
    """Grid and error of one tensor under the pending settings.

    Attributes
    ----------
    tensor, settings
        The tensor and its pending settings.
    active : bool
        Whether the tensor would be quantized.
    grid : AffineGrid or None
        ``scale`` and ``zero_point`` are ``[1]`` or ``[num_channels]``; None if not ``active``.
    approximate : bool
        Whether the values, or the range that the run would use, are estimates.
    step : int
        Training step of the values.
    of_values : bool
        Whether the grid depends on the tensor's values alone, not on the range in effect.
    """

    tensor: QuantizedTensor
    settings: QuantizerSettings
    active: bool
    grid: Optional[AffineGrid]
    approximate: bool
    step: int
    of_values: bool
    _values: np.ndarray = field(repr=False, compare=False)
    #: The values after the pending map of weights; None without a map.
    mapped: Optional[np.ndarray] = field(default=None, repr=False, compare=False)
    #: SQNR of the run if its range is found in other values than these; None if ``grid`` is known or they are many.
    _in_the_run: Optional[Callable[[], Estimate]] = field(default=None, repr=False, compare=False)

    @property
    def low(self) -> float:
        """Lower end of the representable range (over all channels); NaN if not ``active``."""
        return float(self.grid.minimum.min()) if self.grid is not None else float("nan")

    @property
    def high(self) -> float:
        """Upper end of the representable range; NaN if not ``active``."""
        return float(self.grid.maximum.max()) if self.grid is not None else float("nan")

    @property
    def scale(self) -> float:
        """Scale of the coarsest channel; NaN if not ``active``."""
        return float(self.grid.scale.max()) if self.grid is not None else float("nan")

    @property
    def measures(self) -> ErrorMeasures:
        """Error under the pending settings; computed on first access (12 ms for a million values).

        The SQNR is that of the run, see :attr:`sqnr_db_error`; other measures are those of the values on :attr:`grid`.
        """
        return self._measured[0]

    @property
    def sqnr_db_error(self) -> float:
        """Standard error of the SQNR in dB where the run finds the range in other values; otherwise 0."""
        return self._measured[1]

    @property
    def _measured(self) -> Tuple[ErrorMeasures, float]:
        if "_known" not in self.__dict__:
            grid = self.grid
            found, error = pending.IN_FLOAT, 0.0
            if grid is not None:
                found = pending.pending_measures(self._values, grid, self.mapped)
            if self._in_the_run is not None:
                sqnr_db, error = self._in_the_run()
                found = found._replace(sqnr_db=sqnr_db)
            object.__setattr__(self, "_known", (found, error))
        return self.__dict__["_known"]

    def quantity(self, key: str, value: float) -> Quantity:
        """Return the ``value`` of a measure with its unit, as an estimate if it is one: ``≈ 38.2 dB ± 0.3``."""
        error: Optional[float] = 0.0
        if self.approximate and key != "size":
            error = self.sqnr_db_error or None if key == "sqnr_db" else None
        codes = self.settings.num_codes if key == "used_codes" else None
        return MEASURES[key].quantity(value, self.active, codes, error)

    @property
    def size(self) -> float:
        """Size of the codes (or floats) in bytes; for activations, of one example."""
        return size_bytes(element_count(self.tensor.shape), self.settings, self.active)

    def map_of(self, values: np.ndarray) -> Optional[np.ndarray]:
        """Return other values ``[n, channels]`` of the tensor after the pending map; None without one."""
        if self.mapped is None or self.mapped.shape == values.shape:
            return self.mapped
        return pending.after_map(values, self.settings, self.tensor)

    def of_channel(self, index: int, values: np.ndarray, grid: Optional[AffineGrid]) -> "Ghost":
        """Return the ghost of one channel: its ``values``, float32 ``[n, 1]``, on its ``grid``."""
        tensor = replace(self.tensor, shape=values.shape)
        whole = self.mapped is not None and self.mapped.shape == self._values.shape and self.mapped.shape[1] > index
        mapped = self.mapped[:, index : index + 1] if whole and self.mapped is not None else None
        return replace(self, tensor=tensor, grid=grid, _values=values, mapped=mapped, _in_the_run=None)


def ghost_of(model: RunModel, edits: Edits, name: str) -> Optional[Ghost]:
    """Return the ghost of the tensor ``name``; None without a snapshot, or if the edits don't change the measured grid.

    It is computed from the tensor's values (``model.values``) if they are recent, otherwise from the newest snapshot's
    histogram, and cached until an input changes.
    """
    snapshot, book = model.snapshot, edits.pending_book() or model.book
    if not has_ghosts(model, edits):
        # Ghosts keep values alive.
        _CACHE.pop(model, None)
        return None
    if book is None or snapshot is None or name not in snapshot.histograms:
        return None
    measured = model.book_at(snapshot)
    wanted, present = _effective(model, book, name), _effective(model, measured, name)
    if wanted == present:
        return None
    histogram, values = snapshot.histograms[name], fresh_values(model, name)
    inputs = (wanted, present, book.run.freeze_ranges, measured.run.freeze_ranges)
    known = _CACHE.setdefault(model, {})
    if name in known:
        old_inputs, old_histogram, old_values, ghost = known[name]
        same_values = old_values is values and (old_histogram is histogram or (values is not None and ghost.of_values))
        if old_inputs == inputs and same_values:
            return ghost
    ghost = _compute(model, book, measured, snapshot, name, values)
    known[name] = (inputs, histogram, values, ghost)
    return ghost


def has_ghosts(model: RunModel, edits: Edits) -> bool:
    """Return whether there may be ghosts: edits are pending, or have been applied and not been measured yet.

    They are those of the present: there are none while a moment of the past is shown.
    """
    if model.moment is not None:
        return False
    return bool(edits.pending) or model.is_change_unmeasured


def fresh_values(model: RunModel, name: str) -> Optional[np.ndarray]:
    """Return a tensor's values ``[n, num_channels]``; None if unknown or much older than the newest snapshot."""
    known = model.values.get(name)
    if known is None or not known.values.size:
        return None
    age = model.snapshot.step - known.step if model.snapshot is not None else 0
    if age > 0 and age > MAX_VALUES_AGE_S * model.steps_per_second():
        return None
    return known.values


def _effective(model: RunModel, book: SettingsBook, name: str) -> Optional[QuantizerSettings]:
    """Return the settings of a tensor reduced to those that affect its grid now; None if it is not quantized."""
    settings = book.of(name)
    if not settings.is_active(model.step):
        return None
    percentile = settings.percentile if settings.range_method == PERCENTILE else 0.0
    return replace(
        settings, quant_delay=0, ema_decay=0.0, percentile=percentile, stochastic_rounding=False, gradient_scaling=0.0
    )


def _compute(
    model: RunModel,
    book: SettingsBook,
    measured: SettingsBook,
    snapshot: Snapshot,
    name: str,
    values: Optional[np.ndarray],
) -> Ghost:
    plan, histogram = book.plan, snapshot.histograms[name]
    tensor, wanted, now = plan.tensor(name), book.of(name), measured.of(name)
    step = snapshot.step if values is None else model.values[name].step
    by_channel = wanted.per_channel and tensor.kind == WEIGHTS
    approximate = values is None
    if values is None:
        values = pending.likely_values(histogram, by_channel)
    if _effective(model, book, name) is None:
        return Ghost(tensor, wanted, False, None, False, step, True, values)
    kept, guessed = pending.present_range(tensor, histogram, snapshot.num_bits[plan.index(name)], now)
    of_values = tensor.kind == WEIGHTS and now.range_method == MIN_MAX and not measured.run.freeze_ranges
    if of_values:
        # This range follows the values: settings that keep it keep that of the present values, not the snapshot's.
        kept, guessed = min_max_range(values), False
    is_frozen = book.run.freeze_ranges
    method = as_applied(now, wanted).range_method
    if tensor.kind != WEIGHTS and method in (MOVING_AVERAGE, EXTREMES) and method == now.range_method:
        method = FROZEN  # they continue from the range in effect
    chosen = replace(wanted, range_method=method)
    partners = [x for x in pending.partner_values(snapshot, plan, tensor).values() if is_known(x)]

    def grid_in(seen: np.ndarray) -> AffineGrid:
        return pending.pending_grid(tensor, chosen, kept, seen, is_frozen)

    def in_the_run() -> Estimate:
        return result_of(held_out([values, *partners], grid_in, method))[0]

    grid = grid_in(np.concatenate([x.reshape(-1) for x in (values, *partners)]) if partners else values)
    if tensor.kind != WEIGHTS and method != FROZEN and not is_frozen:
        guessed = True  # the run's range is that of its batches
    if tensor.kind == WEIGHTS and (wanted.has_coded_map or (not is_frozen and method != FROZEN)):
        of_values, guessed = True, False
    is_found = not is_frozen and finds_range(tensor, wanted, now)
    estimate = in_the_run if is_found and are_few(tensor, values) else None
    mapped = pending.after_map(values, wanted, tensor)
    return Ghost(tensor, wanted, True, grid, approximate or guessed, step, of_values, values, mapped, estimate)
