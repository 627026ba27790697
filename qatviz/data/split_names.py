"""Parts of a data set, training, validation and test: their usual names, and the one that is held out."""

import re
from typing import Container, Optional

from qatviz.data_options import AUTO, SPLIT, TEST, VALIDATION, DataOptions
from qatviz.errors import DataError

TRAIN = "train"

_SPELLINGS = {
    TRAIN: {"train", "training", "trn"},
    VALIDATION: {"val", "valid", "validation", "dev"},
    TEST: {"test", "testing", "tst", "eval", "evaluation", "holdout"},
}


def part_of_name(name: str, is_decorated: bool = True) -> Optional[str]:
    """Return the part of a data set that a name stands for: `TRAIN`, `VALIDATION` or `TEST`.

    None if it stands for no part, or for several.

    Parameters
    ----------
    name : str
        Name of a file, folder or array, without an extension.
    is_decorated : bool
        Whether it may contain other words, as "seg_train" and "images-val" do.

    Examples
    --------
    >>> part_of_name("Valid"), part_of_name("seg_train"), part_of_name("seg_train", False), part_of_name("trainer")
    ('validation', 'train', None, None)
    """
    words = [word for word in re.split(r"[\W\d_]+", name.lower()) if word] if is_decorated else [name.lower()]
    found = {part for word in words for part, spellings in _SPELLINGS.items() if word in spellings}
    return found.pop() if len(found) == 1 else None


def held_out_part(options: DataOptions, found: Container[str], where: str) -> Optional[str]:
    """Return the part of the data to hold out; None if training examples are to be split.

    Parameters
    ----------
    options : DataOptions
        `held_out` of them is used.
    found : container of str
        Parts that the data has.
    where : str
        Name of the data in messages.

    Raises
    ------
    DataError
        If the options name a part that the data does not have.
    """
    part = next((part for part in options.held_out_parts if part in found), None)
    if part is None and options.held_out not in (AUTO, SPLIT):
        raise DataError(f"{where}: found no {options.held_out} part to hold out", "held_out")
    return part


def check_random_split(options: DataOptions, where: str) -> None:
    """Raise the `DataError` of :func:`held_out_part` if the options name a part, for data that has none to hold out."""
    held_out_part(options, (), where)
