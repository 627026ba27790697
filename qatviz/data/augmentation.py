"""Augmentation of training batches: a pure function of seed and step, the same in resumed, rewound and forked runs."""

from typing import List, NamedTuple, Sequence

import numpy as np

from qatviz.augmentation_settings import BOTH, HORIZONTAL, NO_FLIP, VERTICAL, AugmentationSettings
from qatviz.data.split import seed_words

# Separates these random streams from others with the same seed ("augm" in ASCII); each kind has a stream of its own, so
# that switching one on does not change the others.
_STREAM = 0x6175676D
_SHIFT, _FLIP, _ROTATION, _TIME_SHIFT, _NOISE, _MIXUP = range(6)


class Augmented(NamedTuple):
    """Training batch after augmentation.

    Attributes
    ----------
    examples : np.ndarray
        float32, in the shape that they had.
    targets : np.ndarray
        Labels or targets; those that are images or masks are moved as the examples are. They are not mixed.
    order : np.ndarray
        int64 ``[n]``: index of the example with which each example is mixed.
    weight : float
        Weight of the example itself in the mixture, 0 to 1; that of the other one is ``1 - weight``. 1 without mixup.
    """

    examples: np.ndarray
    targets: np.ndarray
    order: np.ndarray
    weight: float


class AugmentedOutputs(NamedTuple):
    """Training batch of a network with several outputs after augmentation; ``targets`` has those of each output.

    The other fields are those of :class:`Augmented`.
    """

    examples: np.ndarray
    targets: List[np.ndarray]
    order: np.ndarray
    weight: float


def augment(
    examples: np.ndarray, targets: np.ndarray, settings: AugmentationSettings, seed: int, step: int
) -> Augmented:
    """Return a batch of a network with one output after augmentation: see :func:`augment_outputs`.

    ``targets`` are the labels or targets of the examples, ``[n]`` or ``[n, ...]``.
    """
    batch = augment_outputs(examples, [targets], settings, seed, step)
    return Augmented(batch.examples, batch.targets[0], batch.order, batch.weight)


def augment_outputs(
    examples: np.ndarray, targets: Sequence[np.ndarray], settings: AugmentationSettings, seed: int, step: int
) -> AugmentedOutputs:
    """Return a batch after augmentation; images and masks among the targets of all outputs are moved alike.

    In this order, images are flipped, rotated and shifted, images and sequences are shifted in time, noise is added,
    and examples are mixed. Settings that do not apply to the shape of the examples have no effect.

    Parameters
    ----------
    examples : np.ndarray
        float32, as fed to the network: images ``[n, height, width, channels]``, sequences ``[n, rows, columns]`` or
        features ``[n, features]``.
    targets : sequence of np.ndarray
        Labels or targets of the examples for each output, ``[n]`` or ``[n, ...]``.
    settings : AugmentationSettings
    seed, step : int
        Seed of the run, and number of training steps before this one.
    """
    targets = list(targets)
    number, low, high = len(examples), examples.min(), examples.max()

    def random(kind: int) -> np.random.RandomState:
        return np.random.RandomState([_STREAM, kind, *seed_words(seed), *seed_words(step)])

    if examples.ndim == 4 and (settings.augment_shift or settings.augment_rotation or settings.augment_flip != NO_FLIP):
        shifts = random(_SHIFT).uniform(-settings.augment_shift, settings.augment_shift, (number, 2))
        mirrored = random(_FLIP).rand(number, 2) < 0.5
        mirrored &= [settings.augment_flip in (VERTICAL, BOTH), settings.augment_flip in (HORIZONTAL, BOTH)]
        angles = np.radians(random(_ROTATION).uniform(-1, 1, number) * settings.augment_rotation)
        examples = moved(examples, shifts, mirrored, angles)
        targets = [_targets_moved(own, shifts, mirrored, angles) if own.ndim > 2 else own for own in targets]
    if examples.ndim > 2 and settings.augment_time_shift:
        largest = settings.augment_time_shift
        times = random(_TIME_SHIFT).uniform(-largest, largest, number)
        examples = _shifted_in_time(examples, times)
        targets = [_shifted_in_time(own, times) if own.ndim > 2 else own for own in targets]
    if settings.augment_noise:
        noise = random(_NOISE).standard_normal(examples.shape).astype(np.float32)
        examples = np.clip(examples + noise * np.float32(settings.augment_noise * (high - low)), low, high)
    order, share = np.arange(number), 1.0
    if settings.augment_mixup:
        draws = random(_MIXUP)
        share = float(np.float32(draws.beta(settings.augment_mixup, settings.augment_mixup)))
        order = draws.permutation(number)
        examples = examples * np.float32(share) + examples[order] * np.float32(1 - share)
    return AugmentedOutputs(examples, targets, order, share)


def _targets_moved(targets: np.ndarray, shifts: np.ndarray, mirrored: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Return images that are moved as the examples are, or masks ``[n, height, width]``, whose classes are kept."""
    if targets.ndim == 4:
        return moved(targets, shifts, mirrored, angles)
    return moved(targets[..., np.newaxis], shifts, mirrored, angles, nearest=True)[..., 0]


def moved(
    images: np.ndarray, shifts: np.ndarray, mirrored: np.ndarray, angles: np.ndarray, nearest: bool = False
) -> np.ndarray:
    """Flip images, then rotate them around their centre, then shift them; pixels at the edge fill gaps.

    Parameters
    ----------
    images : np.ndarray
        float32 ``[n, height, width, channels]``.
    shifts : np.ndarray
        float ``[n, 2]``: downwards and to the right, as fractions of height and width; rounded to whole pixels.
    mirrored : np.ndarray
        bool ``[n, 2]``: upside down, left to right.
    angles : np.ndarray
        float ``[n]``: counterclockwise, in radians. If all are 0, pixels are copied, else interpolated linearly.
    nearest : bool
        If True, the nearest pixel is copied also with rotation.

    Returns
    -------
    np.ndarray
        float32, in the shape of ``images``; in their dtype if pixels are copied.
    """
    # The position in the given image of each pixel of the result, found by the inverse movements in inverse order.
    height, width = images.shape[1:3]
    centre = (height - 1) / 2, (width - 1) / 2
    down, right = np.rint(shifts * [height, width]).T
    y = (np.arange(height) - centre[0] - down[:, np.newaxis])[:, :, np.newaxis]
    x = (np.arange(width) - centre[1] - right[:, np.newaxis])[:, np.newaxis, :]
    sine, cosine = (f(angles)[:, np.newaxis, np.newaxis] for f in (np.sin, np.cos))
    signs = np.where(mirrored, -1.0, 1.0)[:, :, np.newaxis, np.newaxis]
    rows = signs[:, 0] * (cosine * y + sine * x) + centre[0]
    columns = signs[:, 1] * (cosine * x - sine * y) + centre[1]
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    which = np.arange(len(images))[:, np.newaxis, np.newaxis]
    if nearest or not angles.any():
        return np.asarray(images[which, np.rint(rows).astype(np.int64), np.rint(columns).astype(np.int64)])
    top, left = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    bottom, far = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down_part = (rows - top).astype(np.float32)[..., np.newaxis]
    right_part = (columns - left).astype(np.float32)[..., np.newaxis]
    above = images[which, top, left] * (1 - right_part) + images[which, top, far] * right_part
    below = images[which, bottom, left] * (1 - right_part) + images[which, bottom, far] * right_part
    return np.asarray(above * (1 - down_part) + below * down_part)


def _shifted_in_time(examples: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Shift examples (``[n, length, ...]``) to later times, by fractions ``[n]`` of their length; edges fill gaps."""
    length = examples.shape[1]
    times = np.arange(length) - np.rint(shifts * length).astype(np.int64)[:, np.newaxis]
    return np.asarray(examples[np.arange(len(examples))[:, np.newaxis], np.clip(times, 0, length - 1)])
