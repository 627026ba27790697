"""Progress of a run or other work on standard error: a bar on a terminal, lines elsewhere, or nothing."""

import contextlib
import sys
import time
from collections import deque
from typing import Any, Callable, Deque, Iterator, Optional, Tuple

from qatviz.measures import MEASURES
from qatviz.metric import MODES
from qatviz.presentation.evaluation_time import NOTABLE, present_fraction, time_text
from qatviz.presentation.event_texts import command_text, plain_change, sentence
from qatviz.presentation.score_texts import lead_of
from qatviz.protocol import events
from qatviz.protocol.corrections import kind_of
from qatviz.safe_text import escaped
from qatviz.telemetry.outcome import Outcome
from qatviz.terminal import print_line, writing

#: Seconds between two lines if there is no terminal.
LINE_INTERVAL_S = 5.0
#: Seconds of training over which steps per second are counted.
RATE_WINDOW_S = 5.0
#: Changes of one command that are printed one by one; more are counted.
_CHANGES_PRINTED = 4
#: Events that are printed.
_PRINTED = (
    events.Started,
    events.CommandApplied,
    events.Corrected,
    events.CommandRejected,
    events.SettingsActivated,
    events.Evaluated,
    events.Restored,
    events.NonFinite,
    events.RecordFailed,
)
_BAR = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}"
_ENDLESS = "{desc} {n_fmt} steps, {elapsed}{postfix}"


class Silent:
    """Progress without output, and the interface of the other kinds.

    Parameters
    ----------
    name : str
        Name of the network.
    first, total : int, int or None
        Steps done before, and total steps.
    """

    def __init__(self, name: str, first: int, total: Optional[int]):
        self.name, self.first, self.total = name, first, total

    def begin(self) -> None:
        """Show that TensorFlow is being loaded and the graph built."""

    def started(self) -> None:
        """Show that the first step is about to run."""

    def line(self, text: str) -> None:
        """Print a message."""

    def update(self, outcome: Outcome) -> None:
        """Show the current step and results."""

    def close(self) -> None:
        """Remove the bar, after the end of the run."""


class Lines(Silent):
    """Progress as a line every few seconds."""

    def __init__(self, name: str, first: int, total: Optional[int]):
        super().__init__(name, first, total)
        self._rate = Rate()
        self._next = 0.0

    def begin(self) -> None:
        self.line("starting TensorFlow")

    def started(self) -> None:
        self._next = time.monotonic() + LINE_INTERVAL_S

    def line(self, text: str) -> None:
        print_line(text, "stderr")

    def update(self, outcome: Outcome) -> None:
        if not self._next or outcome.loss is None:
            return
        rate = self._rate.add(outcome)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_INTERVAL_S
            of = "" if self.total is None else f"/{self.total}"
            self.line(f"step {outcome.step}{of}: {summary(outcome, rate)}")


class Bar(Silent):
    """Progress bar on the last line of a terminal, with messages above it."""

    def __init__(self, name: str, first: int, total: Optional[int]):
        super().__init__(name, first, total)
        from tqdm import tqdm

        tqdm.monitor_interval = 0  # no thread of tqdm: `update` refreshes the bar
        self._tqdm, self._rate = tqdm, Rate()
        self._bar: Any = None

    def begin(self) -> None:
        with writing("stderr"):
            self._bar = self._tqdm(
                file=sys.stderr, desc="starting TensorFlow", bar_format="{desc} {elapsed}", leave=False
            )

    def started(self) -> None:
        self.close()
        with writing("stderr"):
            self._bar = self._tqdm(
                file=sys.stderr,
                desc=self.name,
                initial=self.first,
                total=self.total,
                dynamic_ncols=True,
                bar_format=_ENDLESS if self.total is None else _BAR,
            )

    def line(self, text: str) -> None:
        with writing("stderr"):
            self._tqdm.write(escaped(text), file=sys.stderr)

    def update(self, outcome: Outcome) -> None:
        if outcome.loss is not None:
            rate = self._rate.add(outcome)
            self._bar.n = outcome.step
            left = ""
            if rate and self.total is not None:
                left_s = (self.total - outcome.step) / rate / (1 - _evaluation_fraction(outcome, rate))
                left = self._tqdm.format_interval(left_s) + " left, "
            self._bar.set_postfix_str(left + summary(outcome, rate), refresh=False)
        with writing("stderr"):
            self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            with writing("stderr"):
                self._bar.close()


class Rate:
    """Rate of training steps per second over the last few seconds."""

    def __init__(self) -> None:
        self._points: Deque[Tuple[float, int]] = deque()

    def add(self, outcome: Outcome) -> Optional[float]:
        """Add the current step; return the steps per second, None before the second step."""
        if self._points and outcome.step < self._points[-1][1]:
            self._points.clear()  # the run was rewound
        self._points.append((outcome.seconds, outcome.step))
        while self._points[-1][0] - self._points[0][0] > RATE_WINDOW_S:
            self._points.popleft()
        seconds = self._points[-1][0] - self._points[0][0]
        return (self._points[-1][1] - self._points[0][1]) / seconds if seconds > 0 else None


def progress_for(quiet: bool, name: str, first: int, total: Optional[int]) -> Silent:
    """Return the kind of progress for a terminal, a file or no output."""
    kind = Silent if quiet else Bar if sys.stderr.isatty() else Lines
    return kind(name, first, total)


def summary(outcome: Outcome, rate: Optional[float]) -> str:
    """Return a line such as ``loss 0.0312, float 97.1 %, quantized 96.9 %, 33.1/s``."""
    parts = [f"loss {MEASURES['loss'].plain(outcome.loss)}"]
    if outcome.evaluations:
        newest = outcome.evaluations[-1]
        metric = outcome.metric
        scores = [f"{mode} {metric.plain(newest[mode])}" for mode in ("float", "quantized")]
        parts.append(lead_of(metric.name, outcome.output) + ", ".join(scores))
    if rate is not None:
        parts.append(f"{rate:.3g}/s" if rate < 1000 else f"{rate:.0f}/s")
        fraction = _evaluation_fraction(outcome, rate)
        if fraction >= NOTABLE:
            parts.append(time_text(fraction, outcome.book.run.evaluation_interval))
    return ", ".join(parts)


def _evaluation_fraction(outcome: Outcome, rate: float) -> float:
    if not outcome.evaluation_seconds:
        return 0.0
    return present_fraction(outcome.evaluation_seconds[-1], outcome.book.run.evaluation_interval, rate)


def event_line(event: events.Event) -> Optional[str]:
    """Return the line that is printed for an event; None for events that are not printed."""
    if not isinstance(event, _PRINTED):
        return None
    text = _applied(event) if isinstance(event, events.CommandApplied) else sentence(event, MODES)
    if not text:
        return None
    return text if isinstance(event, events.Started) else f"step {event.step}: {text}"


def _applied(event: events.CommandApplied) -> str:
    """Return the text of applied changes as the command line words them."""
    if kind_of(event.command) is not None:
        return sentence(event)
    if len(event.changes) > _CHANGES_PRINTED:
        return f"{command_text(event.command)} ({len(event.changes)} settings changed)"
    return ", ".join(map(plain_change, event.changes))


@contextlib.contextmanager
def shown_fraction(what: str) -> Iterator[Callable[[float], None]]:
    """Yield a function that shows the fraction of some work that is done, 0..1, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda fraction: None
        return
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread of tqdm: `show` refreshes the bar
    bar = tqdm(file=sys.stderr, desc=what, total=1.0, bar_format="{desc} {percentage:3.0f} %|{bar}| {remaining} left")

    def show(fraction: float) -> None:
        bar.n = fraction
        with writing("stderr"):
            bar.refresh()

    try:
        yield show
    finally:
        with writing("stderr"):
            bar.close()
