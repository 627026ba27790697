"""Errors with messages for the user; any other exception is a bug."""

import contextlib
import copy
import difflib
from dataclasses import dataclass
from typing import Iterable, Iterator, Mapping, NamedTuple, Optional, Tuple, Type, TypeVar, Union

from qatviz.memory import memory_shortage
from qatviz.tensorflow_presence import has_tensorflow, missing_text

Value = Union[bool, int, float, str]
_Error = TypeVar("_Error", bound="QatvizError")


class QatvizError(Exception):
    """Base class of all errors with messages for the user.

    A message names the item, the value found and the values allowed.

    Parameters
    ----------
    message : str
    field : str
        Field of a request to which the error applies, such as ``batch_size``; empty if none.

    Attributes
    ----------
    reason : str
        Message without the field or file that :meth:`of_field` or :meth:`of_file` prefixes.
    """

    def __init__(self, message: str = "", field: str = ""):
        super().__init__(message)
        self.field, self.reason = field, message
        self._begins_with_field = False

    @classmethod
    def of_field(cls: Type[_Error], field: str, reason: str) -> _Error:
        """Return the error "FIELD REASON", such as "batch_size is 0: expected ..."."""
        error = cls(f"{field} {reason}", field)
        error.reason, error._begins_with_field = reason, True
        return error

    def of_file(self: _Error, file: str) -> _Error:
        """Return the error "FILE: MESSAGE" with the same reason."""
        error = copy.copy(self)
        error.args, error._begins_with_field = (f"{file}: {self}",), False
        return error

    def worded(self, name: str) -> str:
        """Return the message; if it begins with the name of the field, with ``name`` in its place."""
        return f"{name} {self.reason}" if self._begins_with_field else str(self)


class SettingError(QatvizError):
    """A setting's name or value is not allowed."""


class NetworkError(QatvizError):
    """A network description is inconsistent; the message names the layer."""


class CodeRefused(NetworkError):
    """A model's file contains code that the user has not allowed to be run.

    ``code`` describes the code; the message also explains how to allow it.
    """

    def __init__(self, message: str = "", field: str = "", code: str = ""):
        super().__init__(message, field)
        self.code = code


class DataError(QatvizError):
    """A data set cannot be used; the message names the file."""


class ChoiceNeeded(DataError):
    """Data that can only be used if options are chosen.

    ``choices`` has the possible values of each of these options, by its name.
    """

    def __init__(self, message: str = "", field: str = "", choices: Optional[Mapping[str, Tuple[str, ...]]] = None):
        super().__init__(message, field)
        self.choices = dict(choices or {})


class RecordError(QatvizError):
    """A run directory or checkpoint cannot be read or written; the message names the file."""


class OutputError(QatvizError):
    """Standard output or standard error can't be written."""


class RunStateError(QatvizError):
    """A command is not possible in the current state of the run."""


class TensorFlowMissing(QatvizError):
    """Something needs TensorFlow 1.15, which is not installed; the message names the remedy."""


def require_tensorflow(what: str) -> None:
    """Raise TensorFlowMissing if TensorFlow 1.15 is not installed; ``what`` needs it: "training", a gerund."""
    if not has_tensorflow():
        raise TensorFlowMissing(missing_text(what))


class SettingChange(NamedTuple):
    """Remedy: another value for a setting of the run.

    ``path`` may be a pattern, such as ``*.activations.num_bits``; see
    :class:`qatviz.protocol.settings_book.SettingsBook`.
    """

    path: str
    value: Value


class OptionChange(NamedTuple):
    """Remedy: another value for an option of the request; ``note`` describes the consequence."""

    option: str
    value: Value
    note: str = ""


class Advice(NamedTuple):
    """Remedy that can't be applied automatically, as a phrase that follows "possible": "after the first step"."""

    text: str


Remedy = Union[SettingChange, OptionChange, Advice]


@dataclass(frozen=True)
class Refusal:
    """Reason why a request is refused, with the changes that would make it possible, the recommended one first."""

    reason: str
    remedies: Tuple[Remedy, ...] = ()

    def __str__(self) -> str:
        """Return the reason and its remedies as a sentence, such as "... ; possible with a.num_bits=8, or ..."."""
        if not self.remedies:
            return self.reason
        return f"{self.reason}; {alternatives_text(map(remedy_text, self.remedies))}"


def alternatives_text(remedies: Iterable[str]) -> str:
    """Return "possible A, B, or C" for the texts of at least one remedy."""
    *texts, last = remedies
    return f"possible {''.join(text + ', ' for text in texts)}{'or ' if texts else ''}{last}"


def remedy_text(remedy: Remedy) -> str:
    """Return the remedy as a phrase that follows "possible": "with conv1.weights.symmetric=on"."""
    if isinstance(remedy, Advice):
        return remedy.text
    if isinstance(remedy, SettingChange):
        return f"with {change_text(remedy)}"
    note = f", {remedy.note}" if remedy.note else ""
    if isinstance(remedy.value, bool):
        return f"{'with' if remedy.value else 'without'} the option {remedy.option}{note}"
    return f"with the option {change_text(remedy)}{note}"


def change_text(change: Union[SettingChange, OptionChange]) -> str:
    """Return the change as an assignment, such as "conv1.weights.symmetric=on"."""
    value = {True: "on", False: "off"}[change.value] if isinstance(change.value, bool) else change.value
    return f"{change[0]}={value}"


class ExportError(QatvizError):
    """A state of a network can't be exported in the requested form, or the export can't be written.

    Attributes
    ----------
    refusals : tuple of Refusal
        All reasons why the format does not support the network; empty for any other error.
    """

    refusals: Tuple[Refusal, ...] = ()

    @classmethod
    def refused(cls, *refusals: Refusal) -> "ExportError":
        """Return the error with the text of these refusals."""
        error = cls("; ".join(map(str, refusals)))
        error.refusals = refusals
        return error


def refused(reason: str, *remedies: Remedy) -> ExportError:
    """Return the error for a single refusal."""
    return ExportError.refused(Refusal(reason, remedies))


@contextlib.contextmanager
def about(field: str) -> Iterator[None]:
    """Set ``field`` as the field of a QatvizError raised in this context, unless it has one."""
    try:
        yield
    except QatvizError as error:
        error.field = error.field or field
        raise


@contextlib.contextmanager
def prefixed(where: str) -> Iterator[None]:
    """Raise a QatvizError of this context as "WHERE: MESSAGE"; unchanged if ``where`` is empty."""
    try:
        yield
    except QatvizError as error:
        if not where:
            raise
        raise error.of_file(where) from error


def explanation(error: BaseException) -> Optional[str]:
    """Return the message for the user: of a QatvizError, or for a lack of memory or of TensorFlow.

    None for an error in the program.
    """
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == "tensorflow":
        return missing_text("this")
    return str(error) if isinstance(error, QatvizError) else memory_shortage(error)


def message_of(error: BaseException) -> str:
    """Return the message for any error: its :func:`explanation`, or the type and text of an error in the program."""
    return explanation(error) or f"{type(error).__name__}: {error}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean ...?" for the known word closest to ``word``; empty if there is none."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""
