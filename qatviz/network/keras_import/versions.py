"""Settings whose meaning depends on the version of Keras that wrote a description."""

import re
from typing import Any, Dict

#: Activations that Keras 3 defines otherwise than Keras 2, with the names that they have here.
KERAS3_ACTIVATIONS = {"hard_sigmoid": "hard_sigmoid_keras3"}
#: Interpolations that the package Keras before 2.4 defines otherwise than Keras in TensorFlow.
OLD_INTERPOLATIONS = {"bilinear": "bilinear_keras_2_3"}


def is_of_old_package(version: Any) -> bool:
    """Return whether a version is one of the package Keras before 2.4; those of Keras in TensorFlow end with "-tf"."""
    match = re.fullmatch(r"(\d+)\.(\d+)\.\d+", version) if isinstance(version, str) else None
    return match is not None and tuple(map(int, match.groups())) < (2, 4)


def with_old_names(config: Dict[str, Any]) -> Dict[str, Any]:
    """Return the config of a layer of the package Keras before 2.4 with the names that its interpolations have here."""
    interpolation = config.get("interpolation")
    if not isinstance(interpolation, str) or interpolation not in OLD_INTERPOLATIONS:
        return config
    return dict(config, interpolation=OLD_INTERPOLATIONS[interpolation])


def is_keras3(record: Any) -> bool:
    """Return whether the description of a model or layer is Keras 3's, which names the shape of an InputLayer anew."""
    config = record.get("config") if isinstance(record, dict) else None
    if not isinstance(config, (dict, list)):
        return False
    if isinstance(config, dict) and record.get("class_name") == "InputLayer":
        return "batch_shape" in config
    layers = config.get("layers") if isinstance(config, dict) else config
    return isinstance(layers, list) and any(map(is_keras3, layers))


def with_keras3_names(config: Dict[str, Any]) -> Dict[str, Any]:
    """Return the config of a layer of Keras 3, or of a wrapper of layers, with the names that activations have here."""
    found = dict(config)
    for key, value in config.items():
        if key in ("activation", "recurrent_activation") and isinstance(value, str):
            found[key] = KERAS3_ACTIVATIONS.get(value, value)
        if key in ("layer", "backward_layer") and isinstance(value, dict) and isinstance(value.get("config"), dict):
            found[key] = dict(value, config=with_keras3_names(value["config"]))
    return found


#: Layers that change only what the model is trained on, not its size.
AUGMENTATIONS = (
    "AugMix",
    "CutMix",
    "Equalization",
    "MixUp",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHeight",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomWidth",
    "RandomZoom",
    "Solarization",
)
#: Layers on images that Keras 3 describes as called with training=True if they are called without the argument. What a
#: model predicts does not depend on it: training=False then replaces it.
CALLED_IN_TRAINING = (*AUGMENTATIONS, "CenterCrop", "RandomCrop", "Resizing")
