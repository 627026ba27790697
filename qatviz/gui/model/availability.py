"""States in which a run accepts commands, and the reason why it accepts none."""

from typing import Optional

from qatviz.telemetry.run_handle import BUILDING, FAILED, FINISHED, NEW, PAUSED, RECORDED, RUNNING, STOPPED, RunHandle

#: States in which a run accepts commands.
ACTIVE_STATES = (NEW, BUILDING, RUNNING, PAUSED)
#: Reasons why controls are disabled: without a run, and by the state of a run that accepts no commands.
_NO_RUN = "There is no run: start one with “New run…”, or open a recorded one."
_ENDED = {
    RECORDED: "This run is recorded and not in progress: “Resume this run” continues it, “Fork…” starts another.",
    STOPPED: "The run has been stopped: “Resume this run” continues a recorded run.",
    FINISHED: "The run has done all its steps: “Train longer” or “Resume this run” continues a recorded run.",
    FAILED: "The run has failed: “Resume this run” continues a recorded run from its last checkpoint.",
}


def obstacle_of(run: Optional[RunHandle], ended: bool) -> str:
    """Return the reason why a run can't be changed, for the tooltips of disabled controls; empty if it can."""
    if run is None:
        return _NO_RUN
    if not ended and run.state in ACTIVE_STATES:
        return run.connection.obstacle
    return _ENDED.get(run.state, _ENDED[STOPPED])
