"""Beginning of a connection: a line by which a server is recognized, the token, and the choice of a protocol version.

First, the server sends :data:`GREETING` (:func:`admit`). Then the viewer sends the token, if the server listens on a
port, and its versions, id and name (:func:`greet`). Last, the server sends the version of all further frames
(:func:`welcome`), which :mod:`.link` exchanges.
"""

import hmac
import threading
from typing import Any, Callable, Dict, List, NamedTuple

from qatviz import __version__
from qatviz.errors import QatvizError
from qatviz.protocol import values
from qatviz.remote.errors import FrameError, LinkError
from qatviz.remote.frames import STRANGER, Limits, encode, read_exactly, read_frame
from qatviz.remote.streams import Stream

#: Protocol versions that this program supports, in ascending order.
VERSIONS = (1,)
#: First bytes that a server sends; before them, a remote shell may print anything, such as a greeting.
GREETING = b"\x01qatviz serves\n"
#: Largest number of bytes before the greeting.
_LONGEST_PRELUDE = 1 << 16
#: Seconds that a server waits for a viewer's greeting; and seconds that a viewer waits for a server's, which include
#: the start of ssh, which may ask the user for a password, and that of the server.
STRANGER_S, VIEWER_S = 10.0, 120.0
#: Longest id or name of a viewer, of a server or of a machine, in characters.
LONGEST_NAME = 200
#: Longest text, in characters, that an error quotes from the output of a program there or the reason of a server.
_LONGEST_REASON = 400


class Viewer(NamedTuple):
    """Program that shows runs: its id, the same on all its connections, and its name, such as ``ana@laptop``."""

    id: str
    name: str


class Greeted(NamedTuple):
    """Answer of a server: the chosen protocol version, the id of the server's process, the name of its machine."""

    version: int
    instance: str
    host: str


def _frame(stream: Stream, limits: Limits) -> Dict[str, Any]:
    return read_frame(stream.read, limits)[0][0]


def within(stream: Stream, seconds: float, work: Callable[[], Any]) -> Any:
    """Return the result of ``work``, which reads from the stream; after ``seconds``, close the stream to end it.

    Raises
    ------
    LinkError
        If ``work`` was ended so. Its other errors are passed on.
    """
    is_over = threading.Event()

    def end() -> None:
        is_over.set()
        stream.close()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        return work()
    except (QatvizError, OSError, EOFError) as error:
        if is_over.is_set():
            raise LinkError(f"no answer within {seconds:g} s: {error}") from error
        raise
    finally:
        timer.cancel()
        timer.join()


def admit(stream: Stream, token: str) -> None:
    """Greet a peer, and return once it has sent the token, or at once if ``token`` is empty.

    Raises
    ------
    FrameError
        If it sends another token, or an invalid frame.
    OSError, EOFError
        If the connection ends.
    """
    stream.write(GREETING)
    if not token:
        return
    shown = _frame(stream, STRANGER).get("token")
    # JSON can contain lone surrogates, which strict UTF-8 does not encode.
    if not isinstance(shown, str) or not hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), token.encode()):
        stream.write(encode({"t": "refused", "message": "the token is not that of this server"}))
        raise FrameError("a peer did not send the token")


def welcome(stream: Stream, instance: str, host: str, versions: Any = VERSIONS) -> Viewer:
    """Agree on a version with a viewer that was admitted, and return the viewer.

    Raises
    ------
    FrameError
        If there is no common version, or the greeting is invalid.
    OSError, EOFError
        If the connection ends.
    """
    header = _frame(stream, STRANGER)
    theirs = _versions_in(header)
    common = set(theirs) & set(versions)
    if not common:
        message = (
            f"the server (qatviz {__version__}) supports protocol {_listed(versions)}, the window {_listed(theirs)}"
        )
        stream.write(encode({"t": "refused", "message": message + ": install the same version of qatviz on both"}))
        raise FrameError(message)
    viewer = Viewer(_name_in(header, "viewer"), _name_in(header, "name"))
    stream.write(encode({"t": "welcome", "version": max(common), "instance": instance, "host": host}))
    return viewer


def greet(stream: Stream, token: str, viewer: Viewer, versions: Any = VERSIONS) -> Greeted:
    """Greet a server, and return its answer; ``token`` is empty if a relay there sends it.

    Raises
    ------
    LinkError
        If there is no server, it refuses, or it speaks no common version.
    """
    try:
        _skip_prelude(stream)
        if token:
            stream.write(encode({"t": "token", "token": token}))
        stream.write(encode({"t": "hello", "versions": list(versions), "viewer": viewer.id, "name": viewer.name}))
        header = _frame(stream, STRANGER)
        if header.get("t") == "refused":
            raise LinkError(values.text(header.get("message"), "message")[:_LONGEST_REASON])
        version = values.whole(header.get("version"), "version")
        if version not in versions:
            raise LinkError(f"the server uses protocol version {version}, this window supports {_listed(versions)}")
        return Greeted(version, _name_in(header, "instance"), _name_in(header, "host"))
    except (EOFError, OSError) as error:
        raise LinkError(stream.last_messages() or "the server has ended the connection") from error
    except (ValueError, FrameError) as error:
        raise LinkError(f"the peer is not a server of qatviz: {error}") from error


def _skip_prelude(stream: Stream) -> None:
    """Read up to the end of the server's greeting; if there is none, raise LinkError with the printed text."""
    found = b""
    while not found.endswith(GREETING):
        try:
            found += read_exactly(stream.read, 1)
        except EOFError as error:
            printed = found.decode("utf-8", "replace").strip()[:_LONGEST_REASON]
            raise LinkError(stream.last_messages() or printed or "no server of qatviz answers there") from error
        if len(found) > _LONGEST_PRELUDE:
            raise LinkError(
                f"the program there is not a server of qatviz: its first {_LONGEST_PRELUDE:,} bytes have no greeting"
            )


def _versions_in(header: Dict[str, Any]) -> List[int]:
    try:
        listed = values.sequence(header.get("versions"), "versions")
        return [values.whole(version, "version", 0, 1 << 16) for version in listed]
    except ValueError as error:
        raise FrameError(str(error)) from error


def _name_in(header: Dict[str, Any], key: str) -> str:
    name = header.get(key)
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise FrameError(f"{key} is {str(name)[:40]!r}: expected text of 1 to {LONGEST_NAME} characters")
    return name


def _listed(versions: Any) -> str:
    return f"version{'s' if len(versions) != 1 else ''} {', '.join(map(str, versions)) or 'none'}"
