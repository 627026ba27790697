"""The error that exports raise on purpose."""

from qatviz.errors import QatvizError


class ExportError(QatvizError):
    """A state of a network cannot take the form that is asked for.

    The message names the layer, the reason, and what would make it possible.
    """
