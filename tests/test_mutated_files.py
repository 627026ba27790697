"""Files that others wrote, in every form they may be damaged: a result or an error that names the file and the cause.

Each kind of file that is read has its line in `KINDS`; the copies come from `file_damage`. Code in a file is never run,
which a canary shows, and no copy takes longer than `MOST_S` of processor time.
"""

import contextlib
import gzip
import io
import json
import os
import pickle
import random
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from exhaustive import tries
from file_damage import FOREIGN, damaged_copies, odd_records
from PIL import Image

from qatviz.cli import main
from qatviz.errors import QatvizError
from qatviz.network.keras_import.keras_session import isolated_keras
from qatviz.session.prepare import prepare
from qatviz.session.request import NewRunRequest, RunRequest

layers = tf.keras.layers
MOST_S = 30.0
#: The folder that code in a damaged file would make.
CANARY = "canary"
BYTES = b"\x00\x01\x7f\x80\xff"


class Canary:
    def __reduce__(self):
        return os.mkdir, (CANARY,)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A folder with a small file of each kind."""
    folder = tmp_path_factory.mktemp("originals")
    chance = np.random.RandomState(0)
    images, labels = chance.randint(0, 256, (40, 6, 6)).astype(np.uint8), np.arange(40) % 4
    with isolated_keras(), pytest.MonkeyPatch.context() as patch:
        model = tf.keras.Sequential(
            [
                layers.Conv2D(3, 3, input_shape=(6, 6, 1), name="conv"),
                layers.ReLU(name="relu"),
                layers.Flatten(name="flatten"),
                layers.Dense(4, name="dense"),
            ],
            name="small",
        )
        model.save(str(folder / "model.h5"), include_optimizer=False)
        (folder / "model.json").write_text(model.to_json())
        model.save_weights(str(folder / "weights.h5"))
        patch.chdir(folder)  # building the model runs its code
        code = [layers.Lambda(lambda x: [__import__("os").mkdir("canary"), x][1], input_shape=(36,))]
        tf.keras.Sequential(code).save("code.h5", include_optimizer=False)
    with zipfile.ZipFile(str(folder / "model.keras"), "w") as archive:
        archive.writestr("config.json", model.to_json())
        archive.write(str(folder / "weights.h5"), "model.weights.h5")
    np.savez(str(folder / "plain.npz"), x=images, y=labels)
    np.savez_compressed(str(folder / "packed.npz"), x=images, y=labels, class_names=np.array(list("abcd")))
    np.savez(str(folder / "objects.npz"), x=images, y=labels, class_names=np.array([Canary()] * 4, object))
    exif = Image.Exif()
    exif[0x0112] = 6  # the orientation, so that it is damaged, too
    oriented = {"tif": {"tiffinfo": {0x0112: 6}}, **{ending: {"exif": exif} for ending in ("png", "jpg", "webp")}}
    for ending in ("png", "jpg", "bmp", "gif", "webp", "tif", "pgm"):
        for index in range(8):
            path = folder / ending / "abcd"[index % 4] / f"{index}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(KeyError, ValueError):  # a format that Pillow can't write here
                Image.fromarray(images[index]).save(str(path), **oriented.get(ending, {}))
    with zipfile.ZipFile(str(folder / "pictures.zip"), "w") as archive:
        for path in sorted((folder / "png").rglob("*.png")):
            archive.write(str(path), str(path.relative_to(folder)))
    (folder / "table").mkdir()
    for index in range(8):
        Image.fromarray(images[index]).save(str(folder / "table" / f"{index}.png"))
    rows = [f"{index}.png,{'ab'[index % 2]}" for index in range(8)]
    (folder / "table" / "labels.csv").write_text("\n".join(["image,label", *rows, ""]))
    cells = [f"{index / 7},{'rb'[index % 2]},{index % 3}" for index in range(40)]
    (folder / "rows.csv").write_text("\n".join(["size,colour,label", *cells, ""]))
    rows = [f"{index % 3},{index},{index * 5}" for index in range(40)]
    (folder / "numbers.csv").write_text("\n".join(["label,a,b", *rows, ""]))
    (folder / "arrays").mkdir()
    np.save(str(folder / "arrays" / "x.npy"), images)
    np.save(str(folder / "arrays" / "y.npy"), labels)
    binary = folder / "cifar-100-binary"
    binary.mkdir()
    for name in ("train.bin", "test.bin"):
        (binary / name).write_bytes(b"".join(bytes([index % 2, index % 4]) + bytes(3072) for index in range(8)))
    for name in ("fine_label_names.txt", "coarse_label_names.txt"):
        (binary / name).write_text("a\nb\nc\nd\n" if "fine" in name else "x\ny\n")
    (folder / "set").mkdir()
    (folder / "zipped").mkdir()
    for name, array in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels.astype(np.uint8))):
        content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
        (folder / "set" / name).write_bytes(content)
        (folder / "zipped" / (name + ".gz")).write_bytes(gzip.compress(content))
    batches = folder / "cifar-10-batches-py"
    batches.mkdir()
    for name in [f"data_batch_{index}" for index in range(1, 6)] + ["test_batch"]:
        batch = {b"labels": [3, 1], b"data": chance.randint(0, 256, (2, 3072)).astype(np.uint8)}
        (batches / name).write_bytes(pickle.dumps(batch, protocol=2))
    with tarfile.open(str(folder / "cifar.tar.gz"), "w:gz") as archive:
        archive.add(str(batches), "cifar-10-batches-py")
    request = NewRunRequest(model="m.h5", network=None, steps=3).to_dict()
    (folder / "request.json").write_text(json.dumps(request))
    return folder


def read_data(path, *_):
    """Describe a data set by the program."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["data", path])
    text = out.getvalue() + err.getvalue()
    assert "Traceback" not in text and not {c for c in text if ord(c) < 32} - set("\n\t"), repr(text)
    if code:
        assert code == 2, text
        raise QatvizError(err.getvalue())


def read_model(path, folder):
    """Prepare a run of a model, without starting it."""
    data = str(folder / "plain.npz")
    if os.path.basename(path) == "weights.h5":
        request = NewRunRequest(network=None, model=str(folder / "model.json"), model_weights=path, data=data)
    else:
        request = NewRunRequest(network=None, model=path, data=data)
    prepare(request)


def read_request(path, _):
    """Prepare what a request in JSON asks for."""
    try:
        row = json.loads(Path(path).read_bytes().decode("utf-8"))
    except ValueError as error:
        raise QatvizError(f"{path}: {error}") from error
    try:
        RunRequest.from_dict(row).check()
    except QatvizError as error:
        raise error.of_file(path) from error


#: By name: reader, the path that is read, the file that is damaged, the usual number of copies.
KINDS = {
    "h5": (read_model, "model.h5", "model.h5", 6),
    "weights": (read_model, "weights.h5", "weights.h5", 6),
    "code": (read_model, "code.h5", "code.h5", 4),
    "architecture": (read_model, "model.json", "model.json", 30),
    "keras": (read_model, "model.keras", "model.keras", 20),
    "npz": (read_data, "plain.npz", "plain.npz", 30),
    "compressed npz": (read_data, "packed.npz", "packed.npz", 30),
    "npz of objects": (read_data, "objects.npz", "objects.npz", 20),
    **{
        ending: (read_data, ending, f"{ending}/b/1.{ending}", 12)
        for ending in ("png", "jpg", "bmp", "gif", "webp", "tif", "pgm")
    },
    "zip": (read_data, "pictures.zip", "pictures.zip", 30),
    "labels table": (read_data, "table", "table/labels.csv", 30),
    "table": (read_data, "rows.csv", "rows.csv", 30),
    "table of numbers": (read_data, "numbers.csv", "numbers.csv", 30),
    "npy": (read_data, "arrays", "arrays/x.npy", 30),
    "binary batch": (read_data, "cifar-100-binary", "cifar-100-binary/train.bin", 20),
    "names of classes": (read_data, "cifar-100-binary", "cifar-100-binary/fine_label_names.txt", 20),
    "images": (read_data, "set", "set/train-images-idx3-ubyte", 30),
    "labels": (read_data, "set", "set/train-labels-idx1-ubyte", 30),
    "zipped images": (read_data, "zipped", "zipped/train-images-idx3-ubyte.gz", 30),
    "batch": (read_data, "cifar-10-batches-py", "cifar-10-batches-py/data_batch_1", 20),
    "tar": (read_data, "cifar.tar.gz", "cifar.tar.gz", 20),
    "request": (read_request, "request.json", "request.json", 60),
}


CHECKED = ("npz", "compressed npz", "zipped images", "tar")


def copies_of(kind, content, count):
    """Damaged copies of a file's bytes; of JSON, half have odd values instead."""
    text = kind in ("architecture", "request")
    yield from damaged_copies(content, len(kind), -(-count // (1 + text)), values=BYTES, foreign=FOREIGN)
    if text:
        yield from odd_records(content, random.Random(kind), count // 2)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, about numbers that no one writes
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_gives_a_result_or_an_error_that_names_it(originals, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    read, path, damaged, usual = KINDS[kind]
    path, damaged = originals / path, originals / damaged
    content, count, refusals = damaged.read_bytes(), tries(usual, 300), 0
    try:
        for number, mutated in enumerate(copies_of(kind, content, count)):
            damaged.write_bytes(mutated)
            began = sum(os.times()[:4])
            try:
                read(str(path), originals)
            except QatvizError as error:
                names, text = (damaged.name, path.name), str(error)
                assert any(name in text for name in names) and len(text) > 20, text
                refusals += 1
            except Exception as error:
                raise AssertionError(f"copy {number}: {error!r}: {mutated[:300]!r}") from error
            assert sum(os.times()[:4]) - began < MOST_S, f"copy {number}"
            assert not os.path.exists(CANARY), f"copy {number}: its code was run"
    finally:
        damaged.write_bytes(content)
    # Checksums cover the contents of archives: in the copies that are read, the damage is in unused bytes.
    assert refusals > count * (0.6 if kind in CHECKED else 0.2)
    if kind not in ("code", "keras", "npz of objects"):
        read(str(path), originals)
