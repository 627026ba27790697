"""Options that state where a run computes."""

# Apart from the other options of ``qatviz train``, which are properties of the run.

from typing import Any


def add_device(group: Any) -> None:
    """Declare the options of device, threads, and workers."""
    group.add_argument(
        "--session-target",
        default="",
        metavar="URL",
        help="TensorFlow server to run on, such as grpc://host:2222 (default: in this process)",
    )
    group.add_argument(
        "--device", default="", metavar="NAME", help="device such as /cpu:0 or /gpu:0 (default: TensorFlow's choice)"
    )
    group.add_argument(
        "--threads", type=int, default=0, metavar="N", help="number of TensorFlow's threads (default: one per core)"
    )
    group.add_argument(
        "--workers",
        default="",
        metavar="HOST:PORT,...",
        help="`qatviz worker` processes that share each batch (default: those of TF_CONFIG, if it is set)",
    )
    group.add_argument(
        "--replicas", type=int, default=1, metavar="N", help="number of devices of this machine that share each batch"
    )
    group.add_argument(
        "--towers",
        type=int,
        default=0,
        metavar="N",
        help="number of parts of each batch, on which results depend by rounding only (default: one for each worker)",
    )
    group.add_argument(
        "--tower-moments",
        action="store_true",
        help="batch norm uses mean and variance of each part instead of those of the whole batch",
    )
    group.add_argument(
        "--elastic", action="store_true", help="continue at once with the other workers if some don't answer"
    )
