"""Preparation of a run for any request."""

from qatviz.errors import QatvizError
from qatviz.session.begin import begin
from qatviz.session.prepared import Notify, Prepared, ignore
from qatviz.session.recorded import open_recorded
from qatviz.session.request import ForkRequest, NewRunRequest, OpenRequest, ResumeRequest, RunRequest
from qatviz.session.resume import fork, resume


def prepare(request: RunRequest, shown: bool = False, notify: Notify = ignore) -> Prepared:
    """Return the requested run, not started.

    Parameters
    ----------
    request : RunRequest
    shown : bool
        True for a run shown in a window: its recorded history is read back, and its threads have a lower priority.
    notify : callable
        Called with each :class:`qatviz.session.prepared.Notice`.

    Raises
    ------
    QatvizError
        Error with the name of the request's field to which it applies.
    """
    if isinstance(request, NewRunRequest):
        return begin(request, shown, notify)
    if isinstance(request, ResumeRequest):
        return resume(request, shown, notify)
    if isinstance(request, ForkRequest):
        return fork(request, shown, notify)
    if isinstance(request, OpenRequest):
        request.check()
        return open_recorded(request.directory)
    raise QatvizError(f"the request is a {type(request).__name__}: expected one of qatviz.session.request")
