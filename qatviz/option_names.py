"""Names of the options of the command line: for its parser, for messages, and for starting a process."""

#: Options whose names differ from those of the fields of a request that they set.
_OTHER_NAMES = {"changes": "--set", "examples": "--verify"}


def option_name(field: str) -> str:
    """Return the option that sets a field of a request, or an option of an export format."""
    return _OTHER_NAMES.get(field, "--" + field.replace("_", "-"))
