"""API for scripts: bits of the weights of a recorded run within a budget."""
# Separate from qatviz.api, which is near the largest size of a module; `qatviz.advise` is this function.

import os
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Tuple, Union

from qatviz.analysis.sensitivity import WIDTHS
from qatviz.api import print_notice
from qatviz.errors import SettingError
from qatviz.session.budget import BudgetAdvice
from qatviz.session.budget import advise as advise_recorded
from qatviz.session.budget_request import BudgetRequest, RuleTexts, parse_budget, parse_loss
from qatviz.training.quiet import keep_tensorflow_quiet

BitsByPattern = Optional[Mapping[str, int]]


def advise(
    directory: Union[str, Path],
    budget: Optional[str] = None,
    max_loss: Optional[Union[str, float]] = None,
    bits: Sequence[int] = WIDTHS,
    *,
    fixed: BitsByPattern = None,
    lowest: BitsByPattern = None,
    highest: BitsByPattern = None,
    together: Sequence[Sequence[str]] = (),
    with_activations: bool = False,
    format: str = "c",
    options: Optional[Mapping[str, Any]] = None,
    checkpoint: Optional[str] = None,
    data: Optional[str] = None,
) -> BudgetAdvice:
    """Choose the bits of a recorded run's weights, and measure their effect without training; nothing is changed.

    Parameters
    ----------
    directory : str or Path
    budget : str, optional
        Largest cost: ``"60 kB"``, ``"50%"`` of the size with 8-bit weights, or ``"12M MAC-bits"``.
    max_loss : str or float, optional
        Instead of a budget the largest loss: ``"1%"`` of the metric, which is measured, or an increase of the predicted
        loss.
    bits : sequence of int
        Numbers of bits to choose from.
    fixed, lowest, highest : dict of str to int, optional
        Bits that weights have, or have at least or at most, by pattern: ``{"conv1.weights": 8}``.
    together : sequence of sequence of str
        Patterns of weights that have one number of bits.
    with_activations : bool
        True to choose the bits of activations, too; the budget is then the size of the codes of both.
    format : str
        Export format whose size counts, and which has to support the bits.
    options : dict, optional
        Its options; weights of few bits are packed by default.
    checkpoint : str, optional
        Name of the checkpoint; by default the newest.
    data : str, optional
        Current name or path of the data; by default as recorded.

    Returns
    -------
    qatviz.session.budget.BudgetAdvice
        ``choices`` by tensor, ``before`` and ``after``, ``scores``, and ``recipe``, for ``qatviz.train(recipe=...)``.

    Raises
    ------
    RecordError, DataError
        If the record or the data cannot be used.
    SettingError
        If a constraint is not allowed, or no bits fulfil all.
    ExportError
        If the format does not support the run.
    """
    if (budget is None) == (max_loss is None):
        raise SettingError("budget and max_loss: expected one of them")
    keep_tensorflow_quiet()
    rules = RuleTexts(
        tuple(bits), _texts(fixed), _texts(lowest), _texts(highest), tuple(",".join(patterns) for patterns in together)
    )
    request = BudgetRequest(
        os.fspath(directory),
        rules,
        None if budget is None else parse_budget(budget),
        None if max_loss is None else parse_loss(str(max_loss)),
        format,
        dict(options or {}),
        checkpoint,
        data,
        with_activations,
    )
    return advise_recorded(request, print_notice)


def _texts(bits: BitsByPattern) -> Tuple[str, ...]:
    return tuple(f"{pattern}={width}" for pattern, width in (bits or {}).items())
