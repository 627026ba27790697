"""A program of its own: reads a Keras HDF5 file and writes what is in it as JSON and .npz.

    python hdf5_reader.py FILE FOLDER

The HDF5 library ends the process on some damaged files; this one, then, and not the user's. It starts sooner for
importing nothing of qatviz. FOLDER gets contents.json, with "config" (the model's record as text, or null) and "layers"
(names with the names of their weights; null where there are none), and arrays.npz, whose "0", "1", ... are the weights
in that order; or contents.json with "error" alone.
"""

import json
import os
import sys

import h5py
import numpy as np

# Deflate, the one compression in common use with HDF5, makes data up to 1032 times smaller (zlib's documentation).
MOST_COMPRESSION = 1032


def main(path, folder):
    """Read the file at `path` into `folder`."""
    contents, arrays = {}, []
    try:
        with h5py.File(path, "r") as file:
            config = file.attrs.get("model_config")
            contents["config"] = config.decode("utf-8") if isinstance(config, bytes) else config
            group = file["model_weights"] if "model_weights" in file else file
            contents["layers"] = layers(group, arrays) if "layer_names" in names_of(group) else None
        np.savez(os.path.join(folder, "arrays.npz"), **{str(index): array for index, array in enumerate(arrays)})
    # A damaged file makes the library raise nearly anything; the cause is told.
    except Exception as error:
        contents = {"error": "{}: {}".format(type(error).__name__, error)}
    with open(os.path.join(folder, "contents.json"), "w", encoding="utf-8") as file:
        json.dump(contents, file)


def names_of(node):
    """The attributes of a file or group, long lists of names (cut into name0, name1, ...) under one name."""
    attributes = {}
    for key, value in node.attrs.items():
        if key.rstrip("0123456789") in ("layer_names", "weight_names"):
            number = key[len("layer_names" if key.startswith("l") else "weight_names"):]
            texts = [text.decode("utf-8") if isinstance(text, bytes) else str(text) for text in value]
            attributes.setdefault(key[:len(key) - len(number)], []).append((int(number or 0), texts))
    return {key: [text for _, texts in sorted(parts) for text in texts] for key, parts in attributes.items()}


def layers(group, arrays):
    """[layer, [weight, ...]] for each layer; appends the weights' values to `arrays`."""
    found = []
    for name in names_of(group)["layer_names"]:
        weights = names_of(group[name]).get("weight_names", [])
        for weight in weights:
            arrays.append(values(group[name][weight], name))
        found.append([name, weights])
    return found


def values(dataset, layer):
    """The array; not read where the file cannot hold as many values, since room would be made for all of them."""
    declared = float(np.prod(dataset.shape, dtype=np.float64)) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if declared > stored * (1 if dataset.compression is None else MOST_COMPRESSION):
        raise ValueError("layer {!r}: {} of shape {} is declared, but the file holds {} bytes of it".format(
            layer, dataset.name, dataset.shape, stored))
    if dataset.dtype.kind not in "fiu":
        raise ValueError("layer {!r}: {} is of the type {}; expected are numbers".format(
            layer, dataset.name, dataset.dtype))
    return dataset[()]


if __name__ == "__main__":
    main(*sys.argv[1:])
