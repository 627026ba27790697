"""Dialog that asks for the machine whose runs a new window shows."""

from typing import List, Optional

from PyQt5 import QtCore, QtWidgets

from qatviz.errors import SettingError
from qatviz.gui.dialogs.fields import Choice, ComboBox, choice_box
from qatviz.gui.model.user_settings import remembered_paths
from qatviz.gui.widgets.labels import Label
from qatviz.remote.address import DEFAULT_COMMAND, SSH, TCP, address_of

#: Keys of the remembered values in the settings.
_HOSTS, _COMMAND, _SCHEME = "connect/hosts", "connect/remote_command", "connect/via"
_HOSTS_KEPT = 12
#: Placeholder of the host field, by scheme.
_PLACEHOLDERS = {SSH: "[USER@]HOST[:PORT]", TCP: "HOST:PORT"}
_ABOUT = {
    SSH: "Starts your own ssh, with its keys, agent and configuration. qatviz must be installed there; training "
    "goes on there when this window is closed or the connection is lost.",
    TCP: "For containers and tunnels: “qatviz serve --listen 127.0.0.1:PORT” there prints the token. The "
    "connection is not encrypted: use it on this machine, through a tunnel, or in a network that you trust.",
}


class ConnectDialog(QtWidgets.QDialog):
    """Dialog for a machine, a run there, and the kind of connection; it remembers the last hosts.

    “Connect” is disabled, and the reason shown, while :mod:`qatviz.remote.address` refuses the address.
    """

    #: Emitted with the address, the command that runs qatviz there (ssh), and the token of the server (TCP).
    wanted = QtCore.pyqtSignal(str, str, str)

    def __init__(self, settings: QtCore.QSettings, parent: Optional[QtWidgets.QWidget] = None):
        super().__init__(parent)
        self._settings = settings
        self.setWindowTitle("Connect")
        self.connection = choice_box(
            Choice(SSH, "SSH", "Your own ssh starts qatviz there."),
            Choice(TCP, "TCP port", "“qatviz serve” runs there and listens on the port."),
        )
        self.connection.setAccessibleName("Connection")
        self.host = ComboBox(editable=True)
        self.host.setInsertPolicy(QtWidgets.QComboBox.NoInsert)
        self.host.setAccessibleName("Host")
        self.host.addItems(self.hosts())
        self.host.setCurrentIndex(0 if self.host.count() else -1)
        self.run = QtWidgets.QLineEdit(accessibleName="Run")
        self.run.setPlaceholderText("The newest run in progress")
        self.run.setToolTip("Directory of a run there, or its name in the folder of runs there")
        self.command = QtWidgets.QLineEdit(settings.value(_COMMAND, DEFAULT_COMMAND), accessibleName="Remote command")
        self.command.setToolTip("Command that runs qatviz there, such as ~/qatviz/.venv/bin/qatviz")
        self.token = QtWidgets.QLineEdit(accessibleName="Token")
        self.token.setEchoMode(QtWidgets.QLineEdit.PasswordEchoOnEdit)
        self.problem = Label(wordWrap=True)
        self.about = Label(wordWrap=True)
        self.about.setMinimumWidth(420)
        self.buttons = QtWidgets.QDialogButtonBox(QtWidgets.QDialogButtonBox.Cancel)
        self.ok = self.buttons.addButton("Connect", QtWidgets.QDialogButtonBox.AcceptRole)
        self.ok.setDefault(True)
        self._layout()
        self.connection.currentIndexChanged.connect(self._update)
        self.host.editTextChanged.connect(self._update)
        self.token.textChanged.connect(self._update)
        self.command.textChanged.connect(self._update)
        self.buttons.accepted.connect(self._on_accepted)
        self.buttons.rejected.connect(self.reject)
        self.connection.setCurrentIndex(max(0, self.connection.findData(settings.value(_SCHEME, SSH))))
        self.host.setFocus()
        self._update()

    def _layout(self) -> None:
        self._form = QtWidgets.QFormLayout()
        for label, field in (
            ("Connection", self.connection),
            ("Host", self.host),
            ("Run", self.run),
            ("Remote command", self.command),
            ("Token", self.token),
        ):
            self._form.addRow(label, field)
        column = QtWidgets.QVBoxLayout(self)
        column.addLayout(self._form)
        column.addWidget(self.problem)
        column.addWidget(self.about)
        column.addStretch(1)
        column.addWidget(self.buttons)

    def hosts(self) -> List[str]:
        """Return the hosts to which the user has connected, the newest first."""
        return remembered_paths(self._settings, _HOSTS)

    @property
    def scheme(self) -> str:
        """:data:`SSH` or :data:`TCP`."""
        scheme: str = self.connection.currentData()
        return scheme

    def _address(self) -> str:
        """Return the address of the run; raise SettingError if the host is invalid."""
        return address_of(self.scheme, self.host.currentText(), self.run.text()).text

    def _update(self) -> None:
        is_ssh = self.scheme == SSH
        for field, is_visible in ((self.command, is_ssh), (self.token, not is_ssh)):
            field.setVisible(is_visible)
            self._form.labelForField(field).setVisible(is_visible)
        self.host.lineEdit().setPlaceholderText(_PLACEHOLDERS[self.scheme])
        self.about.setText(_ABOUT[self.scheme])
        has_host, problem = bool(self.host.currentText().strip()), ""
        if has_host:
            try:
                self._address()
            except SettingError as error:
                problem = str(error)
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        needed = self.command if is_ssh else self.token
        self.ok.setEnabled(has_host and not problem and bool(needed.text().strip()))

    def _on_accepted(self) -> None:
        host = self.host.currentText().strip()
        hosts = [host] + [known for known in self.hosts() if known != host]
        self._settings.setValue(_HOSTS, hosts[:_HOSTS_KEPT])
        self._settings.setValue(_SCHEME, self.scheme)
        if self.scheme == SSH:
            self._settings.setValue(_COMMAND, self.command.text().strip())
        self.wanted.emit(self._address(), self.command.text().strip(), self.token.text().strip())
        self.accept()
