"""Validation of the content of a record: checksums detect damage, but not a file that was made to do harm.

Each part is checked when it is read, so that no other code has to check it again. The checks raise ValueError,
KeyError, TypeError or QatvizError, which :func:`qatviz.telemetry.record.schema.reading` converts.
"""

import json
from typing import Any, Callable, Dict, Optional, Union

from qatviz.data_options import DataOptions
from qatviz.errors import QatvizError, RecordError
from qatviz.heads import heads_from
from qatviz.metric import MODES
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol import values
from qatviz.protocol.batch_division import BatchDivision
from qatviz.protocol.commands import schedule_from
from qatviz.protocol.events import Evaluated, Event, FurtherScores
from qatviz.protocol.run_spec import described_plan
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import SNAPSHOT_MEASURES, STEP_MEASURES, Snapshot
from qatviz.scaling import check_scaling
from qatviz.settings import RUN, quantizer_setting, run_setting
from qatviz.start_settings import START_SETTINGS
from qatviz.task import check_task
from qatviz.telemetry.record.schema import State


def check_description(description: Dict[str, Any]) -> Optional[QuantizationPlan]:
    """Check all known entries of a run's description; return the plan of its network, None if it has none.

    Entries can be missing, as in records of other versions; code that needs one raises an error that names it.

    Raises
    ------
    RecordError
        Naming the entry, its value and what is allowed.
    """
    try:
        return _plan_of(description)
    except KeyError as error:
        raise RecordError(f"the description of the run lacks {error}") from error
    except (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError, QatvizError) as error:
        raise RecordError(f"the description of the run can't be used: {error}") from error


def _plan_of(description: Dict[str, Any]) -> Optional[QuantizationPlan]:
    json.dumps(description, allow_nan=False)  # refuses NaN and infinity, which JSON output can't represent
    for key, check in _ENTRIES.items():
        if key in description:
            check(description[key], key)
    if "network" not in description:
        return None
    plan = described_plan(description)
    if "settings" in description:
        SettingsBook.from_dict(plan, description["settings"])
    return plan


def checked_event(event: Event, plan: Optional[QuantizationPlan]) -> Event:
    """Return an event whose changes are of settings of the network, and whose scores are complete."""
    if isinstance(event, Evaluated):
        _check_scores(event)
        for further in event.further:
            _check_scores(further)
    if plan is not None:
        for change in getattr(event, "changes", ()):
            owner, _, name = change.setting.rpartition(".")
            kind = "" if owner == RUN else plan.tensor(owner).kind
            setting = run_setting(name) if owner == RUN else quantizer_setting(name, kind, change.setting)
            for value in (change.old, change.new):
                setting.check(value, change.setting, kind)
    return event


def _check_scores(scored: Union[Evaluated, FurtherScores]) -> None:
    if set(scored.scores) != set(MODES):
        raise values.refusal("scores", ", ".join(sorted(scored.scores)), f"those of {', '.join(MODES)}")
    sizes = [len(row) for row in scored.outputs]
    if scored.outputs and (len(sizes) != len(MODES) or len(set(sizes)) != 1):
        raise values.refusal("outputs", sizes, f"as many in each of {len(MODES)} modes")


def check_shape(state: State, plan: Optional[QuantizationPlan]) -> None:
    """Check the shape of the step values against the network."""
    if plan is not None and state.shape not in (None, (len(STEP_MEASURES), len(plan.tensors))):
        raise values.refusal("shape", state.shape, f"{len(STEP_MEASURES)} measures of {len(plan.tensors)} tensors")


def checked_snapshot(snapshot: Snapshot, step: int, plan: Optional[QuantizationPlan]) -> Snapshot:
    """Return a snapshot of ``step`` of the tensors of ``plan``."""
    if snapshot.step != step:
        raise values.refusal("step of the snapshot", snapshot.step, f"{step}, as its row says")
    if plan is None:
        return snapshot
    if snapshot.values.shape != (len(SNAPSHOT_MEASURES), len(plan.tensors)):
        raise ValueError(
            f"the snapshot of step {step} has values of the shape {snapshot.values.shape}: expected "
            f"{len(SNAPSHOT_MEASURES)} measures of {len(plan.tensors)} tensors"
        )
    names = [tensor.name for tensor in plan.tensors]
    if sorted(snapshot.histograms) != sorted(names):
        raise values.refusal(f"histograms of step {step}", sorted(snapshot.histograms), ", ".join(names))
    for tensor, bits in zip(plan.tensors, snapshot.num_bits):
        histogram = snapshot.histograms[tensor.name]
        for field, allowed in (("channel_min", {1, tensor.num_channels}), ("scale", {1, tensor.num_channels})):
            found = len(getattr(histogram, field))
            if found not in allowed:
                raise values.refusal(f"channels of {field} of {tensor.name}", found, f"1 or {tensor.num_channels}")
        if histogram.code_counts is not None and len(histogram.code_counts) > 2**bits:
            raise values.refusal(f"codes of {tensor.name}", len(histogram.code_counts), f"at most {2**bits}")
    return snapshot


def _start_setting(value: Any, name: str) -> None:
    setting = START_SETTINGS[name]
    if type(setting.check(value, name)) is not type(value):
        raise setting.refusal(value, name)


def _fraction(value: Any, what: str) -> None:
    values.number(value, what, 0.0, 1.0)


def _forked_from(value: Any, what: str) -> None:
    origin = values.mapping(value, what)
    for key in ("run_id", "directory", "checkpoint"):
        values.name(origin[key], f"{what}: {key}")
    values.step(origin["step"], f"{what}: step")


def _heads(value: Any, what: str) -> None:
    heads_from(value)
    for row in value:
        check_task(row["task"])


def _schedule(value: Any, what: str) -> None:
    schedule_from(values.sequence(value, what))


def _total(value: Any, what: str) -> None:
    if value is not None:
        _start_setting(value, what)


#: The checks of the entries of a description; entries of later versions are ignored.
_ENTRIES: Dict[str, Callable[[Any, str], Any]] = {
    "qatviz": values.name,
    "run_id": values.name,
    "created": values.date,
    "network": values.mapping,
    "settings": values.mapping,
    "data": values.name,
    "data_name": values.name,
    "data_fingerprint": values.name,
    "validation_fraction": _fraction,
    "task": lambda value, _: check_task(value),
    "scaling": lambda value, _: check_scaling(value),
    "data_options": lambda value, what: DataOptions.of(values.mapping(value, what)),
    "train_examples": lambda value, what: values.whole(value, what, 1),
    "batch_size": _start_setting,
    "batch_division": lambda value, _: BatchDivision.from_dict(value),
    "optimizer": _start_setting,
    "loss": _start_setting,
    "class_weights": _start_setting,
    "metric": _start_setting,
    "heads": _heads,
    "seed": _start_setting,
    "steps": _total,
    "schedule": _schedule,
    "keras": lambda value, _: KerasOrigin.from_dict(value),
    "given_parameters": values.boolean,
    "forked_from": _forked_from,
}
