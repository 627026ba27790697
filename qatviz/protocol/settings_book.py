"""All settings of a run, addressed by paths such as ``conv*.weights.num_bits``.

A book is immutable: a change returns a new book and the list of changes, or raises.
"""

from dataclasses import dataclass, replace
from typing import Any, Dict, Iterable, List, Optional, Tuple

from qatviz.errors import SettingError
from qatviz.name_lookup import matches_pattern
from qatviz.network.ends import end_tensors
from qatviz.network.plan import QuantizationPlan, QuantizedTensor
from qatviz.presets import preset_settings, with_run_settings
from qatviz.protocol.events import Change
from qatviz.setting_declaration import Setting
from qatviz.settings import (
    ACTIVATIONS,
    KINDS,
    LEARNED_CLIP,
    LEARNED_METHODS,
    QUANTIZER_SETTINGS,
    RUN,
    RUN_SETTINGS,
    WEIGHTS,
    QuantizerSettings,
    RunSettings,
    quantizer_setting,
    quantizer_settings,
    run_setting,
)

#: Names of the quantizer settings that do not affect an evaluation of a given state; paths of the only settings of
#: the run that do.
_TRAINING_ONLY = ("ema_decay", "trainable", "stochastic_rounding", "gradient_scaling", "dampening")
_EVALUATED = (RUN + ".freeze_ranges",)


@dataclass(frozen=True)
class SettingsBook:
    """Settings of the run and of every group of tensors of ``plan`` (in the order of ``plan.groups``)."""

    plan: QuantizationPlan
    quantizers: Tuple[QuantizerSettings, ...]
    run: RunSettings

    @classmethod
    def from_preset(
        cls,
        plan: QuantizationPlan,
        preset: str,
        weights: Optional[Dict[str, Any]] = None,
        activations: Optional[Dict[str, Any]] = None,
        run: RunSettings = RunSettings(),
    ) -> "SettingsBook":
        """Return the book of a preset, with overrides by name for all ``weights`` and for all ``activations``.

        Raises
        ------
        SettingError
            If there is no such preset or setting, or a value is not allowed.
        """
        overrides = {WEIGHTS: weights or {}, ACTIVATIONS: activations or {}}
        quantizers, ends = [], end_tensors(plan)
        for members in plan.groups:
            tensor = plan.tensors[members[0]]
            predicts_numbers, is_end = plan.predicts_numbers(tensor.name), tensor.name in ends
            settings = preset_settings(preset, tensor.kind, tensor.op_kind, predicts_numbers, is_end)
            checked = {}
            for name, value in overrides[tensor.kind].items():
                path = f"{tensor.kind}.{name}"
                checked[name] = quantizer_setting(name, tensor.kind, path).check(value, path, tensor.kind)
            quantizers.append(replace(settings, **checked))
        return cls(plan, tuple(quantizers), with_run_settings(preset, run, is_new=True))

    def of(self, tensor: str) -> QuantizerSettings:
        """Return the settings of the tensor with this name."""
        return self.quantizers[self._group(self.plan.index(tensor))]

    def value(self, path: str) -> Any:
        """Return the value of one setting by its full path: ``conv1.weights.num_bits``, ``run.learning_rate``."""
        owner, _, name = path.rpartition(".")
        return getattr(self.run if owner == RUN else self.of(owner), name)

    @property
    def unused_run_settings(self) -> Tuple[str, ...]:
        """Names of the run settings that have no effect with the range methods in use."""
        methods = {settings.range_method for settings in self.quantizers}
        unused = () if LEARNED_CLIP in methods else ("clip_decay",)
        return unused if methods.intersection(LEARNED_METHODS) else ("scale_learning_rate", *unused)

    def change(self, assignments: Iterable[Tuple[str, Any]]) -> Tuple["SettingsBook", Tuple[Change, ...]]:
        """Return the book after ``(path, value)`` assignments, and the changes.

        Each changed setting is listed once, unchanged ones not at all. A value may be text, as on the command line.
        Tensors of one group change together.

        Raises
        ------
        SettingError
            If a path matches no setting, or a value is not allowed.
        """
        book = self
        for path, value in assignments:
            book = book._assign(path, value)
        return book, self.differences(book)

    def with_preset(self, preset: str) -> Tuple["SettingsBook", Tuple[Change, ...]]:
        """Return the book with the settings of a preset, and the changes; ``trainable`` is kept."""
        quantizers = [
            replace(new, trainable=old.trainable)
            for new, old in zip(self.from_preset(self.plan, preset).quantizers, self.quantizers)
        ]
        book = replace(self, quantizers=tuple(quantizers), run=with_run_settings(preset, self.run, is_new=False))
        return book, self.differences(book)

    def differences(self, other: "SettingsBook") -> Tuple[Change, ...]:
        """Return the changes from this book to ``other``, by full path."""
        changes = [
            Change(f"{RUN}.{name}", getattr(self.run, name), getattr(other.run, name))
            for name in RUN_SETTINGS
            if getattr(self.run, name) != getattr(other.run, name)
        ]
        for tensor in self.plan.tensors:
            old, new = self.of(tensor.name), other.of(tensor.name)
            changes += [
                Change(f"{tensor.name}.{name}", getattr(old, name), getattr(new, name))
                for name in QUANTIZER_SETTINGS
                if getattr(old, name) != getattr(new, name)
            ]
        return tuple(changes)

    def to_dict(self) -> Dict[str, Any]:
        """Return a JSON-able form: run settings, and quantizer settings by tensor name."""
        return {
            "run": self.run.to_dict(),
            "quantizers": {tensor.name: self.of(tensor.name).to_dict() for tensor in self.plan.tensors},
        }

    @classmethod
    def from_dict(cls, plan: QuantizationPlan, record: Dict[str, Any]) -> "SettingsBook":
        """Return the book serialized by :meth:`to_dict`; :class:`SettingError` if it does not match the plan."""
        try:
            quantizers = []
            for members in plan.groups:
                tensor = plan.tensors[members[0]]
                values = {
                    name: value
                    for name, value in record["quantizers"][tensor.name].items()
                    if tensor.kind in QUANTIZER_SETTINGS[name].kinds
                }
                quantizers.append(quantizer_settings(tensor.kind, tensor.name, **values))
            return cls(plan, tuple(quantizers), RunSettings(**record["run"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise SettingError(f"the recorded settings do not fit the network: {error!r}") from error

    def _group(self, tensor_index: int) -> int:
        return next(g for g, members in enumerate(self.plan.groups) if tensor_index in members)

    def _assign(self, path: str, value: Any) -> "SettingsBook":
        pattern, _, name = path.strip().rpartition(".")
        if pattern == RUN or (not pattern and name in RUN_SETTINGS):
            return replace(self, run=replace(self.run, **{name: _value(run_setting(name), value, path, "")}))
        tensors = self.matching(pattern, name, path)
        quantizers = list(self.quantizers)
        for tensor in tensors:
            setting = quantizer_setting(name, tensor.kind, path)
            group = self._group(self.plan.index(tensor.name))
            checked = _value(setting, value, f"{tensor.name}.{name}", tensor.kind)
            quantizers[group] = replace(quantizers[group], **{name: checked})
        return replace(self, quantizers=tuple(quantizers))

    def matching(self, pattern: str, name: str, path: str) -> List[QuantizedTensor]:
        """Return the tensors that match ``pattern``: ``layer.kind`` or ``layer``, with wildcards ``*`` and ``?``.

        A layer alone matches its weights and activations, as far as the setting ``name`` applies to them. ``path`` is
        the whole path, for error messages.

        Raises
        ------
        SettingError
            If there is no such setting, or no tensor matches.
        """
        if name not in QUANTIZER_SETTINGS:
            raise SettingError(
                f"{path}: no such setting: {name!r}; available: {', '.join(QUANTIZER_SETTINGS)} and, for the "
                f"run, {', '.join(RUN + '.' + n for n in RUN_SETTINGS)}"
            )
        found = [t for t in self.plan.tensors if matches_pattern(t.name, pattern)]
        if not found or pattern.rpartition(".")[2] not in KINDS:
            found = [
                t
                for t in self.plan.tensors
                if (t in found or matches_pattern(t.layer, pattern)) and t.kind in QUANTIZER_SETTINGS[name].kinds
            ]
        if not found:
            raise SettingError(
                f"{path}: no tensor is named {pattern!r}; available: {', '.join(t.name for t in self.plan.tensors)}"
            )
        return found


def training_only(paths: Iterable[str]) -> List[str]:
    """Return the paths of settings that affect training steps, but not the evaluation of a given state."""
    return [
        path
        for path in paths
        if path.rpartition(".")[2] in _TRAINING_ONLY or (path.startswith(RUN + ".") and path not in _EVALUATED)
    ]


def parse_assignment(text: str) -> Tuple[str, str]:
    """Split ``path=value`` at the first ``=``; :class:`SettingError` if either part is missing."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip() or not value.strip():
        raise SettingError(f"{text!r}: expected PATH=VALUE, such as conv1.weights.num_bits=4")
    return path.strip(), value.strip()


def _value(setting: Setting, value: Any, path: str, kind: str) -> Any:
    return setting.parse(value, path, kind) if isinstance(value, str) else setting.check(value, path, kind)
