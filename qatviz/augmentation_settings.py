"""Declarations of the settings of augmentation, which are settings of the run."""

# Apart from the other settings of the run, which :mod:`qatviz.settings` declares, because they would not fit there.

from dataclasses import dataclass
from typing import Tuple

from qatviz.setting_declaration import SettingsRecord, declared, settings_of

NO_FLIP, HORIZONTAL, VERTICAL, BOTH = "none", "horizontal", "vertical", "both"


@dataclass(frozen=True)
class AugmentationSettings(SettingsRecord):
    """Settings of augmentation; a part of :class:`qatviz.settings.RunSettings`.

    :func:`qatviz.data.augmentation.augment` applies them, unless an input of the network has ids.
    """

    augment_shift: float = declared(
        0.0,
        "Shift",
        "Largest shift of a training image, as a fraction of its height and width, by whole pixels; its edge fills the "
        "gap.",
        low=0.0,
        high=0.5,
    )
    augment_flip: str = declared(
        NO_FLIP,
        "Flip",
        "Directions in which half of the training images are mirrored.",
        choices={"": (NO_FLIP, HORIZONTAL, VERTICAL, BOTH)},
        labels={NO_FLIP: "None", HORIZONTAL: "Horizontal", VERTICAL: "Vertical", BOTH: "Both"},
    )
    augment_rotation: float = declared(
        0.0,
        "Rotation",
        "Largest rotation of a training image to either side in degrees, with linear interpolation.",
        low=0.0,
        high=180.0,
        unit="°",
    )
    augment_time_shift: float = declared(
        0.0,
        "Time shift",
        "Largest shift of a training example along its first axis, as a fraction of its length: the time of sequences "
        "and spectrograms; its edge fills the gap.",
        low=0.0,
        high=0.5,
    )
    augment_noise: float = declared(
        0.0,
        "Noise",
        "Standard deviation of normal noise on training examples, relative to the range of the batch's values, which "
        "it does not exceed.",
        low=0.0,
        high=1.0,
    )
    augment_mixup: float = declared(
        0.0,
        "Mixup",
        "Parameter α of mixup: each batch is mixed with itself in another order, with a weight drawn from Beta(α, α), "
        "and so are the losses for both labels; 0 is off.",
        low=0.0,
        high=10.0,
    )

    @property
    def augments(self) -> bool:
        """Whether any of the settings changes training examples."""
        return self.augment_flip != NO_FLIP or any(getattr(self, name) for name in _AMOUNTS)

    def unused_augmentation(self, input_shape: Tuple[int, ...]) -> Tuple[str, ...]:
        """Return the names of the settings without effect on examples of this shape."""
        if len(input_shape) == 3:
            return ()
        of_images = ("augment_shift", "augment_flip", "augment_rotation")
        return of_images if len(input_shape) == 2 else (*of_images, "augment_time_shift")


#: Settings that are off if they are 0.
#: Names of the settings.
AUGMENTATION_SETTINGS = tuple(settings_of(AugmentationSettings))
_AMOUNTS = ("augment_shift", "augment_rotation", "augment_time_shift", "augment_noise", "augment_mixup")
