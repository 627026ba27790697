"""``qatviz serve``: let windows on other machines train, show and steer runs on this one."""

import argparse
import signal
import sys
import time
from typing import Any, Callable, List

from qatviz.cli.messages import FAILED, OK, print_message, print_output, print_problem
from qatviz.errors import SettingError
from qatviz.memory import exit_on_native_shortage
from qatviz.terminal import stop_signals

#: Seconds between two checks whether a signal has arrived or the server is idle.
_POLL_S = 0.2


def serve(options: argparse.Namespace) -> int:
    """Serve runs until a signal arrives, or relay standard input and output to the server until they are closed."""
    if bool(options.stdio) == bool(options.listen):
        raise SettingError("expected either --stdio or --listen HOST:PORT")
    if options.stdio:
        from qatviz.remote.serving import relay_standard_streams, start_background_server

        relay_standard_streams(start_background_server)
        return OK
    return _listen(options)


def _listen(options: argparse.Namespace) -> int:
    from qatviz.remote.serving import IDLE_S, LOOPBACK, Listener, is_loopback, parse_listen
    from qatviz.session.workplace import LocalWorkplace
    from qatviz.training.quiet import keep_tensorflow_quiet

    host, port = parse_listen(options.listen)
    keep_tensorflow_quiet()
    exit_on_native_shortage(FAILED)
    listener = Listener(LocalWorkplace(_move_to_trash), host, port)
    # Signals that have arrived. Not an Event: a signal may interrupt the main thread while that holds the Event's lock.
    stopped: List[int] = []
    before = {number: signal.signal(number, lambda number, _: stopped.append(number)) for number in stop_signals()}
    try:
        if not is_loopback(host):
            print_problem(
                f"warning: every machine that reaches {host}:{listener.port} can connect, and the connection is not "
                f"encrypted: whoever can read it also gets the token. Listen on {LOOPBACK} and use ssh instead"
            )
        print_output(f"serving on {host}:{listener.port}")
        if listener.is_new_token and not options.until_idle:
            print_output(f"token: {listener.token} (also in {listener.token_file})")
        else:
            print_message(f"qatviz: the token is in {listener.token_file}")
        is_idle = False
        while not stopped and not (is_idle and options.until_idle):
            time.sleep(_POLL_S)
            is_idle = listener.server.is_idle(IDLE_S)  # called in any case: it drops unused runs
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.stdout.flush()
        listener.close()
    return OK


def _move_to_trash(path: str) -> None:
    from qatviz.app.trash import move_to_trash  # imports Qt, which a server may lack

    move_to_trash(path)


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the command; ``add(name, function, help)`` makes a parser."""
    parser = add("serve", serve, "let windows on other machines train, show and steer runs on this one")
    parser.add_argument(
        "--stdio",
        action="store_true",
        help="serve one window over standard input and output, as qatviz open ssh://HOST requests it by ssh",
    )
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        help="accept windows on a port, for qatviz open tcp://HOST:PORT; 127.0.0.1 admits only this machine and ssh "
        "tunnels to it",
    )
    # For --stdio, which starts such a server in the background.
    parser.add_argument("--until-idle", action="store_true", help=argparse.SUPPRESS)
