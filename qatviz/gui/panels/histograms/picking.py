"""Which tiles are selected after a click, by the rules of lists."""

from typing import Sequence, Tuple


def picked(
    names: Sequence[str], selected: Sequence[str], start: str, name: str, is_range: bool, is_addition: bool
) -> Tuple[Tuple[str, ...], str]:
    """The new selection, and the one in it that is current.

    Parameters
    ----------
    names : sequence of str
        In the order in which they are shown.
    selected : sequence of str
        The selection so far; it may have names that are not shown.
    start : str
        Where a range begins; a name that is not shown begins none.
    name : str
        What was clicked.
    is_range, is_addition : bool
        Whether Shift was held: all from ``start`` on; or Ctrl: in addition, or not any more. The last one stays.
    """
    if is_range and start in names:
        first, last = sorted((names.index(start), names.index(name)))
        return tuple(names[first : last + 1]), name
    if not is_addition:
        return (name,), name
    others = tuple(other for other in selected if other != name)
    if name in selected and others:
        return others, others[-1]
    return (*others, name), name
