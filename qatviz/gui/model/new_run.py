"""Fields of the New run dialog, and the errors of a request by field."""

import os
from dataclasses import replace
from typing import Dict

from qatviz.augmentation_settings import AUGMENTATION_SETTINGS
from qatviz.data_options import DATA_OPTIONS
from qatviz.gui.model.path_check import path_problem
from qatviz.session.request import NewRunRequest
from qatviz.settings import QUANTIZER_SETTINGS, RUN_SETTINGS
from qatviz.start_settings import START_SETTINGS

BATCH_SIZE, SEED, STEPS = (START_SETTINGS[name] for name in ("batch_size", "seed", "steps"))
QUANT_DELAY = replace(
    QUANTIZER_SETTINGS["quant_delay"],
    label="Quantize from step",
    help="Training step at which quantization begins; before it, all tensors are in float. 0: from the start.",
)
LEARNING_RATE = RUN_SETTINGS["learning_rate"]
#: Settings of the schedule of the learning rate: its kind, and its numbers.
SCHEDULE = RUN_SETTINGS["lr_schedule"]
SCHEDULE_NUMBERS = {name: RUN_SETTINGS[name] for name in ("lr_period", "lr_factor", "warmup_steps")}
#: Settings of augmentation: the numbers, and the directions in which images are mirrored.
AUGMENTATION_NUMBERS = {
    name: RUN_SETTINGS[name] for name in AUGMENTATION_SETTINGS if RUN_SETTINGS[name].choices is None
}
FLIP = RUN_SETTINGS["augment_flip"]
#: Filter of the file dialogs for data.
DATA_FILES = "Data sets (*.npz *.npy *.csv *.tsv *ubyte *ubyte.gz *.tar.gz *.zip);;All files (*)"

#: Labels of the dialog's fields, from top to bottom.
LABELS = {
    "network": "Network",
    "weights": "Weights",
    "from_scratch": "Start from",
    "fold_forward": "Batch norm",
    "replace_relu6": "ReLU6",
    "data": "Data",
    "task": "Task",
    "scaling": "Scaling",
    **{name: option.label for name, option in DATA_OPTIONS.items()},
    "preset": "Preset",
    "quant_delay": QUANT_DELAY.label,
    "heads": "Outputs",
    "loss": START_SETTINGS["loss"].label,
    "class_weights": START_SETTINGS["class_weights"].label,
    "metric": START_SETTINGS["metric"].label,
    "teacher_model": RUN_SETTINGS["teacher"].label,
    "optimizer": START_SETTINGS["optimizer"].label,
    "learning_rate": LEARNING_RATE.label,
    "lr_schedule": SCHEDULE.label,
    **{name: setting.label for name, setting in SCHEDULE_NUMBERS.items()},
    FLIP.name: f"Augment: {FLIP.label.lower()}",
    **{name: f"Augment: {setting.label.lower()}" for name, setting in AUGMENTATION_NUMBERS.items()},
    "batch_size": BATCH_SIZE.label,
    "seed": SEED.label,
    "steps": STEPS.label,
    "workers": "Workers",
    "out": "Record",
}
#: Fields of the dialog by fields of a request, where their names differ.
_FIELDS = {"model": "network", "allow_code": "network", "model_weights": "weights"}
_EXPECTED = "expected a directory that is new or empty"


def field_of(name: str, default: str = "network") -> str:
    """Return the dialog's field for the request's field ``name``; ``default`` if there is none."""
    field = _FIELDS.get(name, name)
    return field if field in LABELS else default


def problems_of(request: NewRunRequest, is_here: bool = True) -> Dict[str, str]:
    """Return the errors of a request, by the dialog's field.

    The folder to record to is only checked if it is on this machine (``is_here``).
    """
    found: Dict[str, str] = {}
    for name, error in request.problems().items():
        field = field_of(name)
        label = LABELS.get(error.field, LABELS[field]) if field == "heads" else LABELS[field]
        found.setdefault(field, error.worded(label))
    if request.out is not None and is_here:
        problem = directory_problem(request.out)
        if problem:
            found["out"] = problem
    return found


def directory_problem(path: str) -> str:
    """Return the reason why a run can't be recorded to ``path``, found without writing; empty if there is none."""
    if not path.strip():
        return _EXPECTED
    path = os.path.abspath(os.path.expanduser(path))
    problem = path_problem(path, _EXPECTED)
    if not problem and os.path.isdir(path) and os.listdir(path):
        return f"{path}: is not empty; {_EXPECTED}"
    return problem
