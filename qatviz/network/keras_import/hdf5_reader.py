"""A program of its own: reads a Keras HDF5 file and writes what is in it as JSON and as plain numbers.

    python hdf5_reader.py FILE FOLDER MOST_BYTES

The HDF5 library ends the process on some damaged files; this one, then, and not the user's. It starts sooner for
importing nothing of qatviz. FOLDER gets contents.json, with "config" (the model's record as text, or null) and "layers"
(names, each with the names, types and shapes of its weights; null where there are none), and arrays.bin, the values of
all weights in that order; or contents.json with "error" alone. Weights of more than MOST_BYTES together are not read.
"""

import json
import os
import sys

import h5py
import numpy as np

# Deflate, the one compression in common use with HDF5, makes data up to 1032 times smaller (zlib's documentation).
MOST_COMPRESSION = 1032


def main(path, folder, most_bytes):
    """Read the file at `path` into `folder`."""
    contents = {}
    try:
        with h5py.File(path, "r") as file, open(os.path.join(folder, "arrays.bin"), "wb") as arrays:
            config = file.attrs.get("model_config")
            contents["config"] = config.decode("utf-8") if isinstance(config, bytes) else config
            group = file.get("model_weights", file)
            contents["layers"] = layers(group, arrays, int(most_bytes)) if "layer_names" in names_of(group) else None
    # A damaged file makes the library raise nearly anything; the cause is told.
    except Exception as error:
        contents = {"error": f"{type(error).__name__}: {error}"}
    with open(os.path.join(folder, "contents.json"), "w", encoding="utf-8") as file:
        json.dump(contents, file)


def names_of(node):
    """The attributes of a file or group, long lists of names (cut into name0, name1, ...) under one name."""
    attributes = {}
    for key, value in node.attrs.items():
        if key.rstrip("0123456789") in ("layer_names", "weight_names"):
            number = key[len("layer_names" if key.startswith("l") else "weight_names") :]
            texts = [text.decode("utf-8") if isinstance(text, bytes) else str(text) for text in value]
            attributes.setdefault(key[: len(key) - len(number)], []).append((int(number or 0), texts))
    return {key: [text for _, texts in sorted(parts) for text in texts] for key, parts in attributes.items()}


def layers(group, arrays, most_bytes):
    """[layer, [[weight, type, shape], ...]] for each layer; writes the weights' values to `arrays`."""
    found, left = [], most_bytes
    for name in names_of(group)["layer_names"]:
        weights = []
        for weight in names_of(group[name]).get("weight_names", []):
            try:
                dataset = group[name][weight]
            except Exception as error:  # whatever the library makes of it
                raise ValueError(f"layer {name!r}: {weight}: {type(error).__name__}: {error}") from error
            left -= checked_bytes(dataset, name, group.file.filename)
            if left < 0:
                raise ValueError(
                    f"layer {name!r}: with {dataset.name} the weights take more than the {most_bytes} bytes "
                    "there is room for"
                )
            arrays.write(np.ascontiguousarray(dataset[()]).data)
            weights.append([weight, dataset.dtype.str, list(dataset.shape)])
        found.append([name, weights])
    return found


def checked_bytes(dataset, layer, path):
    """How many bytes the values take. Refused is what the file cannot hold, since room would be made for all of it, and
    what is in other files, which are nobody's business.
    """
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"layer {layer!r}: {dataset.name} is no array")
    if dataset.dtype.kind not in "fiu":
        raise ValueError(f"layer {layer!r}: {dataset.name} is of the type {dataset.dtype}; expected are numbers")
    if dataset.file.filename != path or dataset.external or dataset.is_virtual:
        raise ValueError(f"layer {layer!r}: {dataset.name} is in another file")
    declared = float(np.prod(dataset.shape, dtype=np.float64)) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if declared > stored * (1 if dataset.compression is None else MOST_COMPRESSION):
        raise ValueError(
            f"layer {layer!r}: {dataset.name} of shape {dataset.shape} is declared, but the file holds "
            f"{stored} bytes of it"
        )
    return int(declared)


if __name__ == "__main__":
    main(*sys.argv[1:])
