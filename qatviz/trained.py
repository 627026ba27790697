"""Result of a run that has ended: its scores, its export, and further evaluations."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple, Union

from qatviz.errors import RunStateError, SettingError
from qatviz.metric import ACCURACY
from qatviz.network.graph import Network
from qatviz.protocol.recipe import Recipe, recipe_of
from qatviz.protocol.run_spec import RunSpec
from qatviz.protocol.run_state import RunState
from qatviz.recorded_api import print_notice
from qatviz.session.changes import parse_change, recipe_changes
from qatviz.session.evaluation import Evaluator, SettingsEvaluation, evaluate_changes
from qatviz.session.prepared import Notice
from qatviz.telemetry.outcome import Outcome
from qatviz.training.checkpointer import BEST, FINAL


class Trained:
    """Result of a run that has ended.

    Attributes
    ----------
    network : Network
        Network that was trained.
    outcome : Outcome
        ``step``, ``loss``, ``evaluations`` (step, and the metric in four modes), ``tensors()`` (a row of settings and
        measures for each), ``to_dict()``.
    directory : str or None
        Directory of its record; None if it was not recorded.
    final_state : RunState
        State at the end: ``arrays`` (weights and other variables by name) and ``book`` (settings).
    best_state : RunState or None
        State of the best evaluation; None if the run was not trained with ``keep_best``, or not evaluated.
    notices : tuple of Notice
        Notes on data and model, and warnings, each with its ``text``; they are also printed unless ``quiet`` is set.
    """

    def __init__(
        self,
        spec: RunSpec,
        outcome: Outcome,
        final_state: RunState,
        directory: Optional[str],
        notices: Tuple[Notice, ...] = (),
        best_state: Optional[RunState] = None,
    ):
        self._spec = spec
        self.network: Network = spec.network
        self.outcome, self.final_state, self.directory = outcome, final_state, directory
        self.notices, self.best_state = notices, best_state

    @property
    def recipe(self) -> Recipe:
        """Settings of the quantizers in :attr:`final_state`, for ``recipe=`` of another run; see ``to_json()``."""
        return recipe_of(self.final_state.book)

    @property
    def moment(self) -> RunState:
        """:attr:`final_state`, under its name in version 0.1."""
        return self.final_state

    @property
    def scores(self) -> Dict[str, float]:
        """Metric in the last evaluation by mode: "float", "weights_only", "activations_only", "quantized".

        Empty if the run was not evaluated. The metric is ``outcome.metric``; by default, it is the accuracy of a
        classification and the root-mean-square error of a regression.
        """
        evaluations = self.outcome.evaluations
        return {name: value for name, value in evaluations[-1].items() if name != "step"} if evaluations else {}

    @property
    def accuracy(self) -> Dict[str, float]:
        """:attr:`scores` if their metric is the accuracy; otherwise empty."""
        return self.scores if self.outcome.metric is ACCURACY else {}

    def export(
        self,
        path: Union[str, Path],
        format: str = "tflite",
        examples: Optional[int] = None,
        state: str = FINAL,
        **options: Any,
    ) -> Any:
        """Export a state for another runtime, with a proof that the file computes the same outputs.

        Parameters
        ----------
        path : str or Path
            Path of the file, or of the folder of a format that consists of several files.
        format : str
            A name of :data:`qatviz.export.formats.FORMATS`.
        examples : int, optional
            Number of held-out examples for the proof; by default 1,000, or fewer if the network is large.
        state : str
            "final" for :attr:`final_state`, "best" for :attr:`best_state`.
        **options
            Options of the format, such as ``int4=True``; ``qatviz export --help`` describes them.

        Returns
        -------
        qatviz.export.formats.Written
            ``paths`` of the files, and the ``report`` of the proof: ``to_text()``, ``faults``, ``as_expected``.

        Raises
        ------
        ExportError
            If the format does not support the network or its settings, or a file can't be written.
        SettingError
            If ``state`` is another text.
        RunStateError
            If there is no best state.
        """
        from qatviz.export.formats import format_named  # not needed for training
        from qatviz.session.export import state_source

        if state not in (FINAL, BEST):
            raise SettingError.of_field("state", f"is {state!r}: expected {FINAL!r} or {BEST!r}")
        if state == BEST and self.best_state is None:
            raise RunStateError("the run has no best state: train with keep_best=True, and evaluate")
        chosen = self.final_state if state == FINAL or self.best_state is None else self.best_state
        source = state_source(self._spec, chosen, examples)
        return format_named(format).export(source, path, options)

    def evaluate(
        self,
        changes: Sequence[str] = (),
        preset: Optional[str] = None,
        more_bits: bool = False,
        recipe: Union[str, "os.PathLike[str]", Recipe, None] = None,
    ) -> SettingsEvaluation:
        """Return the evaluation of :attr:`final_state` under other settings, without training.

        Parameters, result and errors are those of :func:`qatviz.evaluate`.
        """
        evaluator = Evaluator(replace(self._spec, start=self.final_state))
        try:
            recorded = self.outcome.evaluations
            parsed = (*recipe_changes(recipe), *map(parse_change, changes))
            return evaluate_changes(evaluator, preset, parsed, recorded, print_notice, more_bits=more_bits)
        finally:
            evaluator.close()
