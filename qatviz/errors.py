"""The errors qatviz raises on purpose; everything else is a bug."""


class QatvizError(Exception):
    """Base of every error whose message is meant for the user.

    A message names the thing, the value that was found and what is allowed.
    """


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
