"""What a new run is made of, as the New run dialog asks for it, and the checks that read no file."""

import os
import re
from dataclasses import dataclass, replace
from typing import Dict, List, Optional

from qatviz.errors import SettingError
from qatviz.gui.model.places import place_problem
from qatviz.network.zoo import NETWORKS
from qatviz.presets import DEFAULT_PRESET, PRESETS
from qatviz.settings import OPTIMIZERS, QUANTIZER_SETTINGS, RUN_SETTINGS, START_SETTINGS

BATCH_SIZE, SEED, STEPS = (START_SETTINGS[name] for name in ("batch_size", "seed", "steps"))
QUANT_DELAY = replace(
    QUANTIZER_SETTINGS["quant_delay"],
    label="Quantize from step",
    help="Until this training step all tensors are in float; then quantization begins. 0: from the start.",
)
TASKS = ("classification", "regression")
LEARNING_RATE = RUN_SETTINGS["learning_rate"]

#: Endings of files that may hold a Keras model; ``.keras`` and ``.pb`` are refused with what can be done.
MODEL_ENDINGS = (".h5", ".hdf5", ".json", ".py", ".keras", ".pb")
_EXPECTED = "expected a directory that is new or empty"
_SCRIPT = re.compile(r"(.+\.py):([A-Za-z_]\w*)")


@dataclass(frozen=True)
class NewRun:
    """A run that the user wants.

    Attributes
    ----------
    network : str
        A name of the zoo, or the path of a Keras model's file, or ``path.py:function``.
    weights : str or None
        A file with weights for a model's architecture (JSON).
    allow_code : bool
        Whether Python code in the model's file may be run.
    from_scratch : bool
        Whether the model's weights are left out.
    data : str
        What :func:`qatviz.data.load` is to be given: a name or a path.
    task : str or None
        "classification" or "regression"; None: what the data says or is.
    batch_size, optimizer, learning_rate, seed, preset
        As the options of ``qatviz train``.
    quant_delay : int
        The step before which nothing is quantized.
    steps : int or None
        None: until stopped.
    out : str or None
        The directory to record to; None: the run is not kept.
    """

    network: str = "lenet"
    weights: Optional[str] = None
    allow_code: bool = False
    from_scratch: bool = False
    data: str = "mnist-5k"
    task: Optional[str] = None
    batch_size: int = BATCH_SIZE.default
    optimizer: str = OPTIMIZERS[0]
    learning_rate: float = LEARNING_RATE.default
    seed: int = SEED.default
    preset: str = DEFAULT_PRESET
    quant_delay: int = QUANT_DELAY.default
    steps: Optional[int] = STEPS.default
    out: Optional[str] = None

    @property
    def is_model(self) -> bool:
        """Whether the network is a model of the user's own."""
        return names_model(self.network)

    def problems(self) -> Dict[str, str]:
        """By field: what is wrong with it and what is allowed. What only files can tell is not looked at."""
        found = {}
        for name, known in (("optimizer", OPTIMIZERS), ("preset", PRESETS), ("task", (None, *TASKS))):
            if getattr(self, name) not in known:
                found[name] = f"{getattr(self, name)!r}: expected one of {', '.join(map(str, known))}"
        network = network_problem(self.network)
        if network:
            found["network"] = network
        numbers = {"batch_size": BATCH_SIZE, "seed": SEED, "learning_rate": LEARNING_RATE, "quant_delay": QUANT_DELAY}
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

    def arguments(self) -> List[str]:
        """The arguments of ``qatviz train`` that begin the run."""
        name = os.path.expanduser(self.network) if self.is_model else self.network
        values = {
            "model" if self.is_model else "network": name,
            "data": self.data,
            "batch-size": self.batch_size,
            "optimizer": self.optimizer,
            "learning-rate": self.learning_rate,
            "seed": self.seed,
            "preset": self.preset,
            "steps": "inf" if self.steps is None else self.steps,
        }
        if self.is_model:
            values["model-weights"] = self.weights and os.path.expanduser(self.weights)
        values.update({"task": self.task, "quant-delay": self.quant_delay or None, "out": self.out})
        # With "=", since a path may begin with a dash.
        words = [f"--{name}={value}" for name, value in values.items() if value is not None]
        flags = {"allow-code": self.allow_code, "from-scratch": self.from_scratch} if self.is_model else {}
        return words + ["--" + name for name, is_on in flags.items() if is_on]


def names_model(network: str) -> bool:
    """Whether it is meant as the path of a model rather than as a name of the zoo."""
    return network not in NETWORKS and (network.startswith("~") or any(sign in network for sign in (os.sep, "/", ".")))


def is_model_path(path: str) -> bool:
    """Whether a file's name is that of a model, and not of data."""
    return path.lower().endswith(MODEL_ENDINGS) or _SCRIPT.fullmatch(path) is not None


def network_problem(network: str) -> str:
    """What is wrong with the name of a network; an empty text where nothing is."""
    if network in NETWORKS:
        return ""
    if not names_model(network):
        return f"{network!r}: expected one of {', '.join(NETWORKS)}, or the path of a Keras model's file"
    if network.lower().endswith(".py"):
        return f"expected {network}:FUNCTION, where the function returns the model"
    return ""


def stem_of(network: str) -> str:
    """What a run of this network is named after: the name of the file without its ending."""
    path = _SCRIPT.sub(r"\2", network) if _SCRIPT.fullmatch(network) else os.path.basename(network)
    stem = os.path.splitext(path)[0] if names_model(network) else path
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "model"


def directory_problem(path: str) -> str:
    """Why a run can't be recorded to ``path``; an empty text where it can, as far as can be told without trying."""
    if not path.strip():
        return _EXPECTED
    path = os.path.abspath(os.path.expanduser(path))
    problem = place_problem(path, _EXPECTED)
    if not problem and os.path.isdir(path) and os.listdir(path):
        return f"{path}: is not empty; {_EXPECTED}"
    return problem
