"""Data sets and reproducible minibatches. Standard library and NumPy; Pillow only for folders of images."""

from qatviz.data.batches import BatchSchedule
from qatviz.data.build import from_arrays
from qatviz.data.dataset import Dataset
from qatviz.data.notes import data_notes
from qatviz.data.registry import FILE_FORMATS, NAMED_DATA, load
from qatviz.data.store import write_store
from qatviz.data.summary import describe, format_description

__all__ = [
    "FILE_FORMATS",
    "NAMED_DATA",
    "BatchSchedule",
    "Dataset",
    "data_notes",
    "describe",
    "format_description",
    "from_arrays",
    "load",
    "write_store",
]
