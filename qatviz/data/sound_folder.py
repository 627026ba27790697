"""Folders of WAV files with one subfolder per class, such as Speech Commands, in a directory or a zip archive."""

import os
import zipfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from typing import Counter as CounterType
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from qatviz.data.build import from_arrays, name_from_path, train_and_test
from qatviz.data.checks import LARGER_DATA, check_memory, names_in_zip
from qatviz.data.class_folders import FileKind, FolderReader, Part
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
from qatviz.data.split_names import held_out_part
from qatviz.data.tree_reader import TreeReader
from qatviz.data.wav import Sound, read_wav
from qatviz.data_options import AUTO, TEST, VALIDATION, WAVEFORM, DataOptions
from qatviz.errors import DataError

#: Names of the data options that apply.
SOUND_OPTIONS = ("sound_features", "sound_seconds", "unusable", "held_out")
#: Files of sounds. Speech Commands has sounds to mix with the others in a folder of this name.
SOUNDS = FileKind("sound", "sounds", (".wav",), ("_background_noise_",))
#: Lists of the files of a part, as Speech Commands has them.
_LISTS = {TEST: "testing_list.txt", VALIDATION: "validation_list.txt"}
_MAX_LIST_BYTES = 64 * 2**20
#: Number of files among which a sound must be for a folder to be recognized as one of sounds.
_MOST_EXAMINED = 200


def load_sound_folder(
    path: str, validation_fraction: float = 0.2, seed: int = 0, options: DataOptions = DataOptions()
) -> Dataset:
    """Load a data set from a directory, or a zip archive of it, with one subfolder of WAV files per class.

    Parts and classes are as in :func:`qatviz.data.folder.load_folder`. Without folders for parts, the files that
    ``testing_list.txt`` names are held out, else those that ``validation_list.txt`` names. All sounds get the same
    length: longer ones are cut at their end, shorter ones are followed by silence.

    Parameters
    ----------
    path : str
    validation_fraction, seed
        See :func:`qatviz.data.build.from_arrays`.
    options : DataOptions
        `SOUND_OPTIONS` of them are used.

    Returns
    -------
    Dataset
        Features, float32, of :func:`qatviz.data.sound_features.feature_shape`; those of a waveform with a further axis
        of length 1.

    Raises
    ------
    DataError
        If a file is damaged and is not skipped, sampling rates differ or are too low for the features, a folder is
        empty, sounds are shorter than a window of the features, or together they do not fit in memory.
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
    dataset = from_arrays(
        name_from_path(path),
        path,
        *train_and_test(arrays),
        folder.class_names,
        validation_fraction,
        seed,
        notes=[*folder.notes(), *reader.notes()],
    )
    # They are known to be features of sounds, not pixels.
    return replace(dataset, assumed=dataset.assumed._replace(scaling=False))


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
    names = names_in_zip(path)[:_MOST_EXAMINED] if os.path.isfile(path) and zipfile.is_zipfile(path) else []
    return any("/" in name and SOUNDS.has(name) for name in names)


def _listed_parts(tree: FileTree, part: Part, options: DataOptions) -> List[Part]:
    """Return the training part, and the part to hold out if a list names its files; ``part`` has the files of both."""
    lists = {name: file for name, file in _LISTS.items() if file in tree.files("")}
    held_out = held_out_part(options, lists, tree.root)
    if held_out is None:
        return [part]
    where = tree.where(lists[held_out])
    with tree.open(lists[held_out]) as stream:
        content = stream.read(_MAX_LIST_BYTES + 1)
    if len(content) > _MAX_LIST_BYTES:
        raise DataError(f"{where}: has more than {_MAX_LIST_BYTES:,} bytes; expected a list of files")
    listed = {line.strip() for line in content.decode("utf-8", "replace").split("\n")}
    parts = Part([], []), Part([], [])
    for file, label in zip(part.files, part.labels):
        chosen = parts[file in listed]
        chosen.files.append(file)
        chosen.labels.append(label)
    train, test = parts
    if not train.files or (not test.files and options.held_out != AUTO):
        found = "none" if train.files else "all"
        raise DataError(f"{where}: names {found} of the {len(part.files):,} sounds; expected those to hold out")
    return [train, test] if test.files else [train]


class _Length(NamedTuple):
    """Common length of all sounds, in samples, and their sampling rate, in samples per second."""

    samples: int
    rate: int


class _SoundReader(TreeReader):
    """Reader of the sounds of a tree as features; counts what it converts and skips.

    Parameters
    ----------
    tree : FileTree
    options : DataOptions
        "sound_features", "sound_seconds" and "unusable" of them are used.
    """

    def __init__(self, tree: FileTree, options: DataOptions):
        super().__init__(tree, options)
        self._length = _Length(0, 0)

    def read(self, parts: Sequence[Sequence[str]]) -> List[Tuple[np.ndarray, np.ndarray]]:
        """Return, for each part (paths in the tree), the features of its sounds and the indices of their paths in it.

        Features are float32 ``[n, ...]``, indices int64 ``[n]``; damaged files are missing in both if they are skipped.
        """
        self._length = self._common_length([path for part in parts for path in part])
        samples, rate = self._length
        kind = self._options.sound_features
        if kind != WAVEFORM and rate < LEAST_RATE:
            raise DataError(
                f"{self._tree.root}: found {rate:,} samples per second; expected at least {LEAST_RATE:,} for "
                f"{kind!r}, or the features {WAVEFORM!r}",
                "sound_features",
            )
        if samples < rate * WINDOW_MS // 1000:
            raise DataError(f"{self._tree.root}: sounds have {samples:,} samples; expected at least {WINDOW_MS} ms")
        shape = feature_shape(kind, samples, rate)
        total = sum(map(len, parts))
        n_bytes = total * int(np.prod(shape)) * np.dtype(np.float32).itemsize
        check_memory(self._tree.root, n_bytes, f"loading {total:,} sounds", LARGER_DATA)
        with feature_extractor(kind, samples, rate) as compute:
            return [self._read_part(part, compute, shape) for part in parts]

    def notes(self) -> List[Note]:
        """Return notes on the features, and on what was skipped and converted."""
        samples, rate = self._length
        fed = Note(f"sounds are fed as {DESCRIPTIONS[self._options.sound_features]}, of {rate:,} samples per second")
        length = f"{samples / rate:g} s"
        texts = {
            "longer": (f"longer than {length}", "cut"),
            "shorter": (f"shorter than {length}", "followed by silence"),
        }
        return [*self._damage_notes(), fed, *self._count_notes("sounds", texts)]

    def _common_length(self, paths: Sequence[str]) -> _Length:
        """Return the length that the options state, by default that of most sounds, and the rate of all sounds."""
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
                    f"{self._tree.where(path)}: found {sound.rate:,} samples per second, but {first[1]:,} in "
                    f"{self._tree.where(first[0])}; expected the same rate in all files"
                )
            lengths[len(sound.samples)] += 1
        if first is None:
            raise self._nothing_read(SOUNDS)
        self._damaged.clear()  # found again when they are read
        seconds = self._options.sound_seconds
        samples = lengths.most_common(1)[0][0] if seconds == AUTO else round(float(seconds) * first[1])
        return _Length(samples, first[1])

    def _read_part(
        self, paths: Sequence[str], compute: Compute, shape: Tuple[int, ...]
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Return the features of the sounds of a part, and the indices of their paths."""

        def features_or_none(path: str) -> Optional[np.ndarray]:
            sound = self._sound(path)
            return None if sound is None else compute(self._fitted(sound.samples))

        return self._read_rows(SOUNDS, paths, features_or_none, shape, np.dtype(np.float32))

    def _fitted(self, samples: np.ndarray) -> np.ndarray:
        """Return samples (int16 ``[n]``) cut or extended by silence to the common length."""
        wanted = self._length.samples
        if len(samples) != wanted:
            self._counts["longer" if len(samples) > wanted else "shorter"] += 1
        fitted = np.zeros(wanted, np.int16)
        fitted[: min(len(samples), wanted)] = samples[:wanted]
        return fitted

    def _sound(self, path: str) -> Optional[Sound]:
        """Return a sound; None if its file is damaged and skipped."""
        with self._skipping_damaged(path), self._tree.open(path) as stream:
            return read_wav(stream, self._tree.where(path))
        return None
