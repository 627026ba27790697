"""Templates of exported texts."""

import re
from typing import Any, Mapping


def filled(text: str, values: Mapping[str, Any]) -> str:
    """Return a template whose ``@names@`` are replaced by their values; raise `KeyError` for an unknown name.

    >>> filled("@a@ @b@", {"a": 1, "b": "@c@"})
    '1 @c@'
    """
    return re.sub(r"@(\w+)@", lambda match: str(values[match.group(1)]), text)
