"""Size of the pieces in which held-out examples are evaluated between training steps."""

from qatviz.network.graph import Network

#: Limits of one piece of an evaluation, in examples and in multiply-accumulates. They bound the time until a command is
#: executed to that of some training steps, or a third of a second for a large network.
LARGEST_PIECE, _PIECE_MACS = 128, 2 * 10**9


def piece_size(network: Network) -> int:
    """Return the number of examples evaluated at a time, which depends on the network only."""
    return max(1, min(LARGEST_PIECE, _PIECE_MACS // max(network.macs, 1)))
