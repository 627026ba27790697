"""Folders of WAV files with one subfolder per class, such as Speech Commands, in a directory or a zip archive."""

import os
import zipfile
from collections import Counter
from contextlib import ExitStack
from typing import Counter as CounterType
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.data.build import from_arrays, name_from_path
from qatviz.data.checks import check_memory
from qatviz.data.class_folders import FileKind, FolderReader, Part, skipped_notes
from qatviz.data.dataset import Dataset, Note
from qatviz.data.file_tree import DirectoryTree, FileTree, zip_tree
from qatviz.data.sound_features import (
    DESCRIPTIONS,
    LEAST_RATE,
    WINDOW_MS,
    Compute,
    feature_extractor,
    feature_shape,
)
from qatviz.data.wav import Sound, read_wav
from qatviz.data_options import AUTO, SKIP, TEST, VALIDATION, WAVEFORM, DataOptions
from qatviz.errors import DataError

#: Names of the data options that apply.
SOUND_OPTIONS = ("sound_features", "sound_seconds", "unusable", "held_out")
#: Files of sounds. Speech Commands has sounds to mix with the others in a folder of this name.
SOUNDS = FileKind("sound", "sounds", (".wav",), ("_background_noise_",))
#: Lists of the files of a part, as Speech Commands has them.
_LISTS = {TEST: "testing_list.txt", VALIDATION: "validation_list.txt"}
_MAX_LIST_BYTES = 64 * 2**20
#: Number of files that are examined to tell a folder of sounds from others.
_MOST_EXAMINED = 200


def load_sound_folder(
    path: str, validation_fraction: float = 0.2, seed: int = 0, options: DataOptions = DataOptions()
) -> Dataset:
    """Load a data set from a directory, or a zip archive of it, with one subfolder of WAV files per class.

    Parts and classes are as in :func:`qatviz.data.folder.load_folder`. Files that ``testing_list.txt``, else
    ``validation_list.txt``, names are held out. All sounds get the same length: longer ones are cut at their end,
    shorter ones are followed by silence.

    Returns
    -------
    Dataset
        Features, float32, of :func:`qatviz.data.sound_features.feature_shape`.

    Raises
    ------
    DataError
        If a file is damaged and is not skipped, rates differ, a folder is empty, or a sound is too short.
    """
    with ExitStack() as stack:
        tree: FileTree = DirectoryTree(path) if os.path.isdir(path) else stack.enter_context(zip_tree(path))
        folder = FolderReader(tree, options, SOUNDS)
        parts = folder.parts()
        if len(parts) == 1:
            parts = _listed_parts(tree, parts[0], options)
        reader = _SoundReader(tree, options)
        features = reader.read([part.files for part in parts])
        arrays = [(found, np.array(part.labels, np.int32)[kept]) for part, (found, kept) in zip(parts, features)]
    return from_arrays(
        name_from_path(path),
        path,
        arrays[0],
        arrays[1] if len(arrays) > 1 else None,
        folder.class_names,
        validation_fraction,
        seed,
        notes=[*folder.notes(), *reader.notes()],
    )


def is_sound_folder(path: str) -> bool:
    """Return whether a path is a directory or a zip archive with WAV files in folders."""
    if os.path.isdir(path):
        examined = 0
        for folder, _, names in os.walk(path):
            if folder != path and any(map(SOUNDS.has, names)):
                return True
            examined += len(names)
            if examined > _MOST_EXAMINED:
                break
        return False
    if not os.path.isfile(path) or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/" in name and SOUNDS.has(name) for name in archive.namelist()[:_MOST_EXAMINED])
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _listed_parts(tree: FileTree, part: Part, options: DataOptions) -> List[Part]:
    """Return the training part, and the held-out part if a list names its files."""
    wanted = options.held_out_parts
    lists = [_LISTS[name] for name in wanted if _LISTS[name] in tree.files("")]
    if not lists:
        return [part]
    with tree.open(lists[0]) as stream:
        content = stream.read(_MAX_LIST_BYTES)
    listed = set(content.decode("utf-8", "replace").split("\n"))
    listed = {line.strip() for line in listed}
    parts = Part([], []), Part([], [])
    for file, label in zip(part.files, part.labels):
        chosen = parts[file in listed]
        chosen.files.append(file)
        chosen.labels.append(label)
    return [each for each in parts if each.files]


class _Length(NamedTuple):
    """Length to which all sounds are brought."""

    samples: int
    rate: int


class _SoundReader:
    """Reader of the sounds of a tree as features, which counts what it converts and skips."""

    def __init__(self, tree: FileTree, options: DataOptions):
        self._tree, self._options = tree, options
        self._skips = options.unusable == SKIP
        self._damaged: List[str] = []
        self._counts: CounterType[str] = Counter()
        self._length = _Length(0, 0)

    def read(self, parts: Sequence[Sequence[str]]) -> List[Tuple[np.ndarray, np.ndarray]]:
        """Return the features of each part, float32, and the indices of their paths in it."""
        self._length = self._common_length([path for part in parts for path in part])
        samples, rate = self._length
        kind = self._options.sound_features
        if kind != WAVEFORM and rate < LEAST_RATE:
            raise DataError(
                f"{self._tree.root}: found {rate:,} samples a second; expected at least {LEAST_RATE:,} for "
                f"{kind!r}, or the features {WAVEFORM!r}",
                "sound_features",
            )
        if samples < rate * WINDOW_MS // 1000:
            raise DataError(f"{self._tree.root}: sounds have {samples:,} samples; expected at least {WINDOW_MS} ms")
        shape = feature_shape(kind, samples, rate)
        total = sum(map(len, parts))
        check_memory(self._tree.root, total * int(np.prod(shape)) * 4, f"loading {total:,} sounds")
        with feature_extractor(kind, samples, rate) as compute:
            return [self._read_part(part, compute, shape) for part in parts]

    def notes(self) -> List[Note]:
        """Return notes on the features, and on what was skipped and converted."""
        samples, rate = self._length
        notes = [Note(f"sounds are fed as {DESCRIPTIONS[self._options.sound_features]}, of {rate:,} samples a second")]
        total = self._counts["sounds"]
        for key, effect in (("longer", "cut"), ("shorter", "followed by silence")):
            if self._counts[key]:
                length = f"{samples / rate:g} s"
                notes.append(Note(f"sounds {key} than {length}: {self._counts[key]:,} of {total:,}, {effect}"))
        return skipped_notes("damaged files", self._damaged, is_mistake=True) + notes

    def _common_length(self, paths: Sequence[str]) -> _Length:
        """Return the wanted length, by default that of most sounds, and the rate of all sounds."""
        lengths: CounterType[int] = Counter()
        first: Optional[Tuple[str, int]] = None
        for path in paths:
            sound = self._sound(path)
            if sound is None:
                continue
            if first is None:
                first = path, sound.rate
            if sound.rate != first[1]:
                raise DataError(
                    f"{self._tree.where(path)}: found {sound.rate:,} samples a second, but {first[1]:,} in "
                    f"{self._tree.where(first[0])}; expected the same rate in all files"
                )
            lengths[len(sound.samples)] += 1
        if first is None:
            raise DataError(f"{self._tree.root}: found no sound that can be read")
        self._damaged.clear()  # found again when they are read
        seconds = self._options.sound_seconds
        samples = lengths.most_common(1)[0][0] if seconds == AUTO else round(float(seconds) * first[1])
        return _Length(samples, first[1])

    def _read_part(
        self, paths: Sequence[str], compute: Compute, shape: Tuple[int, ...]
    ) -> Tuple[np.ndarray, np.ndarray]:
        features = np.empty((len(paths), *shape), np.float32)
        kept: List[int] = []
        for index, path in enumerate(paths):
            sound = self._sound(path)
            if sound is not None:
                features[len(kept)] = compute(self._fitted(sound.samples))
                kept.append(index)
        if not kept:
            raise DataError(f"{self._tree.root}: found no sound that can be read")
        self._counts["sounds"] += len(kept)
        return features[: len(kept)], np.array(kept, np.int64)

    def _fitted(self, samples: np.ndarray) -> np.ndarray:
        """Return a sound of the common length."""
        wanted = self._length.samples
        if len(samples) != wanted:
            self._counts["longer" if len(samples) > wanted else "shorter"] += 1
        fitted = np.zeros(wanted, np.int16)
        fitted[: min(len(samples), wanted)] = samples[:wanted]
        return fitted

    def _sound(self, path: str) -> Optional[Sound]:
        """Return a sound; None if its file is damaged and skipped."""
        where = self._tree.where(path)
        try:
            with self._tree.open(path) as stream:
                return read_wav(stream, where)
        except DataError:
            if not self._skips:
                raise
            self._damaged.append(where)
            return None
