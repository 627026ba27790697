"""JSON-able forms of the objects that a server and a viewer exchange, by the types that they are declared with.

Objects are named tuples and frozen dataclasses of plain values, arrays and each other. They are decoded by their type
hints, so that a peer decides about values, but not about types: nothing but these classes is ever constructed, and a
value of another type is refused. Arrays are sent beside the form, which has their numbers.
"""

import collections.abc
import typing
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple, Type, Union

import numpy as np

from qatviz.network.graph import Network
from qatviz.network.layer import Layer
from qatviz.network.layers import layer_from_dict
from qatviz.network.plan import QuantizationPlan
from qatviz.protocol import values
from qatviz.protocol.commands import Command, command_from
from qatviz.protocol.events import Event, event_from
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.snapshots import Snapshot
from qatviz.protocol.wire import snapshot_of_parts, snapshot_parts
from qatviz.remote.errors import FrameError
from qatviz.session.request import RunRequest
from qatviz.telemetry.run_summary import RunSummary

Arrays = List[np.ndarray]
#: Errors of decoding a value of another type or form.
_REFUSED = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError)
_NONE = type(None)
#: Names in type hints that their modules import for type checks only.
_NAMES: Dict[str, Any] = {"RunSummary": RunSummary}


class _Form(NamedTuple):
    """Functions to and from the form of a class that has one of its own."""

    to: Callable[[Any, Arrays], Any]
    back: Callable[[Any, Sequence[np.ndarray]], Any]


def form_of(value: Any, arrays: Arrays) -> Any:
    """Return the JSON-able form of a value; its arrays are appended to ``arrays``.

    Raises
    ------
    TypeError
        If it has none.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return len(arrays) - 1
    if isinstance(value, bytes):
        arrays.append(np.frombuffer(value, np.uint8))
        return len(arrays) - 1
    for kind, form in _OWN_FORMS.items():
        if isinstance(value, kind):
            return form.to(value, arrays)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: form_of(getattr(value, name), arrays) for name in value._fields}
    if is_dataclass(value):
        return {f.name: form_of(getattr(value, f.name), arrays) for f in fields(value) if f.init}
    if isinstance(value, collections.abc.Mapping):
        return {_key(key): form_of(item, arrays) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [form_of(item, arrays) for item in value]
    raise TypeError(f"{type(value).__name__} has no form")


def value_of(kind: Any, form: Any, arrays: Sequence[np.ndarray] = ()) -> Any:
    """Return the value of the type hint ``kind`` that a form stands for.

    Raises
    ------
    FrameError
        If it is not of that type.
    """
    try:
        return _value(kind, form, arrays)
    except _REFUSED as error:
        name = getattr(kind, "__name__", str(kind))
        raise FrameError(f"an invalid {name}: {error}") from error


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"key {key!r} has no form")
    return key


def _value(kind: Any, form: Any, arrays: Sequence[np.ndarray]) -> Any:
    if kind is Any or kind is object:
        return _plain(form)
    origin = getattr(kind, "__origin__", None)
    if origin is Union:
        return _one_of(kind.__args__, form, arrays)
    if origin is tuple:
        return _tuple(kind.__args__, form, arrays)
    if origin in (list, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection):
        found = [_value(kind.__args__[0], item, arrays) for item in values.sequence(form, "list")]
        return found if origin is list else tuple(found)
    if origin in (dict, collections.abc.Mapping):
        return {name: _value(kind.__args__[1], item, arrays) for name, item in values.mapping(form, "mapping").items()}
    if kind in (dict, collections.abc.Mapping):
        return _plain(values.mapping(form, "mapping"))
    if kind is np.ndarray:
        return arrays[values.whole(form, "number of an array", 0, len(arrays) - 1)]
    if kind is bytes:
        return arrays[values.whole(form, "number of an array", 0, len(arrays) - 1)].tobytes()
    if kind in _PLAIN:
        return _PLAIN[kind](form)
    for known, own in _OWN_FORMS.items():
        if issubclass(kind, known):
            found = own.back(form, arrays)
            if not isinstance(found, kind):
                raise values.refusal(kind.__name__, type(found).__name__, kind.__name__)
            return found
    if issubclass(kind, Enum):
        return kind(form)
    return _record(kind, values.mapping(form, kind.__name__), arrays)


def _one_of(kinds: Sequence[Any], form: Any, arrays: Sequence[np.ndarray]) -> Any:
    """Return the value of the first of several types that a form has."""
    if form is None and _NONE in kinds:
        return None
    reason: Exception = ValueError("there is no type")
    for kind in kinds:
        if kind is not _NONE:
            try:
                return _value(kind, form, arrays)
            except _REFUSED as error:
                reason = error
    raise reason


def _tuple(kinds: Sequence[Any], form: Any, arrays: Sequence[np.ndarray]) -> Tuple[Any, ...]:
    items = values.sequence(form, "tuple")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_value(kinds[0], item, arrays) for item in items)
    if kinds == ((),):
        kinds = ()
    if len(items) != len(kinds):
        raise values.refusal("tuple", items, f"{len(kinds)} values")
    return tuple(_value(kind, item, arrays) for kind, item in zip(kinds, items))


def _record(kind: Type[Any], form: Dict[str, Any], arrays: Sequence[np.ndarray]) -> Any:
    """Return a named tuple or dataclass; fields that are missing have their default values."""
    hints = _hints(kind)
    unknown = set(form) - set(hints)
    if unknown:
        raise values.refusal(f"fields of {kind.__name__}", sorted(unknown), ", ".join(hints))
    return kind(**{name: _value(hints[name], item, arrays) for name, item in form.items()})


def _hints(kind: Type[Any]) -> Dict[str, Any]:
    if kind not in _known_hints:
        if hasattr(kind, "_fields"):
            names = list(kind._fields)
        elif is_dataclass(kind):
            names = [f.name for f in fields(kind) if f.init]
        else:
            raise TypeError(f"{kind.__name__} has no form")
        hints = typing.get_type_hints(kind, None, _NAMES)
        _known_hints[kind] = {name: hints[name] for name in names}
    return _known_hints[kind]


_known_hints: Dict[Type[Any], Dict[str, Any]] = {}


def _plain(form: Any) -> Any:
    """Return plain JSON; lists become tuples."""
    if isinstance(form, list):
        return tuple(map(_plain, form))
    if isinstance(form, dict):
        return {name: _plain(item) for name, item in form.items()}
    return form


def _float(form: Any) -> float:
    if isinstance(form, bool) or not isinstance(form, (int, float)):
        raise values.refusal("number", form, "a number")
    return float(form)


def _int(form: Any) -> int:
    if isinstance(form, bool) or not isinstance(form, int):
        raise values.refusal("number", form, "a whole number")
    return form


def _text(form: Any) -> str:
    return values.text(form, "text")


def _flag(form: Any) -> bool:
    return values.boolean(form, "flag")


def _nothing(form: Any) -> None:
    if form is not None:
        raise values.refusal("value", form, "none")


_PLAIN: Dict[Any, Callable[[Any], Any]] = {int: _int, float: _float, str: _text, bool: _flag, _NONE: _nothing}


def _snapshot_form(snapshot: Snapshot, arrays: Arrays) -> Any:
    header, named = snapshot_parts(snapshot)
    numbers = {}
    for name, array in named.items():
        numbers[name] = len(arrays)
        arrays.append(array)
    return {"header": header, "arrays": numbers, "branch": snapshot.branch}


def _snapshot_back(form: Any, arrays: Sequence[np.ndarray]) -> Snapshot:
    numbers = values.mapping(form["arrays"], "arrays of a snapshot")
    named = {name: arrays[values.whole(n, "array", 0, len(arrays) - 1)] for name, n in numbers.items()}
    found = snapshot_of_parts(values.mapping(form["header"], "header of a snapshot"), named)
    object.__setattr__(found, "branch", values.whole(form["branch"], "branch", -1))
    return found


def _event_back(form: Any, arrays: Sequence[np.ndarray]) -> Event:
    return event_from(values.mapping(form, "event"))


def _book_form(book: SettingsBook, arrays: Arrays) -> Any:
    return {"plan": form_of(book.plan, arrays), "settings": book.to_dict()}


def _book_back(form: Any, arrays: Sequence[np.ndarray]) -> SettingsBook:
    plan = _value(QuantizationPlan, form["plan"], arrays)
    return SettingsBook.from_dict(plan, values.mapping(form["settings"], "settings"))


def _event_form(event: Event, arrays: Arrays) -> Any:
    return event.to_dict()


#: Classes with their own forms, which their other readers check, too.
_OWN_FORMS: Dict[Type[Any], _Form] = {
    Network: _Form(lambda value, _: value.to_dict(), lambda form, _: Network.from_dict(form)),
    Layer: _Form(lambda value, _: value.to_dict(), lambda form, _: layer_from_dict(form)),
    SettingsBook: _Form(_book_form, _book_back),
    Event: _Form(_event_form, _event_back),
    Command: _Form(lambda value, _: value.to_dict(), lambda form, _: command_from(values.mapping(form, "command"))),
    RunRequest: _Form(lambda value, _: value.to_dict(), lambda form, _: RunRequest.from_dict(form)),
    Snapshot: _Form(_snapshot_form, _snapshot_back),
}
