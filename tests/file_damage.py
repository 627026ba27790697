"""Damaged copies of a file: its bytes changed in any way, or its JSON with other values in any place."""

import copy
import json

import numpy as np

JSON_VALUES = b'09-{}[],:"\x00\xff'

#: Beginnings of other formats, in the place of a file's own.
FOREIGN = (
    bytes(600),
    b"\xff" * 600,
    b"\x89HDF\r\n\x1a\n" * 75,
    b"\x89PNG\r\n\x1a\n" + bytes(592),
    b"PK\x03\x04" + bytes(596),
    b"\x1f\x8b\x08" + bytes(597),
    b"GIF89a" + bytes(594),
    b"\x80\x03}q\x00X\x01\x00\x00\x00xq\x01K\x01s." * 30,
    b"\0\0\x08\x03" + b"\x7f" * 596,
    b"%!PS-Adobe-3.0 EPSF-3.0\n" * 25,
)

#: Values in the place of others in JSON.
ODD_VALUES = (None, True, -1, 0, 1, 3, 5000, 2**31, 2**63, -(2**63), 10**30, 0.5, -1e308, 1e308)
ODD_VALUES += (float("nan"), float("inf"), "", "\0", "a\0b", "x" * 5000, "\x1b[31mred", "../../x", "*", "conv1")
ODD_VALUES += ([], [[]], [None], [1, 2, 3], {}, {"a": 1}, {"class_name": "Lambda"}, {"config": {}})


def damaged_copies(content, seed, count=200, header_bytes=200, values=JSON_VALUES, foreign=()):
    """Yield `count` damaged copies of a file.

    Half of the damage is within the first `header_bytes`, which parsers trust, or as far from the end, where archives
    have their directory. Single bytes are replaced by one of `values`. With `foreign` contents, a tenth of the copies
    begins like one of them, or is one.
    """
    random = np.random.RandomState(seed)
    for index in range(count):
        damaged = bytearray(content)
        place = random.randint(len(damaged) if index % 2 else min(len(damaged), header_bytes))
        if index % 4 == 2:
            place = len(damaged) - 1 - place
        if foreign and index % 10 == 9:
            other = foreign[random.randint(len(foreign))]
            length = random.choice([2, 4, 8, 16, 128, len(damaged)])
            damaged[:length] = other[:length]
        else:
            _damage(damaged, place, random, values)
        yield bytes(damaged)


def _damage(damaged, place, random, values):
    kind = random.randint(8)
    if kind == 0:
        damaged[place] ^= 1 << random.randint(8)
    elif kind == 1:
        damaged[place] = random.choice(list(values))
    elif kind == 2:
        del damaged[place:]
    elif kind == 3:
        damaged[place:place] = random.bytes(random.randint(1, 9))
    elif kind == 4:
        damaged[place : place + 8] = random.bytes(random.randint(0, 9))
    elif kind == 5:
        for other in random.randint(len(damaged), size=random.choice([3, 30])):
            damaged[other] ^= 1 << random.randint(8)
    elif kind == 6:
        del damaged[place : place + random.randint(1, 200)]
    else:
        to, length = random.randint(len(damaged)), random.choice([8, 64, 1024])
        damaged[to : to + length] = damaged[place : place + length]


def places(node, path=()):
    """The paths to all values in a JSON record."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(record, path, value):
    """A copy of a JSON record with another value at a place; Ellipsis: without that place."""
    record = node = copy.deepcopy(record)
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return record


def mutated_record(record, chance):
    """Another value, or none, at any place; places near the top come as often as all below them."""
    found = list(places(record))
    top = [path for path in found if len(path) <= 2]
    path = chance.choice(top if chance.random() < 0.5 else found)
    value = ... if chance.random() < 0.15 else chance.choice(ODD_VALUES)
    return changed(record, path, value), (path, value)


def odd_records(content, chance, count):
    """Yield `count` copies of a JSON file, valid JSON with other values."""
    for _ in range(count):
        yield json.dumps(mutated_record(json.loads(content), chance)[0]).encode()
