"""Memory and time of a network on a chip, before it is exported."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

from qatviz.analysis.bit_costs import PACKED_BITS, quantized_weights
from qatviz.analysis.chip.estimate import ChipEstimate, estimate
from qatviz.analysis.chip.graph import ChipGraph
from qatviz.analysis.chip.targets import target
from qatviz.errors import ExportError, NetworkError, did_you_mean
from qatviz.export.formats import format_named
from qatviz.export.integers.lowering import exported_model
from qatviz.export.source import ExportSource
from qatviz.export.tflite.files import tflm_files
from qatviz.export.tflm.graph import chip_graph
from qatviz.network import zoo
from qatviz.network.checks import Shape
from qatviz.network.graph import Network
from qatviz.network.keras_import import in_known_shape, load_model_file
from qatviz.network.plan import QuantizationPlan, quantization_plan
from qatviz.number_format import finite
from qatviz.presets import DEFAULT_PRESET
from qatviz.protocol.settings_book import SettingsBook
from qatviz.session.checkpoints import settings_at
from qatviz.session.inspection import kind_of
from qatviz.session.sizes import completed_arrays, stand_in_data
from qatviz.settings import ACTIVATIONS
from qatviz.telemetry.outcome import read_outcome
from qatviz.telemetry.record.run_record import RunRecord

#: Largest number of bits of activations for 8-bit kernels.
_BYTE = 8


@dataclass(frozen=True)
class ChipRequest:
    """Request for the estimate of a run or of a network.

    Attributes
    ----------
    source : str
        Directory of a recorded run, name of a built-in network, or path of a model.
    chip, kernels : str
        As in :func:`qatviz.analysis.chip.targets.target`.
    mhz : float
        Clock in MHz; 0 for that of a common chip.
    checkpoint : str, optional
        State of the run whose settings count; None: the present ones.
    preset : str, optional
        Settings of a network that is no run.
    input_shape : tuple of int
        Shape of one example, for built-in networks.
    classes : int
        Number of outputs of built-in networks.
    """

    source: str
    chip: str = ""
    kernels: str = ""
    mhz: float = 0.0
    checkpoint: Optional[str] = None
    preset: Optional[str] = None
    input_shape: Shape = (28, 28, 1)
    classes: int = 10


def chip(
    source: Union[str, Path],
    chip: str = "",
    kernels: str = "",
    mhz: float = 0.0,
    checkpoint: Optional[str] = None,
    preset: Optional[str] = None,
    input_shape: Sequence[int] = (28, 28, 1),
    classes: int = 10,
) -> ChipEstimate:
    """Return flash, RAM and time of a network on a microcontroller or a phone core, without running or writing it.

    Parameters
    ----------
    source : str or Path
        Directory of a recorded run, name of a built-in network, or file of a model.
    chip : str
        Core, such as ``"cortex-m4"``; by default the most common one of the kernels.
    kernels : str
        ``"cmsis-nn"``, ``"x-cube-ai"``, ``"reference"`` or ``"xnnpack"``; by default the first for the core.
    mhz : float
        Clock; by default that of a common chip with the core.
    checkpoint : str, optional
        State of the run whose settings count; by default the present ones.
    preset : str, optional
        Settings of a network that is no run.
    input_shape : sequence of int
        Shape of one example, for built-in networks.
    classes : int
        Number of outputs of built-in networks.

    Returns
    -------
    qatviz.analysis.chip.estimate.ChipEstimate
        ``flash`` and ``ram`` (bytes), ``macs``, ``cycles``, ``seconds``, ``target.error``, ``layers``, ``arena``.

    Raises
    ------
    RecordError, NetworkError, SettingError
        If there is no such run, network, chip or library.
    ExportError
        If TFLite Micro does not support the network or its settings.
    """
    request = ChipRequest(
        os.fspath(source), chip, kernels, mhz, checkpoint, preset, tuple(map(int, input_shape)), classes
    )
    return chip_estimate(request)


def chip_estimate(request: ChipRequest) -> ChipEstimate:
    """Return the estimate of a run or of a network.

    Raises
    ------
    RecordError, NetworkError
        If there is no such run or network.
    SettingError
        If there is no such chip, library or preset.
    ExportError
        If TFLite Micro does not support the network or its settings.
    """
    goal = target(request.chip, request.kernels, request.mhz)
    network, book = _state(request)
    return estimate(network_graph(network, book), goal)


def network_graph(network: Network, book: SettingsBook) -> ChipGraph:
    """Return the graph of a network with these settings as TFLite Micro runs it; without weights' values.

    Weights of up to 4 bits are stored two per byte. May be called on any thread; TensorFlow is not imported.

    Raises
    ------
    ExportError
        If TFLite Micro does not support the network or its settings.
    """
    plan = book.plan
    form = format_named("tflm")
    wide = any(
        tensor.kind == ACTIVATIONS and book.of(tensor.name).enabled and book.of(tensor.name).num_bits > _BYTE
        for tensor in plan.tensors
    )
    # Multiplied codes would be computed from values that are not those of the run.
    options = form.with_defaults({"plain_codes": True, "int16": wide})
    refusals = form.refusals(network, book, None, options)
    if refusals:
        raise ExportError.refused(*refusals)
    arrays = completed_arrays(network, book, {})
    source = ExportSource(network, book, arrays, stand_in_data(network, {}), None, {}, None)
    content = tflm_files(exported_model(source), options).shipped.content
    packed = {name for name in quantized_weights(book) if book.of(name).on_grid().num_bits <= PACKED_BITS}
    return chip_graph(content, _units(network, plan), packed)


def _units(network: Network, plan: QuantizationPlan) -> Dict[str, str]:
    """Return the unit of each layer, and of each input itself."""
    found = {name: name for name, _ in network.inputs}
    found.update((layer.name, unit.name) for unit in plan.units for layer in unit.layers)
    return found


def _state(request: ChipRequest) -> Tuple[Network, SettingsBook]:
    if request.source in zoo.NETWORKS and not os.path.exists(request.source):
        network = zoo.build(request.source, request.input_shape, request.classes)
    elif not os.path.exists(os.path.expanduser(request.source)):
        close = did_you_mean(request.source, zoo.NETWORKS)
        raise NetworkError(
            f"{request.source}: no such run, file or network; networks: {', '.join(zoo.NETWORKS)}.{close}"
        )
    elif kind_of(os.path.expanduser(request.source)) == "run":
        return _recorded(os.path.expanduser(request.source), request.checkpoint)
    else:
        path = os.path.expanduser(request.source)
        imported, _ = in_known_shape(lambda shape: load_model_file(path, None, False, shape), request.input_shape)
        network = imported.network
    return network, SettingsBook.from_preset(quantization_plan(network), request.preset or DEFAULT_PRESET)


def _recorded(directory: str, checkpoint: Optional[str]) -> Tuple[Network, SettingsBook]:
    reader = RunRecord.read(directory)
    network = Network.from_dict(reader.description["network"])
    if checkpoint is None:
        return network, read_outcome(reader).book
    return network, settings_at(directory, checkpoint)[0]


def estimate_to_dict(found: ChipEstimate) -> Dict[str, Any]:
    """Return a JSON-able form of an estimate; numbers that are not known are None."""
    flash, arena = found.graph.flash, found.arena
    return {
        "chip": found.target.name,
        "core": found.target.core.name,
        "kernels": found.target.kernels.name,
        "mhz": found.target.mhz,
        "flash_bytes": {"total": flash.total, **flash._asdict()},
        "ram_bytes": {"total": arena.nbytes, "buffers": arena.head, "runtime": arena.tail},
        "peak_layer": found.peak_layer,
        "macs": found.macs,
        "cycles": finite(found.cycles),
        "milliseconds": finite(1000.0 * found.seconds),
        "error": found.target.error,
        "is_lower_bound": found.is_lower_bound,
        "layers": [
            {
                "layer": layer.layer,
                "operations": list(layer.operations),
                "macs": layer.macs,
                "cycles": finite(layer.cycles),
                "milliseconds": finite(1000.0 * found.target.seconds(layer.cycles)),
                "ram_bytes": layer.ram,
            }
            for layer in found.layers
        ],
        "buffers": [_place_row(place._asdict()) for place in arena.places],
        "sources": [
            {"chip": row.chip, "kernels": row.kernels, "version": row.version, "source": row.source}
            for row in found.target.sources
        ],
    }


def _place_row(place: Mapping[str, Any]) -> Dict[str, Any]:
    return {"bytes" if name == "nbytes" else name: value for name, value in place.items()}
