"""Prepare what a request asks for."""

from qatviz.errors import QatvizError
from qatviz.session.begin import begin
from qatviz.session.prepared import Notify, Prepared, ignore
from qatviz.session.recorded import open_recorded
from qatviz.session.request import ForkRequest, NewRunRequest, OpenRequest, ResumeRequest, RunRequest
from qatviz.session.resume import fork, resume


def prepare(request: RunRequest, shown: bool = False, notify: Notify = ignore) -> Prepared:
    """Return the run that ``request`` asks for, not started.

    Parameters
    ----------
    request : RunRequest
    shown : bool
        Whether a window will show it: its history is kept, and its threads yield the processor to the window's.
    notify : callable
        Called with each :class:`qatviz.session.prepared.Notice`.

    Raises
    ------
    QatvizError
        Naming the field of the request that it is about.
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
