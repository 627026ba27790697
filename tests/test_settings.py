"""Settings as text: what is shown can be typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatviz.settings import QUANTIZER_SETTINGS, RUN_SETTINGS, setting_text

SETTINGS = [*QUANTIZER_SETTINGS.values(), *RUN_SETTINGS.values()]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_value_is_written_as_it_is_typed(setting):
    kind = (setting.kinds or ("",))[0]
    default = setting.default
    assert setting.parse(setting_text(default), kind=kind) == default


@given(st.booleans() | st.integers(-(2**40), 2**40) | st.floats(1e-12, 1e12))
def test_the_text_of_a_value_is_that_of_its_type(value):
    text = setting_text(value)
    if isinstance(value, bool):
        assert text == ("on" if value else "off")
    else:
        assert type(value)(text) == (value if isinstance(value, int) else pytest.approx(value, rel=1e-5))
