"""Texts on the size of an export."""

import pytest

from qatviz.presentation.export_sizes import ExportSize, Packing, WeightStorage

INT4 = Packing("Weights of up to 4 bits as INT4", {"int4": True}, 33_000)
ALL = Packing("INT4 in all layers", {"int4": True, "int4_all": True}, 25_000)
CODES = ExportSize(47_000, WeightStorage.CODES, 47_000, elsewhere=("C source", "ONNX"))
FOUR = CODES._replace(packings=(INT4, ALL), few=("conv1", "dense1"))


def test_a_network_of_eight_bits_has_one_size():
    assert (CODES.lines, CODES.notes) == (["About 47 kB"], [])


def test_four_bits_in_eight_bit_storage_are_said_to_save_nothing():
    assert FOUR.lines == [
        "About 47 kB",
        "33 kB with “Weights of up to 4 bits as INT4”",
        "25 kB with “INT4 in all layers”",
    ]
    assert FOUR.notes == [
        "Weights of up to 4 bits (conv1, dense1) are stored in 8 bits here, which saves nothing. “INT4 in all layers” "
        "stores two per byte."
    ]


def test_a_packed_export_names_the_size_without_packing():
    packed = FOUR._replace(nbytes=33_000, chosen=INT4.label)
    assert packed.lines == ["About 33 kB", "47 kB without packing", "25 kB with “INT4 in all layers”"]
    assert packed.notes == [] and packed._replace(below_four=True).notes == ["Weights of 2 or 3 bits take 4 bits each."]


def test_packing_that_saves_nothing_is_said_to():
    useless = FOUR._replace(chosen=INT4.label, packings=(INT4._replace(nbytes=47_000),))
    assert useless.notes == [
        "“Weights of up to 4 bits as INT4” saves nothing with these settings. C source and ONNX can store two weights "
        "of up to 4 bits per byte."
    ]


@pytest.mark.parametrize(
    "storage, note",
    [
        (WeightStorage.FLOAT32, "save nothing, because this format stores float32. C source and ONNX can store two"),
        (WeightStorage.COMPRESSED, "make the file smaller, because it is compressed; as arrays, they take 8 bits."),
    ],
)
def test_formats_without_codes_of_whole_bytes(storage, note):
    size = CODES._replace(storage=storage)
    assert size.notes == []
    (found,) = size._replace(few=("conv1",), odd=("conv2",)).notes
    assert found.startswith("Weights of fewer than 8 bits (conv1, conv2) ") and note in found


def test_five_to_seven_bits_take_eight():
    assert CODES._replace(odd=("conv1",)).notes == ["Weights of 5 to 7 bits (conv1) take 8 bits each."]


def test_a_format_without_weights_has_no_note():
    assert FOUR._replace(storage=WeightStorage.NONE).notes == []
