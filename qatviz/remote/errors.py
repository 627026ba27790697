"""Errors of connections, and the JSON-able form in which a server sends errors to a viewer."""

from typing import Any, Dict, Type

from qatviz import errors
from qatviz.errors import QatvizError, explanation
from qatviz.protocol import values


class FrameError(QatvizError):
    """A peer has sent a frame that is invalid or too large."""


class TooLargeError(QatvizError):
    """A frame is larger than the peer accepts, and was not sent."""


class LinkError(QatvizError):
    """A server can't be reached, or the connection to it is lost."""


class RemoteFailure(Exception):
    """An error in the program on the other machine; the message of its ``__cause__`` is the traceback there."""


class _RemoteTraceback(Exception):
    """Traceback on the other machine, which a traceback on this one shows as the cause."""


#: Classes of errors that a viewer raises again, by name; any other error for the user becomes a `QatvizError`.
_KINDS: Dict[str, Type[QatvizError]] = {
    kind.__name__: kind
    for kind in (
        errors.SettingError,
        errors.NetworkError,
        errors.CodeRefused,
        errors.DataError,
        errors.ChoiceNeeded,
        errors.RecordError,
        errors.RunStateError,
        errors.ExportError,
    )
}


def error_form(error: BaseException, trace: str) -> Dict[str, Any]:
    """Return the JSON-able form of an error; ``trace`` is its traceback, sent only if the error is in the program."""
    if not isinstance(error, QatvizError):
        explained = explanation(error)
        return {"trace": trace} if explained is None else {"message": explained}
    form: Dict[str, Any] = {
        "kind": type(error).__name__,
        "message": str(error),
        "field": error.field,
        "reason": error.reason,
        "begins_with_field": error._begins_with_field,
    }
    if isinstance(error, errors.CodeRefused):
        form["code"] = error.code
    if isinstance(error, errors.ChoiceNeeded):
        form["choices"] = {name: list(choices) for name, choices in error.choices.items()}
    return form


def error_of(form: Any) -> Exception:
    """Return the error of which :func:`error_form` made the form.

    Raises
    ------
    ValueError
        If the form is invalid.
    """
    form = values.mapping(form, "error")
    if "trace" in form:
        trace = values.text(form["trace"], "trace")
        failure = RemoteFailure(trace.strip().rpartition("\n")[2])
        failure.__cause__ = _RemoteTraceback("\n" + trace)
        return failure
    message, field = values.text(form.get("message"), "message"), values.text(form.get("field", ""), "field")
    kind = _KINDS.get(str(form.get("kind")), QatvizError)
    error: QatvizError
    if kind is errors.CodeRefused:
        error = errors.CodeRefused(message, field, values.text(form.get("code", ""), "code"))
    elif kind is errors.ChoiceNeeded:
        rows = values.mapping(form.get("choices", {}), "choices")
        choices = {
            name: tuple(values.text(choice, "choice") for choice in values.sequence(row, "choices"))
            for name, row in rows.items()
        }
        error = errors.ChoiceNeeded(message, field, choices)
    else:
        error = kind(message, field)
    error.reason = values.text(form.get("reason", message), "reason")
    error._begins_with_field = bool(form.get("begins_with_field", False))
    return error
