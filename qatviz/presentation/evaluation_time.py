"""Time that evaluations take, in addition to that of training: they run in pieces between training steps."""

from qatviz.number_format import percent_text

#: Fraction of the time from which on evaluations are mentioned without being asked for.
NOTABLE = 0.1


def fraction_of_time(evaluation_s: float, training_s: float) -> float:
    """Return the fraction of the time that evaluations take, from their and training's seconds; 0 if not known yet."""
    return evaluation_s / (evaluation_s + training_s) if evaluation_s > 0 and training_s > 0 else 0.0


def present_fraction(evaluation_s: float, interval: int, steps_per_second: float) -> float:
    """Return the fraction of the time that evaluations take at the present speed of training; 0 if it is not known.

    Parameters
    ----------
    evaluation_s : float
        Duration of one evaluation.
    interval : int
        Training steps between two evaluations; 0: there are none.
    steps_per_second : float
        Speed of training alone; NaN or 0: not known.
    """
    if not interval or not steps_per_second > 0:
        return 0.0
    return fraction_of_time(evaluation_s, interval / steps_per_second)


def time_text(fraction: float, interval: int) -> str:
    """Return a phrase such as "evaluations every 10 steps take 40.0 % of the time"."""
    every = "at every step" if interval == 1 else f"every {interval:,} steps"
    return f"evaluations {every} take {percent_text(fraction)} of the time"
