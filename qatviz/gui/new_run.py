"""What a new run is made of, as the New run dialog asks for it, and the checks that need no data."""

import os
from dataclasses import dataclass
from typing import Dict, NamedTuple, Optional, Tuple

from qatviz.errors import SettingError
from qatviz.gui.controls.relevance import OPTIMIZER_SETTINGS
from qatviz.network.zoo import NETWORKS
from qatviz.presets import DEFAULT_PRESET, PRESETS
from qatviz.settings import RUN_SETTINGS, Setting

OPTIMIZERS = tuple(OPTIMIZER_SETTINGS)
#: Limits are those of :class:`qatviz.training.run_spec.RunSpec`.
BATCH_SIZE = Setting("batch_size", "Batch size", int, 64, low=1, high=65536, unit="examples",
                     help="How many examples one step learns from; activation ranges follow the batch too.")
SEED = Setting("seed", "Seed", int, 0, low=0, high=2**32 - 1,
               help="Decides initial weights, batches and dropout: the same seed gives the same run.")
STEPS = Setting("steps", "Steps", int, 2000, low=0, high=10**9,
                help="The run ends by itself after so many steps.")
LEARNING_RATE = RUN_SETTINGS["learning_rate"]


@dataclass(frozen=True)
class NewRun:
    """A run that the user wants.

    Attributes
    ----------
    network : str
        A name of the zoo.
    data : str
        What :func:`qatviz.data.load` is to be given: a name or a path.
    batch_size, optimizer, learning_rate, seed, preset
        As the options of ``qatviz train``.
    steps : int or None
        None: until stopped.
    out : str or None
        The directory to record to; None: the run is not kept.
    """

    network: str = "lenet"
    data: str = "mnist-5k"
    batch_size: int = BATCH_SIZE.default
    optimizer: str = OPTIMIZERS[0]
    learning_rate: float = LEARNING_RATE.default
    seed: int = SEED.default
    preset: str = DEFAULT_PRESET
    steps: Optional[int] = STEPS.default
    out: Optional[str] = None

    def problems(self) -> Dict[str, str]:
        """By field: what is wrong with it and what is allowed. Whether the data fits is not looked at."""
        found = {}
        for name, known in (("network", NETWORKS), ("optimizer", OPTIMIZERS), ("preset", PRESETS)):
            if getattr(self, name) not in known:
                found[name] = "{!r}: expected one of {}".format(getattr(self, name), ", ".join(known))
        numbers = {"batch_size": BATCH_SIZE, "seed": SEED, "learning_rate": LEARNING_RATE}
        if self.steps is not None:
            numbers["steps"] = STEPS
        for name, setting in numbers.items():
            try:
                setting.check(getattr(self, name))
            except SettingError as error:
                found[name] = str(error)
        if not self.data.strip():
            found["data"] = "expected a name, or a path of a file or directory"
        if self.out is not None:
            out = directory_problem(self.out)
            if out:
                found["out"] = out
        return found


class Fit(NamedTuple):
    """The data that a run would have: what a check of it tells the dialog.

    ``input_shape`` and ``num_classes`` as the network has to take them, the numbers of examples, and in ``notes`` what
    looks unintended (:func:`qatviz.data.describe`).
    """

    input_shape: Tuple[int, ...]
    num_classes: int
    train_examples: int
    test_examples: int
    notes: Tuple[str, ...] = ()

    def describe(self) -> str:
        """``28×28×1, 10 classes, 4,000 + 1,000 examples``."""
        return "{}, {:,} classes, {:,} + {:,} examples".format(
            "×".join(map(str, self.input_shape)), self.num_classes, self.train_examples, self.test_examples)


def directory_problem(path: str) -> str:
    """Why a run can't be recorded to ``path``; an empty text where it can, as far as can be told without trying."""
    if not path.strip():
        return "expected a directory that is new or empty"
    path = os.path.abspath(os.path.expanduser(path))
    if os.path.isdir(path):
        if not os.access(path, os.W_OK):
            return "{}: you may not write there".format(path)
        return "{}: is not empty: expected a directory that is new or empty".format(path) if os.listdir(path) else ""
    above = path
    while not os.path.exists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above):
        return "{}: is a file: expected a directory that is new or empty".format(above)
    return "" if os.access(above, os.W_OK) else "{}: you may not write there".format(above)
