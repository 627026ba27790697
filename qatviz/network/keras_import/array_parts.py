"""Names of the parts of Keras' arrays that are parameters of their own, such as some columns of a kernel."""

from typing import NamedTuple, Optional, Tuple

from qatviz.errors import NetworkError


class ArrayPart(NamedTuple):
    """Part of an array: positions along one of its axes, from `start` to before `stop`."""

    axis: int
    start: int
    stop: int


def array_part(name: str) -> Tuple[str, Optional[ArrayPart]]:
    """Return the name of an array and the part that is a parameter, None for the whole.

    >>> array_part("recurrent_kernel/1/0/16"), array_part("bias")
    (('recurrent_kernel', ArrayPart(axis=1, start=0, stop=16)), ('bias', None))
    >>> array_part("query/kernel")
    ('query/kernel', None)
    """
    array, *numbers = name.rsplit("/", 3)
    if not any(map(str.isdecimal, numbers)):
        return name, None
    try:
        axis, start, stop = map(int, numbers)
    except ValueError as error:
        raise NetworkError(f"name of an array is {name!r}; expected: NAME or NAME/AXIS/START/STOP") from error
    return array, ArrayPart(axis, start, stop)
