"""Conversion of the objects that a server and a viewer exchange to JSON-able forms, and back by their type hints.

The objects are named tuples and dataclasses whose fields are plain values, arrays, or such objects. The form of an
object maps the names of its fields to their forms, so that JSON can represent it. Arrays are sent beside the form,
which contains the index of each.

The reader states the type that it expects, and decodes the fields by their type hints. A peer can thus choose values,
but no types: a value of another type is refused, and no other class is constructed.
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
from qatviz.remote.errors import FrameError
from qatviz.remote.snapshot_form import decode_snapshot, encode_snapshot
from qatviz.session.request import RunRequest
from qatviz.telemetry.run_summary import RunSummary

#: Arrays beside a form, which refers to them by index.
Arrays = List[np.ndarray]
#: Errors that the decoding of an invalid form can raise.
_REFUSED = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError)
_NONE = type(None)
#: Classes by their names in type hints, which the modules with these hints import for type checks only.
_NAMES: Dict[str, Any] = {"RunSummary": RunSummary}


class _OwnForm(NamedTuple):
    """Conversions of a class whose form is not made of its fields.

    Attributes
    ----------
    encode : callable (object, arrays)
        Returns the form; appends arrays to ``arrays``.
    decode : callable (form, arrays)
        Returns the object, or raises one of :data:`_REFUSED`.
    """

    encode: Callable[[Any, Arrays], Any]
    decode: Callable[[Any, Sequence[np.ndarray]], Any]


def form_of(value: Any, arrays: Arrays) -> Any:
    """Return the JSON-able form of a value, and append its arrays and bytes to ``arrays``.

    Raises
    ------
    TypeError
        If a value is of a type that has no form.
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
            return form.encode(value, arrays)
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
    """Return the value of which :func:`form_of` returned the form.

    Parameters
    ----------
    kind : type or type hint
        Expected type of the value.
    form : object
        Form, after encoding to JSON and decoding.
    arrays : sequence of np.ndarray
        Arrays beside the form.

    Raises
    ------
    FrameError
        If the form is not that of a value of this type.
    """
    try:
        return _value(kind, form, arrays)
    except _REFUSED as error:
        name = getattr(kind, "__name__", str(kind))
        raise FrameError(f"an invalid {name}: {error}") from error


def _key(key: Any) -> str:
    """Return the key of a mapping; raise TypeError if it is no text."""
    if not isinstance(key, str):
        raise TypeError(f"key {key!r} has no form")
    return key


def _value(kind: Any, form: Any, arrays: Sequence[np.ndarray]) -> Any:
    """Return as :func:`value_of` does; raise FrameError or one of :data:`_REFUSED` if the form is invalid."""
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
        return _array(form, arrays)
    if kind is bytes:
        return _array(form, arrays).tobytes()
    if kind in _PLAIN:
        return _PLAIN[kind](form)
    for known, own in _OWN_FORMS.items():
        if issubclass(kind, known):
            found = own.decode(form, arrays)
            if not isinstance(found, kind):
                raise values.refusal(kind.__name__, type(found).__name__, kind.__name__)
            return found
    if issubclass(kind, Enum):
        return kind(form)
    return _record(kind, values.mapping(form, kind.__name__), arrays)


def _array(form: Any, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return the array whose index is the form."""
    return arrays[values.whole(form, "index of an array", 0, len(arrays) - 1)]


def _one_of(kinds: Sequence[Any], form: Any, arrays: Sequence[np.ndarray]) -> Any:
    """Return the value as the first type of a union for which the form is valid."""
    if form is None and _NONE in kinds:
        return None
    reason: Exception = ValueError("a union without types")
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
    if kinds == ((),):  # the hint Tuple[()]
        kinds = ()
    if len(items) != len(kinds):
        raise values.refusal("tuple", items, f"{len(kinds)} values")
    return tuple(_value(kind, item, arrays) for kind, item in zip(kinds, items))


def _record(kind: Type[Any], form: Dict[str, Any], arrays: Sequence[np.ndarray]) -> Any:
    """Return a named tuple or dataclass; fields that the form lacks get their default values."""
    hints = _hints(kind)
    unknown = set(form) - set(hints)
    if unknown:
        raise values.refusal(f"fields of {kind.__name__}", sorted(unknown), ", ".join(hints))
    return kind(**{name: _value(hints[name], item, arrays) for name, item in form.items()})


def _hints(kind: Type[Any]) -> Dict[str, Any]:
    """Return the type hints of the fields of a named tuple or dataclass by name."""
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


#: Results of :func:`_hints`, which take long to compute.
_known_hints: Dict[Type[Any], Dict[str, Any]] = {}


def _plain(form: Any) -> Any:
    """Return a form with tuples in place of its lists."""
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


def _decode_event(form: Any, arrays: Sequence[np.ndarray]) -> Event:
    return event_from(values.mapping(form, "event"))


def _encode_book(book: SettingsBook, arrays: Arrays) -> Any:
    return {"plan": form_of(book.plan, arrays), "settings": book.to_dict()}


def _decode_book(form: Any, arrays: Sequence[np.ndarray]) -> SettingsBook:
    plan = _value(QuantizationPlan, form["plan"], arrays)
    return SettingsBook.from_dict(plan, values.mapping(form["settings"], "settings"))


def _encode_event(event: Event, arrays: Arrays) -> Any:
    return event.to_dict()


#: Conversions of classes and their subclasses that already have a checked JSON-able form, for records or files.
_OWN_FORMS: Dict[Type[Any], _OwnForm] = {
    Network: _OwnForm(lambda value, _: value.to_dict(), lambda form, _: Network.from_dict(form)),
    Layer: _OwnForm(lambda value, _: value.to_dict(), lambda form, _: layer_from_dict(form)),
    SettingsBook: _OwnForm(_encode_book, _decode_book),
    Event: _OwnForm(_encode_event, _decode_event),
    Command: _OwnForm(lambda value, _: value.to_dict(), lambda form, _: command_from(values.mapping(form, "command"))),
    RunRequest: _OwnForm(lambda value, _: value.to_dict(), lambda form, _: RunRequest.from_dict(form)),
    Snapshot: _OwnForm(encode_snapshot, decode_snapshot),
}
