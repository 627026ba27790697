"""Dialog for the machine whose runs a new window shows."""

from typing import List, Optional

from PyQt5 import QtCore, QtWidgets

from qatviz.gui.dialogs.fields import Choice, ComboBox, choice_box
from qatviz.gui.model.user_settings import remembered_paths
from qatviz.gui.widgets.labels import Label

_HOSTS, _COMMAND, _VIA = "connect/hosts", "connect/remote_command", "connect/via"
_HOSTS_KEPT = 12
SSH, TCP = "ssh", "tcp"
_DEFAULT_COMMAND = "qatviz"
_ABOUT = {
    SSH: "Starts your own ssh, with its keys, agent and configuration. qatviz must be installed there; training "
    "goes on there when this window is closed or the connection is lost.",
    TCP: "For containers and tunnels: “qatviz serve --listen 127.0.0.1:PORT” there prints the token. The "
    "connection is not encrypted: use it on this machine, through a tunnel, or in a network that you trust.",
}


class ConnectDialog(QtWidgets.QDialog):
    """Dialog for host, run, and how qatviz is called there; it remembers the last hosts."""

    #: Emitted with the address, how qatviz is called there, and the token of a server that listens on a port.
    wanted = QtCore.pyqtSignal(str, str, str)

    def __init__(self, settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._settings = settings
        self.setWindowTitle("Connect")
        self.via = choice_box(
            Choice(SSH, "ssh", "The machine is reached by ssh."),
            Choice(TCP, "Port", "A server of qatviz listens on a port."),
        )
        self.via.setAccessibleName("Via")
        self.host = ComboBox(editable=True)
        self.host.setInsertPolicy(QtWidgets.QComboBox.NoInsert)
        self.host.setAccessibleName("Host")
        self.host.addItems(self.hosts())
        self.host.setCurrentIndex(0 if self.host.count() else -1)
        self.run = QtWidgets.QLineEdit(accessibleName="Run")
        self.run.setPlaceholderText("The newest run in progress")
        self.run.setToolTip("Directory of a run there, or its name in the folder of runs there")
        self.command = QtWidgets.QLineEdit(settings.value(_COMMAND, _DEFAULT_COMMAND), accessibleName="Remote command")
        self.command.setToolTip("How qatviz is called there, such as ~/qatviz/.venv/bin/qatviz")
        self.token = QtWidgets.QLineEdit(accessibleName="Token")
        self.token.setEchoMode(QtWidgets.QLineEdit.PasswordEchoOnEdit)
        self.about = Label(wordWrap=True)
        self.about.setMinimumWidth(420)
        self.buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.Cancel)
        self.ok = self.buttons.addButton("Connect", QtWidgets.QDialogButtonBox.AcceptRole)
        self.ok.setDefault(True)
        self._layout()
        self.via.currentIndexChanged.connect(self._update)
        self.host.editTextChanged.connect(self._update)
        self.token.textChanged.connect(self._update)
        self.command.textChanged.connect(self._update)
        self.buttons.accepted.connect(self._on_accepted)
        self.buttons.rejected.connect(self.reject)
        self.via.setCurrentIndex(max(0, self.via.findData(settings.value(_VIA, SSH))))
        self.host.setFocus()
        self._update()

    def _layout(self) -> None:
        self._form = QtWidgets.QFormLayout()
        for label, field in (
            ("Via", self.via),
            ("Host", self.host),
            ("Run", self.run),
            ("Remote command", self.command),
            ("Token", self.token),
        ):
            self._form.addRow(label, field)
        column = QtWidgets.QVBoxLayout(self)
        column.addLayout(self._form)
        column.addWidget(self.about)
        column.addStretch(1)
        column.addWidget(self.buttons)

    def hosts(self) -> List[str]:
        """Return the hosts that were connected last, the newest first."""
        return remembered_paths(self._settings, _HOSTS)

    @property
    def scheme(self) -> str:
        scheme: str = self.via.currentData()
        return scheme

    def _update(self) -> None:
        is_ssh = self.scheme == SSH
        for field, is_visible in ((self.command, is_ssh), (self.token, not is_ssh)):
            field.setVisible(is_visible)
            self._form.labelForField(field).setVisible(is_visible)
        self.host.lineEdit().setPlaceholderText("[user@]host" if is_ssh else "host:port")
        self.about.setText(_ABOUT[self.scheme])
        needed = self.command if is_ssh else self.token
        self.ok.setEnabled(bool(self.host.currentText().strip() and needed.text().strip()))

    def _on_accepted(self) -> None:
        host, run = self.host.currentText().strip(), self.run.text().strip()
        hosts = [host] + [known for known in self.hosts() if known != host]
        self._settings.setValue(_HOSTS, hosts[:_HOSTS_KEPT])
        self._settings.setValue(_VIA, self.scheme)
        if self.scheme == SSH:
            self._settings.setValue(_COMMAND, self.command.text().strip())
        address = f"{self.scheme}://{host}" + (f"/{run}" if run else "")
        self.wanted.emit(address, self.command.text().strip(), self.token.text().strip())
        self.accept()
