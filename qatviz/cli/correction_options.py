"""Option for corrections of the network, and its explanation."""

# Apart from the options of ``qatviz train``, which are many.

import argparse
import textwrap
from typing import Any

from qatviz.errors import SettingError
from qatviz.protocol.corrections import CORRECTION_KINDS, RELU6_HELP, RELU6_OPTION, names_of_corrections
from qatviz.session.timed_corrections import TimedCorrection, parse_timed_correction

_HELP = """\
corrections:
{corrections}

  --at [STEP:]NAME[,FIELD=VALUE] corrects the network before the training step
  numbered STEP, without STEP at once, after the changes at this step. Training
  waits meanwhile. batches=N is the number of batches that are measured,
  iterations=N that of the iterations of adaround for each layer, and
  layers=NAME+NAME names the layers to equalize."""


def add_corrections(group: Any) -> None:
    """Declare ``--at``."""
    group.add_argument(
        "--at",
        action="append",
        default=[],
        type=_correction,
        metavar="[STEP:]CORRECTION",
        help=f"correct the network at a training step: {', '.join(names_of_corrections())}; may be repeated",
    )
    group.add_argument(
        RELU6_OPTION,
        action="store_true",
        help=f"{RELU6_HELP}; also with --fork",
    )


def corrections_help() -> str:
    """Return the explanation of all corrections."""
    texts = [
        textwrap.fill(f"{kind.name}: {kind.help}", 79, initial_indent="  ", subsequent_indent="    ")
        for kind in CORRECTION_KINDS.values()
    ]
    return _HELP.format(corrections="\n".join(texts))


def _correction(text: str) -> TimedCorrection:
    try:
        return parse_timed_correction(text)
    except SettingError as error:
        raise argparse.ArgumentTypeError(error.reason) from error
