"""Program that reads a Keras HDF5 file and writes its contents as JSON and raw arrays.

    python hdf5_reader.py FILE FOLDER MAX_BYTES

It runs in a separate process, since some damaged files crash the HDF5 library; it starts quickly because it imports no
module of qatviz. It writes contents.json and arrays.bin to FOLDER. contents.json has "config" (the model's description
as a string, or null) and "layers" (names, each with the names, dtypes and shapes of its weights, or null); arrays.bin
has the values of all weights in that order. On failure, contents.json has only "error". Weights of more than MAX_BYTES
in total are refused.
"""

import json
import os
import sys
from typing import Any, BinaryIO, Dict, List, Tuple

import h5py
import numpy as np

# Maximum compression factor of deflate (zlib's documentation), the compression in common use with HDF5.
MAX_COMPRESSION = 1032


def main(path: str, folder: str, max_bytes: str) -> None:
    """Write the contents of the file at `path` to `folder`."""
    contents: Dict[str, Any] = {}
    try:
        with h5py.File(path, "r") as file, open(os.path.join(folder, "arrays.bin"), "wb") as arrays:
            config = file.attrs.get("model_config")
            contents["config"] = config.decode("utf-8") if isinstance(config, bytes) else config
            group = file.get("model_weights", file)
            contents["layers"] = layers(group, arrays, int(max_bytes)) if "layer_names" in names_of(group) else None
    # For a damaged file, the library raises almost any exception; its message is passed on.
    except Exception as error:
        contents = {"error": f"{type(error).__name__}: {error}"}
    with open(os.path.join(folder, "contents.json"), "w", encoding="utf-8") as file:
        json.dump(contents, file)


def names_of(node: Any) -> Dict[str, List[str]]:
    """Return "layer_names" and "weight_names" of a file or group; Keras splits long lists as name0, name1, ...."""
    attributes: Dict[str, List[Tuple[int, List[str]]]] = {}
    for key, value in node.attrs.items():
        if key.rstrip("0123456789") in ("layer_names", "weight_names"):
            number = key[len("layer_names" if key.startswith("l") else "weight_names") :]
            texts = [text.decode("utf-8") if isinstance(text, bytes) else str(text) for text in value]
            attributes.setdefault(key[: len(key) - len(number)], []).append((int(number or 0), texts))
    return {key: [text for _, texts in sorted(parts) for text in texts] for key, parts in attributes.items()}


def layers(group: Any, arrays: BinaryIO, max_bytes: int) -> List[Any]:
    """Write the values of all weights to `arrays`; return [layer, [[weight, dtype, shape], ...]] for each layer."""
    found, left = [], max_bytes
    for name in names_of(group)["layer_names"]:
        weights = []
        for weight in names_of(group[name]).get("weight_names", []):
            try:
                dataset = group[name][weight]
            except Exception as error:  # the library raises almost any exception
                raise ValueError(f"layer {name!r}: {weight}: {type(error).__name__}: {error}") from error
            left -= checked_bytes(dataset, name, group.file.filename)
            if left < 0:
                raise ValueError(
                    f"layer {name!r}: with {dataset.name}, the weights exceed the {max_bytes} bytes of memory that are "
                    "available"
                )
            arrays.write(np.ascontiguousarray(dataset[()]).data)
            weights.append([weight, dataset.dtype.str, list(dataset.shape)])
        found.append([name, weights])
    return found


def checked_bytes(dataset: Any, layer: str, path: str) -> int:
    """Return the size of a dataset in bytes.

    Raises
    ------
    ValueError
        If it is not an array of numbers, is stored in another file, or is declared larger than the file can contain
        (the library would allocate that memory).
    """
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"layer {layer!r}: {dataset.name} is not an array")
    if dataset.dtype.kind not in "fiu":
        raise ValueError(f"layer {layer!r}: {dataset.name} has dtype {dataset.dtype}; expected: numbers")
    if dataset.file.filename != path or dataset.external or dataset.is_virtual:
        raise ValueError(f"layer {layer!r}: {dataset.name} is stored in another file")
    declared = float(np.prod(dataset.shape, dtype=np.float64)) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if declared > stored * (1 if dataset.compression is None else MAX_COMPRESSION):
        raise ValueError(
            f"layer {layer!r}: {dataset.name} is declared with shape {dataset.shape}, but the file has only {stored} "
            "bytes of it"
        )
    return int(declared)


if __name__ == "__main__":
    main(*sys.argv[1:])
