"""A damaged directory of an archive, below its checksum; see tests/test_mutated_files.py for damage of whole files."""

import gzip
import tarfile

import numpy as np
from exhaustive import tries

from qatviz.data import load
from qatviz.errors import DataError

N_MUTATIONS = tries(60, 300)


def test_cifar_archive_with_a_damaged_directory(files, photographs):
    """Damage below gzip's checksum reaches the parser of the tar format."""
    path = files.tar("cifar.tar.gz", files.cifar(photographs[0][:, :1, :, :, :], photographs[1][:, :1]))
    with gzip.open(path) as stream:
        content = stream.read()
    places = []
    with tarfile.open(path) as archive:
        places = [member.offset for member in archive]
    refused = 0
    random = np.random.RandomState(1)
    for _ in range(N_MUTATIONS):
        damaged = bytearray(content)
        damaged[random.choice(places) + random.randint(512)] ^= 1 << random.randint(8)
        with gzip.open(path, "wb", compresslevel=1) as stream:
            stream.write(damaged)
        try:
            load(path)
        except DataError:
            refused += 1
    assert refused > 0.5 * N_MUTATIONS
