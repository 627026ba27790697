"""Over a link of 50 ms and 10 Mbit/s, a click is answered and histograms are renewed as fast as a user expects."""

import pytest
from slow_link import HERE, THERE, Namespace
from slow_link_use import ServerProcess, measure, measure_transport

#: Seconds from a click to its histogram besides a step; updates of histograms per second, by network.
CLICK_S, UPDATES = 0.25, {"lenet": 4.0, "mobilenet": 1.0}
DATA = {"lenet": "mnist-5k", "mobilenet": "mnist-5k"}


@pytest.fixture
def netem(tmp_path):
    """A server behind a link with netem, and the address at which it is reached."""
    namespace = Namespace()
    server = ServerProcess(tmp_path, THERE, namespace.prefix)
    yield server, THERE, server.port
    server.close()
    namespace.close()


@pytest.mark.slow
@pytest.mark.parametrize("network", sorted(UPDATES))
def test_the_bars_hold_with_netem(netem, network):
    found = measure(*netem, network, DATA[network])
    assert HERE and found["click_s"] <= CLICK_S + found["step_s"], found
    assert found["updates_per_s"] >= UPDATES[network], found


def test_a_click_is_answered_over_a_slow_link():
    """Whatever the machine is busy with, clicks are answered and histograms arrive; speeds are for the benchmark."""
    found = measure_transport("lenet")
    assert found["click_s"] > 0.05, found  # the link was in between
    assert found["updates_per_s"] > 0, found
