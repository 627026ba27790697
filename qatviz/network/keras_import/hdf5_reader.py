"""Program that reads an HDF5 file of Keras and writes its contents as JSON and raw arrays.

    python hdf5_reader.py FILE FOLDER MAX_BYTES

It runs in a separate process, since some damaged files crash the HDF5 library; it starts quickly because it imports no
module of qatviz. It writes contents.json and arrays.bin to FOLDER. contents.json has "config" (the model's description
as a string, or null), "version" (of Keras, "None" if the file has none), "layers" (names, each with the names, dtypes
and shapes of its weights, or null) and "form" (of these names: "names" or "classes", see `reader_process.Form`);
arrays.bin has the values of all weights in that order.
On failure, contents.json has only "error". Weights of more than MAX_BYTES in total are refused.
"""

import json
import os
import sys
from typing import Any, BinaryIO, Dict, Iterator, List, Optional, Set, Tuple

import h5py
import numpy as np

#: Maximum compression factor of deflate (zlib's documentation), the compression in common use with HDF5.
MAX_COMPRESSION = 1032
#: Names of the groups of a model's layers at the top of a file: of Keras 3, and of TensorFlow 2.12 to 2.15.
TREES = ("layers", "_layer_checkpoint_dependencies")
#: Name of the group with the variables of one object.
VARIABLES = "vars"
#: Maximum number of objects in a file; hard links may form far more paths than there are groups.
MAX_OBJECTS = 100_000


def main(path: str, folder: str, max_bytes: str) -> None:
    """Write the contents of the file at `path` to `folder`."""
    contents: Dict[str, Any] = {}
    try:
        with h5py.File(path, "r") as file, open(os.path.join(folder, "arrays.bin"), "wb") as arrays:
            config = file.attrs.get("model_config")
            contents["config"] = config.decode("utf-8") if isinstance(config, bytes) else config
            version = file.attrs.get("keras_version")
            contents["version"] = version.decode("utf-8", "replace") if isinstance(version, bytes) else str(version)
            group = file.get("model_weights", file)
            has_names = "layer_names" in names_of(group)
            writer = Writer(arrays, int(max_bytes), file.filename)
            contents["form"] = "names" if has_names else "classes"
            contents["layers"] = layers(group, writer) if has_names else tree(file, writer)
    # For a damaged file, the library raises almost any exception; its message is passed on.
    except Exception as error:
        contents = {"error": f"{type(error).__name__}: {error}"}
    with open(os.path.join(folder, "contents.json"), "w", encoding="utf-8") as file:
        json.dump(contents, file)


def names_of(node: Any) -> Dict[str, List[str]]:
    """Return the lists "layer_names" and "weight_names" of a file or group.

    Keras splits a long list into several: "layer_names0", "layer_names1" and so on.
    """
    attributes: Dict[str, List[Tuple[int, List[str]]]] = {}
    for key, value in node.attrs.items():
        if key.rstrip("0123456789") in ("layer_names", "weight_names"):
            number = key[len("layer_names" if key.startswith("l") else "weight_names") :]
            texts = [text.decode("utf-8") if isinstance(text, bytes) else str(text) for text in value]
            attributes.setdefault(key[: len(key) - len(number)], []).append((int(number or 0), texts))
    return {key: [text for _, texts in sorted(parts) for text in texts] for key, parts in attributes.items()}


class Writer:
    """Writer of arrays to a file, `arrays`; those of the HDF5 file at `path`, of at most `max_bytes` in total."""

    def __init__(self, arrays: BinaryIO, max_bytes: int, path: str):
        self._arrays, self._max_bytes, self._left, self._path = arrays, max_bytes, max_bytes, path

    def write(self, dataset: Any, layer: str) -> List[Any]:
        """Write the values of a dataset and return its dtype and shape."""
        self._left -= checked_bytes(dataset, layer, self._path)
        if self._left < 0:
            raise ValueError(
                f"layer {layer!r}: with {dataset.name}, the weights exceed the {self._max_bytes} bytes of memory that "
                "are available"
            )
        self._arrays.write(np.ascontiguousarray(dataset[()]).data)
        return [dataset.dtype.str, list(dataset.shape)]


def layers(group: Any, writer: Writer) -> List[Any]:
    """Write the values of all weights; return [layer, [[weight, dtype, shape], ...]] for each layer."""
    found = []
    for name in names_of(group)["layer_names"]:
        weights = []
        for weight in names_of(group[name]).get("weight_names", []):
            try:
                dataset = group[name][weight]
            except Exception as error:  # the library raises almost any exception
                raise ValueError(f"layer {name!r}: {weight}: {type(error).__name__}: {error}") from error
            weights.append([weight, *writer.write(dataset, name)])
        found.append([name, weights])
    return found


def tree(file: Any, writer: Writer) -> Optional[List[Any]]:
    """Write the variables of all objects; return [path, [[number, dtype, shape], ...]] for each; None for none.

    Paths are such as "layers/dense_1". Files from Windows have them as the name of one group, with backslashes.
    """
    found = []
    seen: Set[Any] = set()
    for name, group in hard_links(file, seen):
        path = name.replace("\\", "/")
        if path.split("/")[0] in TREES and isinstance(group, h5py.Group):
            for own, variables in objects(path, group, seen):
                numbers = sorted(variables, key=lambda key: (len(key), key))
                found.append([own, [[key, *writer.write(variables[key], own)] for key in numbers]])
    return found or None


def objects(path: str, group: Any, seen: Set[Any]) -> Iterator[Tuple[str, Any]]:
    """Yield the path of each object with variables in a group, and the group of its variables."""
    waiting = [(path, group)]
    while waiting:
        own, node = waiting.pop()
        for name, child in hard_links(node, seen):
            if name == VARIABLES and isinstance(child, h5py.Group):
                yield own, child
            elif isinstance(child, h5py.Group):
                waiting.append((f"{own}/{name}".replace("\\", "/"), child))


def hard_links(group: Any, seen: Set[Any]) -> Iterator[Tuple[str, Any]]:
    """Yield the names and members of a group, and add their addresses to `seen`.

    Raises
    ------
    ValueError
        For a link that may lead out of the file, for a member that was seen before, and beyond `MAX_OBJECTS`.
    """
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"{group.name}: {name} is a link; expected: only groups and arrays")
        child = group[name]
        key = h5py.h5o.get_info(child.id).addr
        if key in seen:
            raise ValueError(f"{group.name}: {name} is in the file twice")
        seen.add(key)
        if len(seen) > MAX_OBJECTS:
            raise ValueError(f"the file has more than {MAX_OBJECTS} objects")
        yield name, child


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
