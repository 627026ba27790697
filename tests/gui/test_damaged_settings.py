"""A settings file with any contents: the window and its dialogs open as if nothing were remembered."""

import pytest
from PyQt5 import QtCore, QtWidgets
from window_stage import StagedLauncher, draw, make_window, prepared_of

from qatviz.gui.model.user_settings import UserSettings, remembered_paths
from qatviz.gui.panels.declarations import PANELS

ODD = [
    "a, b",
    "@Invalid()",
    "@Variant(\\0\\0\\0\\x7f\\0\\0\\0\\rtest)",
    "@ByteArray(\\xff\\0)",
    "@Size(3 4)",
    "99999999999999999999999999",
    "-1",
    "maybe",
    '"[]"',
    '"{\\"hidden\\": 3, \\"order\\": [[]], \\"widths\\": {\\"name\\": \\"x\\"}, \\"sort\\": 1}"',
    '"{\\"hidden\\": [[]], \\"order\\": [3], \\"widths\\": {\\"name\\": 1e300}, \\"sort\\": [[], 2]}"',
    '"' + "[" * 5000 + '"',
    "",
]


ASKED = set()


class Asked(UserSettings):
    """Keeps the keys that are asked for."""

    def value(self, key, *others, **more):
        ASKED.add(key)
        return super().value(key, *others, **more)


def open_everything(settings, app, run):
    """Open a window with a run, and the dialogs that remember something."""
    window = make_window(settings, StagedLauncher())
    try:
        window.show_prepared(prepared_of(run))
        window.show()
        for name in (panel.name for panel in PANELS):
            window.docks.open(name)
            draw(window, app)
        for name in ("new_run", "export"):
            window.named[name].trigger()
            for dialog in window.findChildren(QtWidgets.QDialog):
                dialog.close()
        app.processEvents()
    finally:
        window.close_without_asking()
        window.deleteLater()
        app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)


@pytest.mark.slow
def test_the_window_opens_with_any_settings(app, staged, tmp_path):
    open_everything(Asked(str(tmp_path / "first.ini"), QtCore.QSettings.IniFormat), app, staged("lenet"))
    assert len(ASKED) > 20
    for number, odd in enumerate(ODD):
        path = tmp_path / f"{number}.ini"
        lines = []
        for key in sorted(ASKED):
            group, _, name = key.partition("/")
            lines.append(f"[{group}]\n{name}={odd}\n" if name else f"[General]\n{group}={odd}\n")
        path.write_text("".join(lines))
        open_everything(UserSettings(str(path), QtCore.QSettings.IniFormat), app, staged("lenet"))


@pytest.mark.parametrize(
    "stored, default, expected",
    [
        ("maybe, not", 3, 3),
        ("x", 3, 3),
        ("7", 3, 7),
        ("@Size(3 4)", "text", "text"),
        ("a, b", "text", "text"),
        ("true", False, True),
        ("a", "text", "a"),
    ],
)
def test_a_value_of_another_type_counts_as_not_remembered(app, tmp_path, stored, default, expected):
    (tmp_path / "a.ini").write_text(f"[group]\nkey={stored}\n")
    assert UserSettings(str(tmp_path / "a.ini"), QtCore.QSettings.IniFormat).value("group/key", default) == expected


@pytest.mark.parametrize("stored, expected", [("a", ["a"]), ("a, b", ["a", "b"]), ("@Size(3 4)", []), ("", [])])
def test_remembered_paths_are_texts(app, tmp_path, stored, expected):
    (tmp_path / "a.ini").write_text(f"[group]\nkey={stored}\n")
    settings = UserSettings(str(tmp_path / "a.ini"), QtCore.QSettings.IniFormat)
    assert [path for path in remembered_paths(settings, "group/key") if path] == expected
