"""Settings as the training graph has them: arrays for its variables, and the variant of a training step."""

# Apart from graph.py, which sends them to the session.

from typing import Dict, List, Sequence, Tuple

import numpy as np

from qatviz.network.plan import QuantizationPlan
from qatviz.quant import live_state
from qatviz.settings import QuantizerSettings, RunSettings
from qatviz.training import distillation, optimizers
from qatviz.training.parameters import untrained_parameters
from qatviz.training.training_copy import COLLECT, HYPER, LEARN, MAPS, STEADY, TRACK, Variant

Arrays = Dict[str, np.ndarray]


class GraphSettings:
    """Conversion of settings into arrays for the graph's variables, and into the variant of a training step.

    Parameters
    ----------
    plan : QuantizationPlan
    trained : list of str
        Parameters ``layer.parameter`` with gradients.
    """

    def __init__(self, plan: QuantizationPlan, trained: List[str]):
        self._plan, self._layout, self._trained = plan, live_state.layout(plan), trained
        self._batch_norms = [unit.batch_norm.owner for unit in plan.units if unit.batch_norm is not None]

    def default(self) -> Arrays:
        """Return the arrays of default settings."""
        return self.arrays([QuantizerSettings()] * len(self._layout.leaders), RunSettings(), 0)[0]

    def arrays(self, settings: Sequence[QuantizerSettings], run: RunSettings, step: int) -> Tuple[Arrays, Variant]:
        """Return the arrays of settings by name after ``step`` training steps, and the variant of the next steps.

        ``settings`` are those of each group of the plan, ``run`` those of the run.
        """
        arrays = live_state.settings_arrays(self._layout, settings, run, step)
        arrays["hyper"] = np.array([getattr(run, name) for name in HYPER], np.float32)
        untrained = untrained_parameters(self._plan, settings)
        arrays["trained"] = np.array([name not in untrained for name in self._trained], bool)
        frozen = [run.freeze_batch_norm or name + ".gamma" in untrained for name in self._batch_norms]
        arrays["freeze_batch_norm"] = np.array(frozen, bool)
        arrays["single_convolution"] = np.array(run.single_convolution)
        arrays[distillation.SETTINGS] = distillation.settings_array(run)
        wanted = {COLLECT: arrays["collect"], LEARN: arrays["learn"], MAPS: arrays["any_map"], TRACK: arrays["tracked"]}
        wanted[STEADY] = (arrays["dampening"] > 0) | arrays["freezes"]
        parts = frozenset(part for part, switches in wanted.items() if switches.any())
        has_methods = (
            bool(parts - {COLLECT})
            or arrays["general"].any()
            or run.has_ramp
            or run.round_biases
            or run.single_convolution
            or run.has_teacher
            or run.augment_mixup
        )
        return arrays, Variant(optimizers.kind_of_update(run), bool(has_methods), parts, run.augments, untrained)
