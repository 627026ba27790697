"""Reading of losses and metrics from the user's Python files, which runs them, and the consent that it requires.

Files that the user has allowed are remembered by their content, so that a run can be resumed until its file changes.
"""

import hashlib
import inspect
import os
import re
from dataclasses import replace
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from qatviz.atomic_files import write_file
from qatviz.errors import CodeRefused, SettingError
from qatviz.heads import LOSS, METRIC
from qatviz.network.keras_import.scripts import run_script
from qatviz.own_functions import FORM, OwnFunction, OwnFunctions, is_function, split_spec
from qatviz.session.folders import user_folder
from qatviz.session.prepared import Notice, Notify, ignore
from qatviz.session.request import NewRunRequest

#: Environment variable with the path of another file of the remembered digests.
ALLOWED_VARIABLE = "QATVIZ_ALLOWED_CODE"
#: Number of digests that are remembered.
_REMEMBERED = 1000
#: Stands for the file of a function that has none, such as one typed in a shell.
_NO_FILE = "<script>.py"
_FIELDS = (LOSS, METRIC)


def with_absolute_functions(request: NewRunRequest) -> NewRunRequest:
    """Return the request with absolute paths of functions, so that the run can be resumed from any directory."""
    heads = {
        output: {name: _absolute(value) if name in _FIELDS else value for name, value in head.items()}
        for output, head in request.heads.items()
    }
    return replace(request, loss=_absolute(request.loss), metric=_absolute(request.metric), heads=heads)


def read_functions(
    request: NewRunRequest,
    given: Mapping[str, Callable[[Any, Any], Any]],
    sigmoids: Iterable[str],
) -> OwnFunctions:
    """Return the functions that a request with absolute paths asks for.

    Parameters
    ----------
    request : NewRunRequest
        Its `allow_code` is the user's consent to run the files.
    given : mapping of str to callable
        Functions that a script passes, by path and name; they need no consent.
    sigmoids : iterable of str
        Outputs whose sigmoid was left to the loss.

    Raises
    ------
    CodeRefused
        If the user has not allowed a file to be run.
    SettingError
        If a file or function does not exist, or running the file fails.
    """
    found: List[OwnFunction] = []
    for spec, field in request.functions.items():
        if spec in given:
            found.append(OwnFunction(spec, _digest(split_spec(spec)[0]), given[spec]))
        else:
            found.append(_read(spec, field, request.allow_code))
    return OwnFunctions(tuple(found), tuple(sigmoids)) if found else OwnFunctions()


def recorded_functions(
    description: Mapping[str, Any], allow_code: bool = False, notify: Notify = ignore
) -> OwnFunctions:
    """Return the functions of a recorded run, read again.

    Raises
    ------
    CodeRefused
        If the user has not allowed a file, as it is now, to be run.
    SettingError
        As for :func:`read_functions`.
    """
    row = description.get("functions")
    if row is None:
        return OwnFunctions()
    metrics = [description.get(METRIC), *(head.get(METRIC) for head in description.get("heads", ()))]
    found = []
    for spec, digest in row["digests"].items():
        field = METRIC if spec in metrics else LOSS
        function = _read(spec, field, allow_code, digest)
        if digest and function.digest != digest:
            notify(Notice(f"{field}: {function.where} has changed since the run was recorded", True))
        found.append(function)
    return OwnFunctions(tuple(found), tuple(row["sigmoids"]))


def given_functions(options: Mapping[str, Any]) -> Tuple[Dict[str, Any], Dict[str, Callable[[Any, Any], Any]]]:
    """Return the options of a script with functions in place of callables for losses and metrics, and these by name."""
    given: Dict[str, Callable[[Any, Any], Any]] = {}

    def replaced(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: replaced(own) for key, own in value.items()}
        if isinstance(value, (list, tuple)):
            return [replaced(own) for own in value]
        if not callable(value):
            return value
        spec = _spec_of(value)
        if given.setdefault(spec, value) is not value:
            raise SettingError(f"{spec}: found two functions with this name; expected different names")
        return spec

    return {name: replaced(value) if name in _FIELDS else value for name, value in options.items()}, given


def _spec_of(function: Callable[..., Any]) -> str:
    """Return path and name of a callable."""
    name = re.sub(r"\W+", "", getattr(function, "__name__", type(function).__name__)) or "function"
    try:
        path = inspect.getsourcefile(function) or ""
    except TypeError:  # an instance of a class
        path = ""
    return f"{os.path.abspath(path) if path.endswith('.py') else _NO_FILE}:{name}"


def _absolute(text: Any) -> Any:
    if not is_function(text):
        return text
    path, name = split_spec(text)
    return text if path == _NO_FILE else f"{os.path.abspath(os.path.expanduser(path))}:{name}"


def _read(spec: str, field: str, allow_code: bool, recorded: str = "") -> OwnFunction:
    path, name = split_spec(spec)
    where = f"{field}: {path}"
    if path == _NO_FILE:
        raise SettingError(
            f"{field}: function {name!r} was passed by a script and is in no file; expected {FORM}", field
        )
    if not os.path.isfile(path):
        raise SettingError(f"{where}: no such file; expected {FORM}", field)
    digest = _digest(path)
    if not allow_code and digest not in _remembered():
        state = "has changed since the run, and " if recorded not in ("", digest) else ""
        code = f"{os.path.basename(path)} {state}is a Python program, which must run to compute the {field}"
        raise CodeRefused(
            f"{where}: {code}, with your permissions; allowed: files that you trust, with allow_code", field, code
        )
    if allow_code:
        _remember(digest)
    try:
        names = run_script(path)
    except (Exception, SystemExit) as error:  # the user's code may raise anything
        raise SettingError(f"{where} failed: {type(error).__name__}: {error}", field) from error
    if not callable(names.get(name)):
        known = ", ".join(sorted(n for n, v in names.items() if callable(v) and n[0] != "_")) or "no functions"
        raise SettingError(f"{where}: function {name!r} does not exist; found: {known}", field)
    return OwnFunction(spec, digest, names[name])


def _digest(path: str) -> str:
    """Return the SHA-256 of a file; empty if it can't be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


# Consent


def allowed_file() -> Optional[str]:
    """Return the path of the file of remembered digests; None if the user has no home directory."""
    if os.environ.get(ALLOWED_VARIABLE):
        return os.environ[ALLOWED_VARIABLE]
    folder = user_folder()
    return None if folder is None else os.path.join(folder, "allowed_code.txt")


def _remembered() -> List[str]:
    path = allowed_file()
    try:
        if path is None:
            return []
        with open(path, encoding="ascii") as file:
            return file.read().split()
    except (OSError, UnicodeDecodeError):  # not remembered: the user is asked again
        return []


def _remember(digest: str) -> None:
    path, known = allowed_file(), _remembered()
    if path is None or digest in known:
        return
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_file(path, "".join(f"{each}\n" for each in [*known, digest][-_REMEMBERED:]).encode("ascii"))
    except OSError:  # the user is asked again
        return
