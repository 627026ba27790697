"""The errors qatviz raises on purpose; everything else is a bug."""

import contextlib
import difflib
from typing import Iterable, Iterator


class QatvizError(Exception):
    """Base of every error whose message is meant for the user.

    A message names the thing, the value that was found and what is allowed.

    Parameters
    ----------
    message : str
    field : str
        Name of the field of a request that the error is about, such as ``batch_size``; empty if it is about none.
    """

    def __init__(self, message: str = "", field: str = ""):
        super().__init__(message)
        self.field = field
        self._predicate = ""

    @classmethod
    def of_field(cls, field: str, predicate: str) -> "QatvizError":
        """Return the error "FIELD PREDICATE", such as "batch_size is 0: expected ..."."""
        error = cls(f"{field} {predicate}", field)
        error._predicate = predicate
        return error

    def worded(self, name: str) -> str:
        """Return the message with ``name`` in place of the name of the field that it begins with, if it does."""
        return f"{name} {self._predicate}" if self._predicate else str(self)


class SettingError(QatvizError):
    """A setting's name or value is not allowed."""


class NetworkError(QatvizError):
    """A network description is inconsistent; the message names the layer."""


class CodeRefused(NetworkError):
    """A model's file holds code, and nobody has said that it may be run."""


class DataError(QatvizError):
    """A data set cannot be used; the message names the file."""


class RecordError(QatvizError):
    """A run directory or checkpoint cannot be read or written; the message names the file."""


class RunStateError(QatvizError):
    """A run was asked for something its present state does not allow."""


@contextlib.contextmanager
def about(field: str) -> Iterator[None]:
    """Name ``field`` as what errors raised inside are about."""
    try:
        yield
    except QatvizError as error:
        error.field = field
        raise


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean ...?" for the known word that is spelled most like ``word``; empty if none is."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""
