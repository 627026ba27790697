"""A network small enough to be exported often, with the inputs of its export; and its exports."""

import json

import numpy as np
from integer_cases import book_of, network_of, state_of

from qatviz.data import from_arrays
from qatviz.export.formats import FORMATS
from qatviz.export.progress import Progress
from qatviz.export.source import ExportSource
from qatviz.network.layers import BatchNorm, Conv2D, Dense, GlobalAveragePool, MaxPool, ReLU

NETWORK = network_of(
    (8, 8, 1),
    (Conv2D, "conv", {"filters": 8, "use_bias": False}),
    (BatchNorm, "bn", {}),
    (ReLU, "relu", {}),
    (MaxPool, "pool", {}),
    (GlobalAveragePool, "means", {}),
    (Dense, "logits", {"units": 4}),
)
STATE = state_of(NETWORK)
INT8 = {"symmetric": True, "narrow_range": True, "per_channel": True}


def noise():
    """60 held-out examples for the network."""
    random = np.random.RandomState(0)
    images, labels = random.randint(0, 256, (80, 8, 8, 1)).astype(np.uint8), (np.arange(80) % 4).astype(np.int32)
    return from_arrays("noise", "a test", (images, labels), (images[:60], labels[:60]))


def export_as(
    name, path, dataset, weights=None, activations=None, metadata=None, examples=None, progress=Progress(), **options
):
    """Export to the format ``name``; settings default to 8 bits, symmetric and per channel."""
    book = book_of(NETWORK, INT8 if weights is None else weights, activations)
    source = ExportSource(NETWORK, book, STATE, dataset, None, metadata or {}, examples=examples)
    return FORMATS[name].export(source, path, options, progress)


def files_in(directory):
    """Return the contents of all files by path."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def proof_record(path):
    """Return the record of a proof from its file, without the recipe of the settings, which the proof itself lacks."""
    record = json.loads(path.read_text("utf-8"))
    assert record.pop("recipe")["rules"]
    return record
