"""Sizes of a recorded run's exports before they are written, and what packing weights of few bits would save."""

import contextlib
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from qatviz.data import Dataset
from qatviz.data.data_input import DataInput
from qatviz.data.heads import with_heads
from qatviz.errors import ExportError, RecordError
from qatviz.export.formats import FORMATS, Format, Options, format_named
from qatviz.export.sizes import Sizer, sizer
from qatviz.export.source import ExportSource
from qatviz.export.tflite.limits import INT4_BITS
from qatviz.network.graph import Network
from qatviz.network.keras_import.origin import KerasOrigin
from qatviz.presentation.export_sizes import ExportSize, Packing
from qatviz.protocol.run_state import Arrays
from qatviz.protocol.settings_book import SettingsBook
from qatviz.quant import live_state
from qatviz.scaling import UNIT, UNSCALED, scalings_by_input
from qatviz.settings import WEIGHTS
from qatviz.task import CLASSIFICATION, REGRESSION, SEGMENTATION
from qatviz.telemetry.record.reader import RecordReader
from qatviz.telemetry.record.run_record import RunRecord
from qatviz.telemetry.record.schema import reading
from qatviz.training.parameters import initial_parameters

#: Bits of a byte, in which codes of fewer bits are stored unless they are packed.
_BYTE = 8


def export_size(form: Format, source: ExportSource, options: Mapping[str, Any]) -> ExportSize:
    """Return the size of an export with these options, and with each option that packs weights of few bits.

    Parameters
    ----------
    form : Format
    source : ExportSource
        State to export.
    options : dict
        Options of the format; the others have their defaults.

    Raises
    ------
    ExportError
        If the format doesn't support the network in this state.
    """
    values = form.with_defaults(options)
    bits = _bits(source.book)
    few = tuple(layer for layer, count in bits.items() if count <= INT4_BITS)
    chosen, plain = _unpacked(form, values)
    _check(form, source, values)
    size = sizer(form, source)
    nbytes = size(values)
    return ExportSize(
        nbytes,
        form.weights,
        size(plain) if chosen and few else nbytes,
        _packings(form, source, plain, size) if few else (),
        chosen,
        few,
        tuple(layer for layer, count in bits.items() if INT4_BITS < count < _BYTE),
        any(bits[layer] < INT4_BITS for layer in few),
        tuple(other.title for other in FORMATS.values() if other.packings and other is not form),
    )


def _bits(book: SettingsBook) -> Dict[str, int]:
    """Return the bits of quantized weights by layer."""
    weights = [(tensor.layer, book.of(tensor.name)) for tensor in book.plan.tensors if tensor.kind == WEIGHTS]
    return {layer: settings.on_grid().num_bits for layer, settings in weights if settings.enabled}


def _packings(form: Format, source: ExportSource, plain: Options, size: Sizer) -> Tuple[Packing, ...]:
    """Return the ways to pack weights that the format supports for the network; ``plain`` are options without any."""
    found = []
    for packing in form.packings:
        options = {**plain, **packing}
        with contextlib.suppress(ExportError):
            _check(form, source, options)
            found.append(Packing(_label(form, packing), packing, size(options)))
    return tuple(found)


def size_at(
    directory: str,
    checkpoint: str,
    book: SettingsBook,
    step: Optional[int],
    form: str,
    options: Mapping[str, Any],
) -> ExportSize:
    """Return :func:`export_size` for a state of a recorded run, without reading its data.

    It is an estimate where the size depends on what is not known: names of classes, which are numbers here, and for the
    present state the values of the weights, which are those of the newest checkpoint. May be called on any thread.

    Parameters
    ----------
    directory : str
        The run's record.
    checkpoint : str
        Name of a checkpoint; empty for the present state.
    book : SettingsBook
        The settings in that state.
    step : int, optional
        See :class:`qatviz.export.source.ExportSource`.
    form : str
        Name of the format.
    options : dict
        Options of the format; the others have their defaults.

    Raises
    ------
    ExportError
        As :func:`export_size`.
    RecordError
        If the record can't be read.
    """
    reader = RunRecord.read(directory)
    description = reader.description
    with reading(reader.path):
        network = Network.from_dict(description["network"])
        keras = KerasOrigin.from_dict(description["keras"]) if "keras" in description else None
        dataset = stand_in_data(network, description)
    name, arrays = _arrays(reader, checkpoint)
    metadata = {"run": description.get("run_id"), "checkpoint": name, "step": step or 0}
    source = ExportSource(network, book, completed_arrays(network, book, arrays), dataset, step, metadata, keras)
    return export_size(format_named(form), source, options)


def _unpacked(form: Format, values: Mapping[str, Any]) -> Tuple[str, Dict[str, Any]]:
    """Return the text of the option among ``values`` that packs weights (or ""), and the options without it."""
    chosen = [packing for packing in form.packings if all(values[name] == value for name, value in packing.items())]
    if not chosen:
        return "", dict(values)
    defaults = form.with_defaults()
    return _label(form, chosen[-1]), {**values, **{name: defaults[name] for name in chosen[-1]}}


def _label(form: Format, packing: Mapping[str, Any]) -> str:
    name, value = list(packing.items())[-1]
    label = next(option.label for option in form.options if option.name == name)
    return label if value is True else f"{label} {value}"


def _check(form: Format, source: ExportSource, options: Mapping[str, Any]) -> None:
    refusals = form.refusals(source.network, source.book, source.step, options)
    if refusals:
        raise ExportError.refused(*refusals)


def _arrays(reader: RecordReader, checkpoint: str) -> Tuple[str, Arrays]:
    """Return name and arrays of a checkpoint, by default of the newest one, or none if there is none."""
    names: List[str] = [checkpoint]
    if not checkpoint:
        names = [info.name for info in reversed(reader.list_checkpoints()) if not info.error]
    for name in names:
        try:
            return name, dict(reader.load_checkpoint(name)[0])
        except RecordError:
            if checkpoint:
                raise
    return "", {}


def completed_arrays(network: Network, book: SettingsBook, arrays: Arrays) -> Arrays:
    """Return the arrays, with initial values for missing ones, and with a range for tensors without one."""
    layout = live_state.layout(book.plan)
    found: Arrays = {**initial_parameters(network, 0), **live_state.initial_ranges(layout), **arrays}
    # A ReLU's range begins at 0; with another one, formats need an operation for its bound.
    lowest = [0.0 if layout.leaders[group].nonnegative else -1.0 for group in layout.activations]
    ends = [("range_min", "range_max", lowest), ("held_min", "held_max", -1.0)]
    for low, high, least in [*ends, ("held_channel_min", "held_channel_max", -1.0)]:
        unknown = found[low] == found[high]
        found[low] = np.where(unknown, np.float32(least), found[low])
        found[high] = np.where(unknown, np.float32(1), found[high])
    return found


def stand_in_data(network: Network, description: Mapping[str, Any]) -> Dataset:
    """Return a data set of one example with the run's scaling and tasks, in place of the run's own."""
    scaling = description.get("scaling") or UNIT
    examples = np.zeros((1, *network.input_shape), np.float32 if scaling == UNSCALED else np.uint8)
    if scaling not in (UNIT, UNSCALED):
        examples = examples.astype(np.float32)
    inputs = tuple(
        DataInput(name, shape, scalings_by_input(scaling).get(name, UNSCALED))
        for name, shape in network.inputs
        if len(network.inputs) > 1
    )
    tasks = [row["task"] for row in description.get("heads", ())] or [description.get("task") or CLASSIFICATION]
    heads = []
    for task, output, shape in zip(tasks, network.output_names, network.output_shapes):
        if task == CLASSIFICATION:
            targets = np.zeros(1, np.int32)
        else:
            axes = shape[:-1] if task == SEGMENTATION else shape
            targets = np.zeros((1, *axes), np.float32 if task == REGRESSION else np.int32)
        # A single logit is that of two classes.
        count = max(shape[-1], 2) if task in (CLASSIFICATION, SEGMENTATION) else shape[-1]
        names = () if task == REGRESSION else tuple(map(str, range(count)))
        data = (examples, targets, examples, targets, names, "the run's record", task)
        own = output if len(tasks) > 1 else ""
        heads.append(Dataset("data", *data, scaling=scaling, output=own, inputs=inputs))
    return with_heads(heads)
