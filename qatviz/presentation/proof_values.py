"""Format of the numbers in the proof of an export, for window and report."""

from qatviz.number_format import percent_text, share_text, si

#: Keys of fractions, which are close to 1 in a correct export.
_FRACTIONS = ("identical", "top1", "close")


def proof_number(key: str, value: float) -> str:
    """Return a number of a proof in the format of its key: ``99.98 %``, ``1,234``, ``0.00123``."""
    if key in _FRACTIONS:
        return share_text(value) if 0 <= value <= 1 else percent_text(value)
    return f"{value:,}" if isinstance(value, int) else si(value)
