"""CMSIS-NN, built by its user, for tests and benchmarks of exported C that uses its kernels.

``$QATVIZ_CMSIS_NN`` names a directory with its headers in ``Include``, and ``libcmsis-nn.a`` in ``lib/PROCESSOR`` for
each processor that is to be tested: ``host``, ``cortex-m4``, ``cortex-m55``. CMSIS-NN's README says how it is built
for one; ``CMSIS_NN_USE_SINGLE_ROUNDING`` must be defined.
"""

import os
from pathlib import Path
from typing import Tuple

VARIABLE = "QATVIZ_CMSIS_NN"
#: Flags of a program that uses CMSIS-NN's kernels.
DEFINITIONS = ("-DQATVIZ_NN_USE_CMSIS_NN", "-DCMSIS_NN_USE_SINGLE_ROUNDING")
#: Functions that the exported runtime calls.
_FUNCTIONS = (
    "arm_convolve_wrapper_s8",
    "arm_convolve_wrapper_s8_get_buffer_size",
    "arm_depthwise_conv_wrapper_s8",
    "arm_depthwise_conv_wrapper_s8_get_buffer_size",
    "arm_fully_connected_per_channel_s8",
    "arm_max_pool_s8",
    "arm_avgpool_s8",
    "arm_avgpool_s8_get_buffer_size",
)


def cmsis_nn_flags(processor: str) -> Tuple[Tuple[str, ...], str]:
    """Return the compiler's flags for a program with the build for a processor, or none and the reason."""
    named = os.environ.get(VARIABLE)
    if not named:
        return (), f"${VARIABLE} names no build of CMSIS-NN"
    library = Path(named) / "lib" / processor / "libcmsis-nn.a"
    if not library.is_file():
        return (), f"there is no {library}"
    # The sources come later: the linker has to be told what it will need.
    needed = [f"-Wl,--undefined={name}" for name in _FUNCTIONS]
    return (*DEFINITIONS, "-isystem", str(Path(named) / "Include"), *needed, str(library)), ""
