"""A server in this process, with clients over socket pairs whose connections a test can cut."""

import io
import socket

from waiting import wait_until

from qatviz.errors import QatvizError
from qatviz.remote import telemetry as t
from qatviz.remote.client import Client
from qatviz.remote.frames import FROM_SERVER, read_frame
from qatviz.remote.handshake import Viewer
from qatviz.remote.remote_run import RemoteRun
from qatviz.remote.remote_workplace import RemoteWorkplace
from qatviz.remote.server import Server
from qatviz.remote.streams import SocketStream
from qatviz.session.prepared import Prepared
from qatviz.session.workplace import LocalWorkplace


def refuse_trash(path):
    raise QatvizError(f"{path}: there is no trash here")


class StagedWorkplace(LocalWorkplace):
    """This machine, except that it prepares the runs that a test gives it."""

    def __init__(self):
        super().__init__(refuse_trash)
        self.prepared = []

    def prepare(self, request, notify):
        return self.prepared.pop(0) if self.prepared else super().prepare(request, notify)


class Stage:
    """A server and its clients."""

    def __init__(self):
        self.workplace = StagedWorkplace()
        self.server = Server(self.workplace, "box")
        self.clients, self.streams = [], {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.close()
        self.server.close()

    def client(self, name="ana@laptop"):
        """Return a connected client with the id and name ``name``."""

        def connect():
            there, here = socket.socketpair()
            self.server.serve(SocketStream(there))
            self.streams[name] = SocketStream(here)
            return self.streams[name]

        client = Client(connect, "box", Viewer(name, name))
        client.open()
        self.clients.append(client)
        return client

    def cut(self, name="ana@laptop"):
        """Cut the connection of a client, which connects again by itself."""
        self.streams[name].close()

    def renew(self, run, name="ana@laptop"):
        """Cut the connection of a client, and return when its ``run`` is attached to the next one.

        The next connection may begin, and the run's problem with the last one end, before a test can see the problem.
        """
        cut = self.streams[name]
        self.cut(name)
        wait_until(lambda: self.streams[name] is not cut and not run.connection.problem)

    def staged(self, directory="", client=None):
        """Return a remote run, and the staged run that it is."""
        from staging import StagedRun  # in the folder of the window's tests, which conftest.py puts on the path

        run = StagedRun("mlp")
        return self.host(run, run.network, run.book, directory, client).run, run

    def host(self, run, network, book, directory="", client=None):
        """Return the prepared remote run for a handle of a run in this process."""
        self.workplace.prepared.append(Prepared(run, network, book, "tiny on test", 12.0, directory))
        from qatviz.session.request import NewRunRequest

        return RemoteWorkplace(client or self.client()).prepare(NewRunRequest(), lambda notice: None)


class SaturatedViewer:
    """Viewer, and its client and connection, that receives frames only when the test says so."""

    place, viewer = "box", Viewer("v", "ana")

    def __init__(self, hosted):
        tracks = {track: list(hosted.run.history.names(track)) for track in hosted.run.history.tracks}
        self.requests = 0
        self.run = RemoteRun(self, hosted.id, "running", hosted.run.step, {}, tracks, hosted.num_tensors, 0)
        self._subscription = hosted.subscribe(hosted.id, self.viewer, self, 0, self.run._mirror.tail)

    def receive(self, before=None):
        """Receive all frames that are there, and those that they cause; return the first one of the kind ``before``."""
        while True:
            frame = self._subscription.next_frame()
            if frame is None:
                filling = self._subscription._filling
                if not self._subscription.is_reading and not (filling and filling._ready):
                    return None
                continue
            (header, arrays), _ = read_frame(io.BytesIO(frame).read, FROM_SERVER)
            if header["t"] == before:
                return header, arrays
            self.run.process(header, arrays)

    # As the client, and as the link

    def send(self, frame):
        self.requests += 1
        self._subscription.fill(t.Tail(*frame["tail"]))

    def notify(self):
        """Do nothing: the test takes the next frame when it wants to."""

    def add_feed(self, feed):
        """Do nothing, for the same reason."""

    def remove_feed(self, feed):
        """Do nothing: there is no thread that calls it."""


def until_answered(run):
    """Wait until all commands of a remote run have arrived."""
    wait_until(lambda: not run.has_unanswered)
