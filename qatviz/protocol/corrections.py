"""Progress of corrections, for the present readers of a run: it is not recorded."""

# Apart from the commands, which are sent to a run, and the events, which are recorded.

from typing import NamedTuple, Optional


class CorrectionProgress(NamedTuple):
    """Progress of a correction.

    Attributes
    ----------
    step : int
        Number of training steps complete.
    command : str
        Name of the command's class.
    fraction : float or None
        Fraction that is done, 0 to 1; None when it has ended, as the reply to the command says.
    """

    step: int
    command: str
    fraction: Optional[float]
