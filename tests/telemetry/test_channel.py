"""The channel keeps events and order, and counts dropped telemetry."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import ENDLESS_S, join

from qatviz.protocol.events import Failed
from qatviz.telemetry.channel import Channel


def event(i):
    return Failed(i, "test", "")


@settings(deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 3),
    st.lists(st.sampled_from(["record", "snapshot", "event", "drain"]), max_size=60),
)
def test_the_channel_is_a_queue_that_drops_its_oldest_telemetry(capacity, snapshot_capacity, actions):
    channel = Channel(capacity, snapshot_capacity)
    expected, dropped = [], {int: 0, str: 0}
    for i, action in enumerate(actions):
        if action == "drain":
            assert channel.drain() == expected
            expected = []
        elif action == "event":
            channel.put_event(event(i))
            expected.append(event(i))
        else:
            kind, put, limit = (
                (int, channel.put, capacity) if action == "record" else (str, channel.put_snapshot, snapshot_capacity)
            )
            put(kind(i))
            expected.append(kind(i))
            same = [item for item in expected if isinstance(item, kind)]
            if len(same) > limit:
                expected.remove(same[0])
                dropped[kind] += 1
    assert channel.drain() == expected
    assert channel.dropped == dropped[int] + dropped[str]
    assert channel.drain() == []


def test_steps_never_displace_snapshots_or_events():
    channel = Channel(10, 2)
    channel.put_snapshot("a")
    channel.put_event(event(0))
    for i in range(10_000):
        channel.put(i)
    channel.put_snapshot("b")
    assert channel.drain() == ["a", event(0), *range(9_990, 10_000), "b"]
    assert channel.dropped == 9_990


@pytest.mark.parametrize("capacities", [(0,), (-1,), (5, 0), (5, -1)])
def test_refuses_a_capacity_without_room(capacities):
    with pytest.raises(ValueError, match=f"capacity of a channel is {capacities[-1]}"):
        Channel(*capacities)


def test_wait_returns_immediately_if_items_are_queued():
    channel = Channel(1)
    assert channel.wait(0) is False
    channel.put_event(event(0))
    assert channel.wait(ENDLESS_S) is True
    channel.drain()
    channel.put(1)
    assert channel.wait(ENDLESS_S) is True
    channel.drain()
    channel.put_snapshot(1)
    assert channel.wait(ENDLESS_S) is True


@pytest.mark.parametrize(
    "put",
    [
        lambda channel: channel.put(1),
        lambda channel: channel.put_snapshot(1),
        lambda channel: channel.put_event(event(1)),
    ],
)
def test_wait_returns_when_an_item_arrives(put):
    channel = Channel(1)
    waited = []
    reader = threading.Thread(target=lambda: waited.append(channel.wait(ENDLESS_S)))
    reader.start()
    put(channel)
    join(reader)
    assert waited == [True]


def test_concurrent_writers_and_readers_keep_all_items_in_order():
    channel = Channel(50)
    n_writers, n_each = 4, 2000
    received = [[], []]
    done = threading.Event()

    def write(writer):
        for i in range(n_each):
            channel.put((writer, i))
            channel.put_event(Failed(i, str(writer), ""))

    def read(into):
        while not done.is_set():
            channel.wait(0.01)
            into.append(channel.drain())

    readers = [threading.Thread(target=read, args=(into,)) for into in received]
    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(n_writers)]
    for thread in readers + writers:
        thread.start()
    join(*writers)
    done.set()
    join(*readers)
    batches = received[0] + received[1] + [channel.drain()]
    items = [item for batch in batches for item in batch]
    events = [item for item in items if isinstance(item, Failed)]
    telemetry = [item for item in items if not isinstance(item, Failed)]
    assert sorted((e.message, e.step) for e in events) == sorted(
        (str(writer), i) for writer in range(n_writers) for i in range(n_each)
    )
    assert len(set(telemetry)) == len(telemetry)
    assert len(telemetry) + channel.dropped == n_writers * n_each
    for batch in batches:
        for writer in range(n_writers):
            own = [item[1] for item in batch if not isinstance(item, Failed) and item[0] == writer]
            assert own == sorted(own)
            own_events = [item.step for item in batch if isinstance(item, Failed) and item.message == str(writer)]
            assert own_events == sorted(own_events)
