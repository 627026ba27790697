"""Rows of text in columns, for terminals and plain text files."""

from typing import Collection, List, Optional, Sequence


def aligned(
    rows: Sequence[Sequence[str]], left: Collection[int], widths: Optional[Sequence[int]] = None, gap: str = "  "
) -> List[str]:
    """Return rows as lines, with the columns in ``left`` flush left and the others flush right.

    ``widths`` are those of the columns (characters), by default those of the longest cells; longer cells exceed them.

    >>> aligned([("layer", "bits"), ("conv", "8")], left=(0,))
    ['layer  bits', 'conv      8']
    """
    widths = [max(map(len, column)) for column in zip(*rows)] if widths is None else widths
    return [
        gap.join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
