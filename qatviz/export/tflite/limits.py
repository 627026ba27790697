"""What TFLite can't hold, told from the settings alone: why, and what would make it possible.

:mod:`qatviz.export.limits` says how such functions are called.
"""

from typing import Any, List, Mapping, Optional

from qatviz.export.limits import left_in_float
from qatviz.network.graph import WEIGHTED, Network
from qatviz.protocol.settings_book import SettingsBook
from qatviz.settings import WEIGHTS


def tflite(network: Network, book: SettingsBook, step: Optional[int], options: Mapping[str, Any]) -> List[str]:
    """Of TFLite's integers.

    Options: ``int16``, whether activations may have more than 8 bits; ``int4``, whether weights of up to 4 bits are to
    be INT4 tensors; ``double_rounding``, whether the file is for kernels that know neither.
    """
    int16, int4, double_rounding = options["int16"], options["int4"], options["double_rounding"]
    wide = [name for name in _activations(book) if book.of(name).num_bits > 8]
    reasons = left_in_float(book.plan, book, step)
    reasons += [
        f"{name}: {book.of(name).num_bits} bits; TFLite's int8 holds up to 8; possible with {name}.num_bits=8"
        for name in _weights(book)
        if book.of(name).num_bits > 8
    ]
    if double_rounding and wide and int16:
        reasons.append(
            f"{wide[0]}: {book.of(wide[0]).num_bits} bits, as int16, which kernels that round twice don't "
            f"know; possible with {wide[0]}.num_bits=8, "
            "or without the option double_rounding"
        )
    if double_rounding and int4:
        reasons += _int4(
            book, "scales for kernels that round twice, which don't know INT4", "the option double_rounding off"
        )
    if wide and int16:
        beside = "int16 activations, whose operations take int8 weights"
        return reasons + _int16(book) + (_int4(book, beside, "8 bits for all activations") if int4 else [])
    reasons += [
        f"{name}: {book.of(name).num_bits} bits; TFLite's int8 holds up to 8; possible with {name}.num_bits=8, "
        "or with the option int16, "
        "for LiteRT"
        for name in wide
    ]
    shifted = _shifted(book)
    reasons += _uint8(book, shifted)
    if int4 and shifted:
        beside = f"uint8, which {shifted[0]}, of 8 bits with a zero point, make the file"
        reasons += _int4(book, beside, f"{shifted[0]}.symmetric=on")
    return reasons


def _uint8(book: SettingsBook, shifted: List[str]) -> List[str]:
    """Of a file of uint8, which ``shifted`` weights make it, if there are any."""
    channels = [name for name in _weights(book) if shifted and book.of(name).per_channel]
    reasons = [
        f"{name}: 8 bits with a zero point for each channel; TFLite holds 8-bit weights with a zero point (uint8) or "
        f"a scale for each channel (int8), not both; possible with {name}.symmetric=on, with "
        f"{name}.per_channel=off, or "
        f"with {name}.num_bits=7"
        for name in channels
        if name in shifted
    ]
    return reasons + [
        f"{name}: a scale for each channel, but {shifted[0]} are 8-bit weights with a zero point, which makes it a "
        f"uint8 file, where weights have one scale; possible with {name}.per_channel=off, or with "
        f"{shifted[0]}.symmetric=on"
        for name in channels
        if name not in shifted
    ]


def _int16(book: SettingsBook) -> List[str]:
    """Of a file of int16."""
    reasons = [
        f"{name}: 8 bits and a zero point; beside int16 activations TFLite holds weights without; possible with "
        f"{name}.symmetric=on, or with {name}.num_bits=7"
        for name in _shifted(book)
    ]
    return reasons + [
        f"{name}: 16 bits and a zero point; TFLite's int16 has the zero point 0; possible with "
        f"{name}.symmetric=on, or with {name}.num_bits=15"
        for name in _activations(book)
        if book.of(name).num_bits == 16 and not book.of(name).symmetric
    ]


def _int4(book: SettingsBook, beside: str, possible: str) -> List[str]:
    """Weights that would be INT4, were it not for what is ``beside`` them."""
    return [
        f"{name}: would be INT4 beside {beside}; possible with {possible}, or without the option int4"
        for name in _weights(book)
        if book.of(name).num_bits <= 4
    ]


def _shifted(book: SettingsBook) -> List[str]:
    """Weights that fill 8 bits and have a zero point."""
    settings = {name: book.of(name) for name in _weights(book)}
    return [name for name, s in settings.items() if s.enabled and s.num_bits == 8 and not s.symmetric]


def _weights(book: SettingsBook) -> List[str]:
    return [unit.name + ".weights" for unit in book.plan.units if isinstance(unit.op, WEIGHTED)]


def _activations(book: SettingsBook) -> List[str]:
    return [tensor.name for tensor in book.plan.tensors if tensor.kind != WEIGHTS]
