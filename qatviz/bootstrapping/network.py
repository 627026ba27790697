"""Diagnosis of downloads that failed."""

import os
import socket
import urllib.parse
import urllib.request
from typing import Optional

from qatviz.bootstrapping.common import clean_environment, environment_python, run_captured

PYPI = "https://pypi.org/simple"
CONNECTION_TIMEOUT_S = 10
_PORTS = {"http": 80, "https": 443}


def connection_fault(url: str) -> str:
    """Return the reason why the host of a URL, or the proxy for it, can't be reached; "" if it accepts connections.

    The reason has only name and port of the host, because the URL may contain a password.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:  # a folder
        return ""
    role = ""
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname):
        parts = urllib.parse.urlsplit(proxy if "://" in proxy else "http://" + proxy)
        role = "the proxy "
    host, port = str(parts.hostname), _PORTS.get(parts.scheme, 1080)
    try:
        port = parts.port or port
        socket.create_connection((host, port), CONNECTION_TIMEOUT_S).close()
    except ValueError as error:  # no number where the port is expected
        return f"{role}{host} can't be reached ({error})"
    except OSError as error:
        return f"{role}{host}:{port} can't be reached ({error.strerror or error})"
    return ""


def index_url(folder: Optional[str] = None) -> str:
    """Return the URL of the package index in the settings of a virtual environment's pip; "" if it uses none.

    ``folder`` is that of the environment; by default, this checkout's.
    """
    if os.environ.get("PIP_NO_INDEX"):
        return ""
    if os.environ.get("PIP_INDEX_URL"):
        return os.environ["PIP_INDEX_URL"]
    for key in ("install.index-url", "global.index-url"):
        command = [environment_python(folder), "-m", "pip", "--disable-pip-version-check", "config", "get", key]
        code, found, _ = run_captured(command, env=clean_environment())
        if code == 0 and found:
            return found
    return PYPI


def advice(fault: str) -> str:
    """Return sentences for the end of an error message: a fault of the connection and what to do; "" if there is none.

    Parameters
    ----------
    fault : str
        Result of `connection_fault`.
    """
    if not fault:
        return ""
    return (
        f".\n{fault}. Connect this computer to the network, or name its proxy in HTTPS_PROXY, or another package index "
        "in PIP_INDEX_URL, or a folder with the wheels in PIP_FIND_LINKS"
    )
