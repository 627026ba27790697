"""Declarations of the settings of a run that are fixed at its start; see :mod:`qatviz.settings`."""

from dataclasses import dataclass
from typing import Optional

from qatviz.class_weights import ALLOWED as CLASS_WEIGHTS_FORM
from qatviz.class_weights import parse_class_weights
from qatviz.losses import AUTOMATIC, LOSS_CHOICES, LOSSES
from qatviz.metric import METRIC_CHOICES, METRICS
from qatviz.own_functions import FORM, PATTERN
from qatviz.setting_declaration import SettingsRecord, declared, settings_of
from qatviz.settings import OPTIMIZERS


@dataclass(frozen=True)
class StartSettings(SettingsRecord):
    """Settings of the whole run that are fixed at its start, except the number of steps, which can be changed later.

    ``steps`` may be None: no limit.

    Raises
    ------
    SettingError
        If a value is not allowed.
    """

    batch_size: int = declared(
        64,
        "Batch size",
        "Number of examples in one training step; it also affects the activation ranges.",
        low=1,
        high=65536,
        unit="examples",
    )
    optimizer: str = declared(
        OPTIMIZERS[0],
        "Optimizer",
        "Method that computes updates of the weights from gradients.",
        choices={"": OPTIMIZERS},
        labels={"adam": "Adam", "adamw": "AdamW", "momentum": "Momentum", "rmsprop": "RMSprop", "sgd": "SGD"},
    )
    loss: str = declared(
        AUTOMATIC,
        "Loss",
        "Number that training minimizes; by default, cross-entropy for classes, binary with a single output, and mean "
        "squared error for regression. A function of a Python file gets (y_true, y_pred) as in Keras.",
        choices={"": LOSS_CHOICES},
        pattern=PATTERN,
        form=FORM,
        labels={AUTOMATIC: "By the task", **{name: loss.title for name, loss in LOSSES.items()}},
    )
    class_weights: str = declared(
        "",
        "Class weights",
        "Factors of the losses of a class' examples: balanced gives all classes the same weight in sum, whatever their "
        "number of examples; empty: 1.",
        form=CLASS_WEIGHTS_FORM,
    )
    metric: str = declared(
        AUTOMATIC,
        "Metric",
        "Number that evaluations on held-out data compute; by default, the accuracy for classes, the mean IoU "
        "for masks and the RMSE for regression. Top-5 accuracy needs more than 5 classes, AUC needs 2. "
        "A function of a Python file gets (y_true, y_pred) as in Keras; its results are averaged.",
        choices={"": METRIC_CHOICES},
        pattern=PATTERN,
        form=FORM,
        labels={AUTOMATIC: "By the task", **{name: metric.capitalized_title for name, metric in METRICS.items()}},
    )
    seed: int = declared(
        0,
        "Seed",
        "Determines initial weights, batches and dropout: the same seed gives the same run.",
        low=0,
        high=2**32 - 1,
    )
    steps: Optional[int] = declared(
        2000,
        "Total steps",
        "Number of training steps after which the run ends, counted from its start.",
        low=0,
        high=10**9,
    )

    def __post_init__(self) -> None:
        for name, setting in START_SETTINGS.items():
            value = getattr(self, name)
            if name == "steps" and value is None:
                continue
            # Other types are refused: these values are recorded unchanged.
            if type(setting.check(value, name)) is not type(value):
                raise setting.refusal(value, name)
        parse_class_weights(self.class_weights)


START_SETTINGS = settings_of(StartSettings)
