"""Corrections of a run: batch-norm re-estimation, equalization of layers, bias correction, and AdaRound.

Training waits while a correction is computed: its result applies to the state that it was computed from, and a repeated
run applies it at the same training step. It is computed in pieces, between which other commands are executed, in a
graph of its own (:mod:`qatviz.training.correction_graph`), which is built on another thread at the first correction
that needs it.
"""

import time
from typing import Any, Callable, List, Optional, Tuple, Union

import numpy as np

from qatviz.correction.result import Correction
from qatviz.data import BatchSchedule
from qatviz.errors import QatvizError, RunStateError, message_of
from qatviz.protocol import commands as c
from qatviz.protocol.corrections import CorrectionProgress
from qatviz.protocol.run_spec import RunSpec
from qatviz.training import correction_jobs as jobs
from qatviz.training.background_graph import BackgroundGraph
from qatviz.training.cluster_session import WorkersLost
from qatviz.training.correction_graph import CorrectionGraph
from qatviz.training.inbox import Sent
from qatviz.training.live_run import LiveRun

#: Sleep while the graph is built, in seconds.
_WAIT_S = 0.02
#: Command of a correction that has ended, and its result, or the error that ended it.
Ended = Tuple[Sent, Union[Correction, QatvizError]]


class Corrections:
    """Computation of one correction at a time.

    Parameters
    ----------
    live : LiveRun
    spec : RunSpec
    put : callable
        Called with each CorrectionProgress.
    """

    def __init__(self, live: LiveRun, spec: RunSpec, put: Callable[[Any], None]):
        self._live, self._spec, self._put = live, spec, put
        self._batches = BatchSchedule(len(spec.dataset.x_train), spec.batch_size, spec.seed)
        self._graph = BackgroundGraph(lambda: CorrectionGraph(spec), "qatviz-corrections")
        self._sent: Optional[Sent] = None
        self._pieces: Optional[jobs.Pieces] = None
        self._reason = ""  # of the requested cancellation; empty without one

    @property
    def is_active(self) -> bool:
        """True from :meth:`begin` until :meth:`advance` has returned the outcome."""
        return self._sent is not None

    @property
    def is_cancelled(self) -> bool:
        """True if the correction in progress ends at the next :meth:`advance`."""
        return bool(self._reason)

    def begin(self, sent: Sent) -> None:
        """Begin to compute a correction; none may be in progress.

        Raises
        ------
        RunStateError
            If the network does not allow it, with the reason.
        """
        jobs.check_possible(self._spec, sent.command)
        self._sent, self._pieces, self._reason = sent, None, ""
        if not isinstance(sent.command, c.EqualizeLayers):
            self._graph.begin()
        self._report(0.0)

    def cancel(self, reason: str = "cancelled") -> None:
        """Cancel the correction in progress, if there is one: the next :meth:`advance` ends it for this reason."""
        self._reason = reason if self.is_active else ""

    def withdraw(self) -> Optional[Sent]:
        """End the correction in progress without an outcome; return its command, None if there is none."""
        return self._end(RunStateError("withdrawn"))[0] if self.is_active else None

    def advance(self) -> Optional[Ended]:
        """Compute a piece; return the outcome after the last one, otherwise None."""
        assert self._sent is not None, "only after begin()"
        try:
            if self._reason:
                raise RunStateError(self._reason)
            if self._pieces is None:
                if not isinstance(self._sent.command, c.EqualizeLayers) and not self._graph.is_ready:
                    time.sleep(_WAIT_S)
                    return None
                self._pieces = self._begun(self._sent.command)
            found = next(self._pieces)
        except QatvizError as error:
            return self._end(error)
        except WorkersLost:
            raise  # the caller withdraws the correction, and begins it again when the workers are back
        except Exception as error:  # a failed correction must not end the run
            return self._end(RunStateError(message_of(error)))
        if isinstance(found, Correction):
            return self._end(found)
        self._report(found)
        return None

    def close(self) -> None:
        """Release the graph."""
        self._graph.close()

    def _begun(self, command: c.Command) -> jobs.Pieces:
        """Return the pieces of the correction ``command`` of the present state."""
        live = self._live
        batches = self._last_batches(getattr(command, "batches", 0))
        present = jobs.Present(self._spec, live.book, live.graph.read_state(), batches, live.step)
        if isinstance(command, c.EqualizeLayers):
            return jobs.equalize_layers(present, command.layers)
        graph = self._graph.get()
        graph.load(present.arrays, live.book, live.step)
        if isinstance(command, c.ReestimateBatchNorm):
            return jobs.reestimate_batch_norm(present, graph)
        if isinstance(command, c.CorrectBias):
            return jobs.correct_bias(present, graph)
        assert isinstance(command, c.AdaRound)
        return jobs.ada_round(present, graph, command.iterations)

    def _last_batches(self, number: int) -> List[np.ndarray]:
        """Return the indices of the last ``number`` training batches, int32 ``[batch]`` each.

        If fewer have been trained, those of the next ones complete the number.
        """
        first = max(0, self._live.step - number)
        return [self._batches.indices(step) for step in range(first, first + number)]

    def _end(self, result: Union[Correction, QatvizError]) -> Ended:
        assert self._sent is not None
        self._report(None)
        sent, self._sent, self._pieces, self._reason = self._sent, None, None, ""
        return sent, result

    def _report(self, fraction: Optional[float]) -> None:
        assert self._sent is not None
        self._put(CorrectionProgress(self._live.step, type(self._sent.command).__name__, fraction))
