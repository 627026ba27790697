"""Damaged copies of a file: flipped, replaced, inserted or repeated bytes, or the file cut off."""

import numpy as np

JSON_VALUES = b'09-{}[],:"\x00\xff'


def damaged_copies(content, seed, count=200, header_bytes=200, values=JSON_VALUES):
    """Yield `count` damaged copies of a file.

    Half of the damage is within the first `header_bytes`, which parsers trust, or as far from the end, where archives
    have their directory. Single bytes are replaced by one of `values`.
    """
    random = np.random.RandomState(seed)
    for index in range(count):
        damaged = bytearray(content)
        place = random.randint(len(damaged) if index % 2 else min(len(damaged), header_bytes))
        if index % 4 == 2:
            place = len(damaged) - 1 - place
        kind = random.randint(5)
        if kind == 0:
            damaged[place] ^= 1 << random.randint(8)
        elif kind == 1:
            damaged[place] = random.choice(list(values))
        elif kind == 2:
            del damaged[place:]
        elif kind == 3:
            damaged[place:place] = random.bytes(random.randint(1, 9))
        else:
            damaged[place : place + 8] = random.bytes(random.randint(0, 9))
        yield bytes(damaged)
