"""Usual names of the parts of a data set: training, validation and test."""

# A module of its own: folders, archives, tables and arrays all use these names.

import re
from typing import Optional

TRAIN, VALIDATION, TEST = "train", "validation", "test"

_SPELLINGS = {
    TRAIN: {"train", "training", "trn"},
    VALIDATION: {"val", "valid", "validation", "dev"},
    TEST: {"test", "testing", "tst", "eval", "evaluation", "holdout"},
}


def part_of_name(name: str, is_decorated: bool = True) -> Optional[str]:
    """Return the part of a data set that a name stands for: `TRAIN`, `VALIDATION` or `TEST`; None if none or several.

    Parameters
    ----------
    name : str
    is_decorated : bool
        True if it may contain other words, as "seg_train" and "images-val" do.

    Examples
    --------
    >>> part_of_name("Valid"), part_of_name("seg_train"), part_of_name("seg_train", False), part_of_name("trainer")
    ('validation', 'train', None, None)
    """
    words = [word for word in re.split(r"[\W\d_]+", name.lower()) if word] if is_decorated else [name.lower()]
    found = {part for word in words for part, spellings in _SPELLINGS.items() if word in spellings}
    return found.pop() if len(found) == 1 else None
