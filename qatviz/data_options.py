"""Declarations of the options that decide how data is read; each format uses those that apply to it.

The command line, the window, the API and the record use these names, allowed values, defaults and help texts.
"""

import re
from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from qatviz.errors import SettingError, did_you_mean
from qatviz.setting_declaration import declared, settings_of

AUTO = "auto"
RESIZE, CROP, PAD = "resize", "crop", "pad"
REFUSE, SKIP = "refuse", "skip"
YES, NO = "yes", "no"
ROWS = "rows"
NO_LABEL = "none"
#: Way out of a refusal of a part that the option `unusable` skips.
SKIPPING = "set unusable to skip to leave out and count such parts"
TEST, VALIDATION, SPLIT = "test", "validation", "split"
MICRO, MFCC, WAVEFORM = "micro", "mfcc", "waveform"

_SIZE = r"([1-9]\d{0,4})x([1-9]\d{0,4})"
_NAME = r"[^\x00-\x1f]*"
_NAMED_COLORS = {"black": (0, 0, 0), "grey": (128, 128, 128), "white": (255, 255, 255)}


@dataclass(frozen=True)
class DataOptions:
    """Options that decide how data is read; :meth:`check` checks their values."""

    image_size: str = declared(
        AUTO,
        "Image size",
        "Height and width to which images of other sizes are converted; by default, all images must have one size. For "
        "tables: size of the images whose pixels are in the columns, by default recognized as MNIST's are; or rows.",
        pattern=f"{AUTO}|{ROWS}|{_SIZE}",
        form=f"HEIGHTxWIDTH in pixels, such as 64x64, {AUTO} or {ROWS}",
    )
    fit: str = declared(
        RESIZE,
        "Fit",
        "How an image is converted to the image size: stretched to it; scaled until it covers it, and the excess at "
        "both ends cut off; or scaled until it fits into it, and the rest filled with the background. Pixels are "
        "interpolated bilinearly, and averaged where images become smaller.",
        choices={"": (RESIZE, CROP, PAD)},
        labels={RESIZE: "Resize (stretch)", CROP: "Crop to the size", PAD: "Pad to the size"},
    )
    background: str = declared(
        "white",
        "Background",
        "Colour behind transparent pixels, and around padded images.",
        pattern="|".join((*_NAMED_COLORS, "#[0-9A-Fa-f]{6}")),
        form=f"{', '.join(_NAMED_COLORS)} or #RRGGBB",
    )
    unusable: str = declared(
        REFUSE,
        "Unusable parts",
        "Whether data is refused if a part of it can't be used, or the part is skipped and counted: damaged files, "
        "classes without images, classes without training examples, rows with missing values.",
        choices={"": (REFUSE, SKIP)},
        labels={REFUSE: "Refuse the data", SKIP: "Skip and count them"},
    )
    held_out: str = declared(
        AUTO,
        "Held-out part",
        "Part on which the network is evaluated: by default the test part of the data, else its validation part, else "
        "some of the training examples, chosen at random (split).",
        choices={"": (AUTO, TEST, VALIDATION, SPLIT)},
        labels={AUTO: "Test, else validation", TEST: "Test", VALIDATION: "Validation", SPLIT: "Split at random"},
    )

    sound_features: str = declared(
        MICRO,
        "Sound features",
        "What is computed of sounds: TensorFlow Lite Micro's front end of micro_speech in integers, mel-frequency "
        "cepstral coefficients, or nothing: the samples themselves.",
        choices={"": (MICRO, MFCC, WAVEFORM)},
        labels={MICRO: "micro_speech", MFCC: "MFCC", WAVEFORM: "Waveform"},
    )
    sound_seconds: str = declared(
        AUTO,
        "Sound length",
        "Seconds to which sounds are cut or extended by silence; by default, the length that most of them have.",
        pattern=rf"{AUTO}|\d{{1,3}}(\.\d{{1,4}})?",
        form=f"seconds, such as 1 or 0.75, or {AUTO}",
    )
    schema: str = declared(
        "",
        "Schema",
        "JSON file that says which features of TFRecord files are examples and targets, and how they are stored; by "
        "default schema.json beside them.",
        pattern=_NAME,
        form="the path of a file",
    )
    features: str = declared(
        "",
        "Features",
        "Array with the examples, where the names of arrays do not tell; or columns of a table with the features, by "
        "default all but the targets.",
        pattern=_NAME,
        form="the name of an array, or names or numbers of columns, separated by commas",
    )
    targets: str = declared(
        "",
        "Targets",
        "Array with the labels or targets, where the names of arrays do not tell; or column of a table with them, or "
        "several columns; or those of each output of a network (OUTPUT=COLUMN;OUTPUT=COLUMN,COLUMN).",
        pattern=_NAME,
        form="the name of an array, or names or numbers of columns, separated by commas",
    )
    header: str = declared(
        AUTO,
        "Header",
        "Whether the first row of a table has the names of its columns; by default as its texts suggest.",
        choices={"": (AUTO, YES, NO)},
        labels={AUTO: "Auto-detect", YES: "First row has names", NO: "No header"},
    )
    ignored_label: str = declared(
        AUTO,
        "Ignored label",
        "Label of the pixels of masks that count neither in the loss nor in the metric; by default 255, if it is above "
        "those of the classes.",
        pattern=rf"{AUTO}|{NO_LABEL}|[0-9]|[1-9]\d{{1,3}}|65535",
        form=f"a label from 0 to 9999, 65535, {AUTO} or {NO_LABEL}",
    )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "DataOptions":
        """Return the checked options with these values by name, and the defaults for all others.

        Raises
        ------
        SettingError
            If there is no such option, or a value is not allowed; its field is the name of the option.
        """
        for name in values:
            if name not in DATA_OPTIONS:
                raise SettingError.of_field(name, f"is not an option of data.{did_you_mean(name, DATA_OPTIONS)}")
        options = cls(**values)
        options.check()
        return options

    def check(self) -> None:
        """Raise a `SettingError` about the first option whose value is not allowed."""
        for name in DATA_OPTIONS:
            check_data_option(name, getattr(self, name))

    @classmethod
    def of_keywords(cls, values: Mapping[str, Any]) -> "DataOptions":
        """Return the options of a script, unchecked: targets may be columns, in a list, also by name of an output."""
        found = dict(values)
        targets = found.get("targets")
        if isinstance(targets, Mapping):
            found["targets"] = ";".join(f"{output}={_columns(names)}" for output, names in targets.items())
        elif isinstance(targets, (list, tuple)):
            found["targets"] = _columns(targets)
        return cls(**found)

    def given(self) -> Dict[str, str]:
        """Return the values that are not defaults, by name of the option."""
        return {name: value for name, value in asdict(self).items() if value != DATA_OPTIONS[name].default}

    def text(self) -> str:
        """Return :meth:`given` with the texts of the window: ``Image size: 64x64; Fit: Crop to the size``."""
        settings = {name: DATA_OPTIONS[name] for name in self.given()}
        return "; ".join(f"{setting.label}: {setting.text(getattr(self, name))}" for name, setting in settings.items())

    @property
    def size(self) -> Optional[Tuple[int, int]]:
        """Height and width of `image_size` in pixels; None for "auto" and "rows"."""
        match = re.fullmatch(_SIZE, self.image_size)
        return None if match is None else (int(match.group(1)), int(match.group(2)))

    @property
    def held_out_parts(self) -> Tuple[str, ...]:
        """Parts that may be held out, the preferred one first; none if training examples are to be split."""
        return {AUTO: (TEST, VALIDATION), SPLIT: ()}.get(self.held_out, (self.held_out,))

    @property
    def background_color(self) -> Tuple[int, int, int]:
        """Red, green and blue of `background`, from 0 to 255."""
        if self.background in _NAMED_COLORS:
            return _NAMED_COLORS[self.background]
        red, green, blue = bytes.fromhex(self.background[1:])
        return red, green, blue


DATA_OPTIONS = settings_of(DataOptions)
#: Options that name arrays or columns, which are among :attr:`qatviz.data.Dataset.choices`.
OF_PARTS = ("features", "targets")


def _columns(names: Any) -> str:
    return ",".join(map(str, names)) if isinstance(names, (list, tuple)) else str(names)


def check_data_option(name: str, value: Any) -> None:
    """Raise a `SettingError` with the field ``name`` if the value of a data option is not allowed."""
    setting = DATA_OPTIONS[name]
    try:
        setting.check(value)
    except SettingError as error:
        raise SettingError.of_field(name, f"is {value!r}: expected {setting.allowed()}") from error
