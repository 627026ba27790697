"""Options of the commands, keys of their JSON, and names of the API are those that are stored; see make_golden.py."""

import golden_cases
import golden_surface
import pytest

import qatviz
from qatviz.errors import QatvizError

STORED = golden_cases.load(golden_surface.STORED)
#: Keywords that `qatviz.train` takes besides those in its signature and the settings of the run.
KEYWORDS = {
    "steps",
    "batch_size",
    "optimizer",
    "seed",
    "preset",
    "weights",
    "activations",
    "quant_delay",
    "from_scratch",
    "weights_path",
    "allow_code",
    "changes",
    "validation_fraction",
    "task",
}


def test_each_command_has_the_options_it_had(program):
    found = golden_surface.options(program)
    assert list(found) == list(STORED["options"])
    for command, options in STORED["options"].items():
        assert found[command] == options, f"qatviz {command} --help"
    assert program.call("no-such-command").code == 2


@pytest.mark.parametrize("name", sorted(STORED["json"]))
def test_json_has_the_keys_it_had(name, program, exported_records, tmp_path):
    found = golden_surface.json_schema(program, golden_surface.json_calls(exported_records, tmp_path)[name])
    told = golden_cases.schema_differences(STORED["json"][name], found)
    assert not told, "\n".join([f"the JSON of {name!r} is another one:", *told])


def test_the_api_has_the_names_and_keywords_it_had():
    found = golden_surface.api()
    assert list(found) == list(STORED["api"])
    for name, stored in STORED["api"].items():
        assert found[name] == stored, name


def test_train_takes_the_keywords_it_took():
    with pytest.raises(QatvizError) as refused:
        qatviz.train(no_such_keyword=1)
    words = set(str(refused.value).replace(",", " ").replace("'", " ").split())
    settings = {name[2:].replace("-", "_") for name in STORED["options"]["train"] if name.startswith("--")}
    settings &= {
        "learning_rate",
        "momentum",
        "beta1",
        "beta2",
        "epsilon",
        "freeze_ranges",
        "freeze_batch_norm",
        "evaluation_interval",
        "snapshot_interval",
        "checkpoint_interval",
    }
    assert len(settings) == 10
    assert KEYWORDS | settings <= words, str(refused.value)
