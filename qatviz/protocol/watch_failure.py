"""Report that something a run computes while it is watched has failed; the run continues."""

# Apart from the commands, which are sent to a run, and the events, which are recorded.

from typing import NamedTuple


class WatchFailure(NamedTuple):
    """Failure of a computation that a command has requested.

    Attributes
    ----------
    command : str
        Name of the command's class.
    step : int
        Number of training steps complete.
    message : str
    """

    command: str
    step: int
    message: str
