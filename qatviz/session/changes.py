"""Changes of settings that are requested with a run, such as ``500:conv1.weights.num_bits=3``."""

import os
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

from qatviz.errors import SettingError, did_you_mean
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol.commands import ChangeSettings
from qatviz.protocol.recipe import Recipe, read_recipe
from qatviz.protocol.settings_book import SettingsBook, parse_assignment
from qatviz.settings import KINDS, QUANTIZER_SETTINGS, RUN, RUN_SETTINGS, setting_text

#: Field of a request with its changes.
CHANGES = "changes"

Assignments = Tuple[Tuple[str, Any], ...]


@dataclass(frozen=True)
class TimedChange:
    """Settings that change together before the training step ``step`` (counting from 0); None: at once.

    ``assignments`` are pairs of a path and a value; a value that its setting does not allow remains text. ``origin``
    is what an error names instead of the change: the file and the rule of a recipe.
    """

    step: Optional[int]
    assignments: Assignments
    origin: str = field(default="", compare=False)

    @property
    def text(self) -> str:
        """The change in the form that `parse_change` parses."""
        pairs = ",".join(f"{path}={setting_text(value)}" for path, value in self.assignments)
        return pairs if self.step is None else f"{self.step}:{pairs}"

    @property
    def row(self) -> Dict[str, Any]:
        """The change in JSON-able form."""
        return {"step": self.step, "assignments": [list(pair) for pair in self.assignments]}

    @property
    def command(self) -> ChangeSettings:
        """The command that makes the change."""
        return ChangeSettings(self.assignments)


def parse_change(text: str) -> TimedChange:
    """Return the change written as ``[STEP:]PATH=VALUE[,PATH=VALUE]``.

    Raises
    ------
    SettingError
        If it has another form.
    """
    when, colon, rest = text.partition(":")
    if not colon:
        return TimedChange(None, _parse_assignments(text, text))
    if not when.strip().isdecimal():
        raise _refusal(text, f"the step is {when!r}: expected a whole number of at least 0")
    return TimedChange(int(when), _parse_assignments(rest, text))


def recipe_changes(recipe: Union[str, "os.PathLike[str]", Recipe, None]) -> Tuple[TimedChange, ...]:
    """Return the changes that a recipe makes at once, one for each rule; a path is that of its file, None none.

    Raises
    ------
    SettingError
        If the file can't be read, or is no recipe.
    """
    if recipe is None:
        return ()
    name = "recipe" if isinstance(recipe, Recipe) else os.fspath(recipe)
    rules = (recipe if isinstance(recipe, Recipe) else read_recipe(recipe)).rules
    return tuple(
        TimedChange(None, rule.assignments, f"{name}: rule {number} ({rule.pattern})")
        for number, rule in enumerate(rules, 1)
    )


def check_change(book: SettingsBook, change: TimedChange) -> SettingsBook:
    """Return the book after a change, to find errors before the run starts.

    Raises
    ------
    SettingError
        Error with the text of the change and the closest known name.
    """
    try:
        return book.change(change.assignments)[0]
    except SettingError as error:
        hints = [_hint(path, book.plan) for path, _ in change.assignments]
        hint = next((hint for hint in hints if hint), "")
        reason = f"{error}{'.' + hint if hint else ''}"
        if change.origin:
            raise SettingError(f"{change.origin}: {reason}", CHANGES) from error
        raise _refusal(change.text, reason) from error


def check_values(changes: Iterable[TimedChange]) -> None:
    """Check the settings of changes and their values without a network, which `check_change` needs.

    Raises
    ------
    SettingError
        If there is no such setting, or its values have other bounds or another type.
    """
    for change in changes:
        for path, value in change.assignments:
            owner, _, name = path.rpartition(".")
            known = RUN_SETTINGS if owner in (RUN, "") else QUANTIZER_SETTINGS
            if name not in known:
                raise _refusal(change.text, f"there is no setting {path!r}.{did_you_mean(name, known)}")
            setting = known[name]
            try:
                setting.parse(value, path) if isinstance(value, str) else setting.check(value, path)
            except SettingError as error:
                raise _refusal(change.text, str(error)) from error


def _refusal(text: str, reason: str) -> SettingError:
    return SettingError.of_field(CHANGES, f"{text!r}: {reason}")


def _parse_assignments(text: str, whole: str) -> Assignments:
    try:
        return tuple((path, _typed(path, value)) for path, value in map(parse_assignment, text.split(",")))
    except SettingError as error:
        raise _refusal(whole, str(error)) from error


def _typed(path: str, value: str) -> Any:
    """Return the typed value; the text itself if the setting does not allow it, which is refused later."""
    name = path.rpartition(".")[2]
    setting = QUANTIZER_SETTINGS.get(name) or RUN_SETTINGS.get(name)
    try:
        return value if setting is None else setting.parse(value)
    except SettingError:
        return value


def _hint(path: str, plan: QuantizationPlan) -> str:
    """Return a suggestion for ``path``; empty if the path is known."""
    pattern, _, name = path.rpartition(".")
    if pattern == RUN or not pattern:
        return "" if name in RUN_SETTINGS else did_you_mean(path, _run_paths())
    if name not in QUANTIZER_SETTINGS:
        return did_you_mean(name, QUANTIZER_SETTINGS)
    layer, _, kind = pattern.rpartition(".")
    layer = layer if kind in KINDS else pattern
    layers = [tensor.layer for tensor in plan.tensors]
    return "" if layer in layers or any(char in layer for char in "*?[") else did_you_mean(layer, layers)


def _run_paths() -> List[str]:
    return [f"{RUN}.{name}" for name in RUN_SETTINGS]
