"""``qatviz worker``: compute a part of each batch of runs of other processes or machines."""

import argparse
import signal
from typing import Any

from qatviz.cli.messages import OK, print_output, print_problem
from qatviz.errors import SettingError
from qatviz.training.quiet import keep_tensorflow_quiet
from qatviz.training.worker import (
    ALL_INTERFACES,
    LOOPBACK,
    can_restrict,
    cluster_from_environment,
    port_of,
    start_worker,
)

EXAMPLES = """\
examples:
  qatviz worker --port 2222                 on each machine, with a tunnel between:
  ssh -N -L 2223:127.0.0.1:2223 -R 2222:127.0.0.1:2222 other
  qatviz train --workers 127.0.0.1:2222,127.0.0.1:2223 --network resnet8

TensorFlow's protocol has no authentication: whoever can connect to a worker can
run any operation on its machine, also those that read and write files. --host
0.0.0.0 is for networks that nobody else can reach.
"""

#: Signals that end a worker.
_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def worker(options: argparse.Namespace) -> int:
    """Compute parts of batches until a signal ends the process."""
    keep_tensorflow_quiet()
    port, host = options.port, options.host
    if port is None:
        cluster = cluster_from_environment()
        if cluster is None or not cluster.own:
            raise SettingError("no port: state --port, or set TF_CONFIG with the task of this worker")
        port, host = int(cluster.own.rpartition(":")[2]), host or ALL_INTERFACES
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # inherited by TensorFlow's threads
    server = start_worker(port, host or LOOPBACK, options.threads)
    port = port_of(server.target)
    if host == ALL_INTERFACES or not can_restrict():
        print_problem(
            f"warning: every machine that can reach port {port} can run any operation here, also those that read and "
            "write files: TensorFlow's protocol has no authentication"
        )
    print_output(f"worker at {host or LOOPBACK}:{port}, ready")
    signal.sigwait(_ENDING)
    del server  # now, as its end fails while the interpreter ends
    return OK


def add_commands(add: Any) -> None:
    """Declare the command; ``add(name, function, summary, ...)`` adds a parser."""
    parser = add("worker", worker, "compute a part of each batch of a run elsewhere", epilog=EXAMPLES)
    parser.add_argument(
        "--port", type=int, metavar="P", help="TCP port; 0: any free one (default: that of this task in TF_CONFIG)"
    )
    parser.add_argument(
        "--host",
        choices=(LOOPBACK, ALL_INTERFACES),
        help=f"interfaces to listen on (default: {LOOPBACK}, of this machine only; all with TF_CONFIG)",
    )
    parser.add_argument(
        "--threads", type=int, default=0, metavar="N", help="threads of one operation (default: one per core)"
    )
