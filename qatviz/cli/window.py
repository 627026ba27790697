"""``qatviz window``, ``open`` and ``screenshot``, and ``qatviz`` alone; Qt is imported when they are called."""

import argparse
import os
import re
import sys
from dataclasses import replace
from typing import Any, Callable, Tuple, Union

from qatviz.cli.messages import FAILED, OK, print_message, print_output, print_problem
from qatviz.errors import QatvizError, SettingError, require_tensorflow
from qatviz.garbage_collection import garbage_collection_paused
from qatviz.memory import exit_on_native_shortage
from qatviz.option_names import option_name
from qatviz.session.folders import new_run_directory
from qatviz.session.request import (
    DEFAULT_NETWORK,
    ForkRequest,
    NewRunRequest,
    OpenRequest,
    RunRequest,
    stem_of,
)
from qatviz.start_settings import START_SETTINGS
from qatviz.tensorflow_presence import TRAINING

#: Environment variable with the token of a server that listens on a port.
TOKEN_VARIABLE = "QATVIZ_TOKEN"
_LONGEST_TOKEN = 1024
#: Default number of training steps after which the window of a new run is drawn.
SCREENSHOT_STEPS = 300
DEFAULT_PICTURE = "qatviz.png"
#: Limits of the width and the height of the picture, px.
_SMALLEST, _LARGEST = 320, 8192
#: Options of ``screenshot`` for a new run, apart from its steps.
_NEW_RUN_OPTIONS = ("network", "data", "task", "scaling", "preset")


def has_display() -> bool:
    """Return whether a window can be shown: always on Windows and macOS, on Linux if there is a display server."""
    if not sys.platform.startswith("linux"):
        return True
    chosen = os.environ.get("QT_QPA_PLATFORM", "")
    return bool(chosen or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_default_window() -> int:
    """Open the window with the default run: ``qatviz`` without arguments on a display."""
    _need_display()
    return _open(_recorded(NewRunRequest()))


def window(options: argparse.Namespace) -> int:
    """Open the window with a new run, by the options of ``qatviz train``."""
    from qatviz.cli.train_options import request_of  # not needed by the default window

    _need_display()
    request = request_of(options.train_options)
    request.check()  # errors are reported before a window opens
    require_tensorflow(TRAINING)
    return _open(_recorded(request))


def open_record(options: argparse.Namespace) -> int:
    """Open the window with a recorded run, or with a run on another machine."""
    _need_display()
    if "://" in options.directory:
        return _open_remote(options)
    return _open(OpenRequest(os.path.abspath(options.directory)))


def _open_remote(options: argparse.Namespace) -> int:
    from qatviz.remote.address import TCP, parse_address

    address = parse_address(options.directory)  # errors are reported before a window opens
    token = os.environ.get(TOKEN_VARIABLE, "")
    if address.scheme == TCP and options.token_file is not None:
        try:
            with open(os.path.expanduser(options.token_file), encoding="utf-8") as file:
                token = file.read(_LONGEST_TOKEN).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError.of_field("token_file", f"is {options.token_file!r}: {error}") from error
    if address.scheme == TCP and not token:
        raise SettingError(
            f"the server's token is missing: expected --token-file FILE, or the variable {TOKEN_VARIABLE}"
        )
    with garbage_collection_paused():
        from qatviz.app.main import open_remote_window
    return open_remote_window(options.directory, options.remote_command, token)


def _open(request: RunRequest) -> int:
    with garbage_collection_paused():  # imports create no garbage; collections would take 10 % of the start-up time
        from qatviz.app.main import open_window

    exit_on_native_shortage(FAILED)
    return open_window(request)


def _recorded(request: RunRequest) -> RunRequest:
    """Return the request with a directory to record to: a run in the window is always recorded."""
    if isinstance(request, NewRunRequest) and request.out is None:
        return replace(request, out=new_run_directory(stem_of(request.network or request.model or "model")))
    if isinstance(request, ForkRequest) and request.out is None:
        return replace(request, out=new_run_directory("fork"))
    return request


def screenshot(options: argparse.Namespace) -> int:
    """Draw the window of a run, without a display, to a PNG file."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    size = parse_size(options.size)
    request = screenshot_request(options)
    request.check()
    from qatviz.app.screenshot import draw_screenshot

    steps = SCREENSHOT_STEPS if options.steps is None else options.steps
    print_output(draw_screenshot(options.out, size, options.theme, request, steps, tuple(options.show or ())))
    return OK


def screenshot_request(options: argparse.Namespace) -> Union[NewRunRequest, OpenRequest]:
    """Return the request for the run that ``screenshot`` draws.

    Raises
    ------
    SettingError
        If options for a new run are given with ``--record``.
    """
    from qatviz.cli.train_options import by_output, data_options_of

    given = {name: getattr(options, name) for name in _NEW_RUN_OPTIONS if getattr(options, name) is not None}
    data_options = data_options_of(options)
    if options.record is not None:
        for name in (*given, *data_options.given(), *(() if options.steps is None else ("steps",))):
            raise SettingError(f"{option_name(name)} is of a new run, but --record shows a recorded one: omit either")
        return OpenRequest(os.path.abspath(options.record))
    # A new run would end at its default number of steps, before more of them are drawn.
    return NewRunRequest(
        **by_output(given), data_options=data_options, steps=max(START_SETTINGS["steps"].default, options.steps or 0)
    )


def run_without_display() -> int:
    """Train the default run in the terminal, then draw its window: ``qatviz`` without arguments, without a display."""
    print_message(
        "no display found: training the default network in the terminal (Ctrl-C stops it), then drawing its window to "
        "a file"
    )
    from qatviz.cli.train import train_request

    directory = new_run_directory(DEFAULT_NETWORK)
    code = train_request(NewRunRequest(out=directory))
    picture = os.path.abspath(DEFAULT_PICTURE)
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    try:
        from qatviz.app.screenshot import draw_screenshot

        path = draw_screenshot(picture, (1280, 800), "dark", OpenRequest(directory), 0, ())
    except ImportError as error:  # training is done; a missing library is not an error of the user
        print_problem(f"the window could not be drawn: {error}")
    else:
        print_output(f"the window of this run: {path}")
    return code


def parse_size(text: str) -> Tuple[int, int]:
    """Return width and height of a size such as ``1280x800``."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    width, height = map(int, match.groups()) if match else (0, 0)
    if not (_SMALLEST <= width <= _LARGEST and _SMALLEST <= height <= _LARGEST):
        raise SettingError.of_field(
            "size", f"is {text!r}: expected WIDTHxHEIGHT, each from {_SMALLEST} to {_LARGEST} pixels"
        )
    return width, height


def add_commands(add: Callable[..., Any]) -> None:
    """Declare the commands; ``add(name, function, help)`` makes a parser."""
    from qatviz.cli import train_options  # not needed by the default window

    parser = add("window", window, "open the window with a new run; accepts the options of qatviz train")
    parser.set_defaults(takes_train_options=True)
    parser = add("open", open_record, "show a recorded run, or runs on another machine, in the window")
    parser.add_argument(
        "directory",
        metavar="RUN",
        help="the run's directory; ssh://[USER@]HOST[:PORT][/RUN] or tcp://HOST:PORT[/RUN] for a run on another "
        "machine: its directory or name there, by default the newest that trains",
    )
    parser.add_argument(
        "--remote-command",
        metavar="COMMAND",
        default="qatviz",
        help="command that runs qatviz on the other machine, such as ~/qatviz/.venv/bin/qatviz (default: %(default)s)",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help=f"file with the token that qatviz serve --listen has printed (default: the variable {TOKEN_VARIABLE})",
    )
    parser = add("screenshot", screenshot, "draw the window of a run to a PNG file, without a display")
    parser.add_argument("--out", default=DEFAULT_PICTURE, metavar="PNG", help="picture (default: %(default)s)")
    parser.add_argument("--size", default="1280x800", metavar="WxH", help="size of the window (default: %(default)s)")
    parser.add_argument("--theme", default="dark", choices=("dark", "light"), help="(default: %(default)s)")
    parser.add_argument("--record", metavar="RUN", help="show this recorded run (default: train one)")
    parser.add_argument("--show", action="append", metavar="PANEL", help="bring a panel to the front; may be repeated")
    new_run = parser.add_argument_group("new run, without --record")
    new_run.add_argument(
        "--steps",
        type=lambda text: START_SETTINGS["steps"].parse(text, "--steps"),
        metavar="N",
        help=f"training steps before it is drawn (default: {SCREENSHOT_STEPS})",
    )
    train_options.add_network(new_run)
    train_options.add_data(new_run)
    train_options.add_preset(new_run)


def _need_display() -> None:
    if not has_display():
        raise QatvizError(
            "there is no display (DISPLAY and WAYLAND_DISPLAY are not set): qatviz train works in the "
            "terminal, qatviz screenshot draws the window to a file"
        )
