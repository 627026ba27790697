"""Addresses of workers: `qatviz worker` processes that share each batch of a run."""

from typing import Tuple

from qatviz.errors import SettingError


def parse_workers(text: str) -> Tuple[str, ...]:
    """Return the addresses in ``host:port,host:port``; none of an empty text.

    Raises
    ------
    SettingError
        If one has another form, or is stated twice.
    """
    found = tuple(part.strip() for part in text.split(",")) if text.strip() else ()
    for address in found:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 2**16 or "/" in host or "@" in host:
            raise SettingError.of_field("workers", f"is {text!r}: expected host:port,host:port")
    if len(set(found)) < len(found):
        raise SettingError.of_field("workers", f"is {text!r}: an address is stated twice")
    return found
