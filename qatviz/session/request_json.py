"""JSON-able forms of the fields of requests."""

# Apart from the requests, which state what is allowed; this is how they are written.

import math
from typing import Any, Mapping

from qatviz.data_options import DataOptions
from qatviz.errors import SettingError, about
from qatviz.session.changes import TimedChange
from qatviz.session.timed_corrections import TimedCorrection, parse_timed_correction
from qatviz.settings import ACTIVATIONS, WEIGHTS, RunSettings

#: Total steps of a run without a limit.
NO_LIMIT = math.inf


def to_json(value: Any) -> Any:
    """Return the JSON-able form of the value of a request's field."""
    if isinstance(value, RunSettings):
        return value.to_dict()
    if isinstance(value, DataOptions):
        return value.given()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [item.text if isinstance(item, TimedCorrection) else item.row for item in value]
    return "inf" if value == NO_LIMIT else value  # strict JSON has no infinity


def from_json(name: str, value: Any, is_new: bool) -> Any:
    """Return the value of a request's field from its JSON-able form; ``is_new``: of a request for a new run."""
    try:
        if name == "changes":
            return tuple(_timed_change(row["step"], row["assignments"]) for row in value)
        if name == "corrections":
            return tuple(map(parse_timed_correction, value))
        if name == "run" and is_new:
            with about(name):
                return RunSettings(**value)
        if name == "data_options":
            return DataOptions(**value)
        if name in (WEIGHTS, ACTIVATIONS, "run", "heads"):
            return dict(value)
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise SettingError.of_field(name, f"is {value!r}: expected the form that to_dict returns") from error
    return NO_LIMIT if name == "steps" and value == "inf" else value


def _timed_change(step: Any, assignments: Any) -> TimedChange:
    pairs = tuple((path, new) for path, new in assignments)
    is_step = step is None or (isinstance(step, int) and not isinstance(step, bool) and step >= 0)
    if not is_step or not all(isinstance(path, str) for path, _ in pairs):
        raise ValueError(f"a change at step {step!r}")
    return TimedChange(step, pairs)
