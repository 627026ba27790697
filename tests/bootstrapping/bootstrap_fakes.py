"""Shell scripts that stand in for interpreters, apt and other programs."""

import json
import os
import stat


def make_program(path, script):
    """Write an executable shell script with its parent folders and return its path as a string."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + script + "\n")
    os.chmod(str(path), os.stat(str(path)).st_mode | stat.S_IXUSR)
    return str(path)


def make_interpreter(
    path, version=(3, 7, 9), implementation="CPython", bits=64, machine="x86_64", complete=True, base=""
):
    """Write a program that answers bootstrap's probe with these facts."""
    facts = json.dumps([str(path), list(version), implementation, bits, machine, complete, base])
    return make_program(path, f"echo '{facts}'")
