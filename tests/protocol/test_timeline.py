"""The events that led to the present state, after rewinds and redos."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qatviz.network import zoo
from qatviz.network.plan import quantization_plan
from qatviz.protocol import events
from qatviz.protocol.branches import BranchCursor, BranchPoint, BranchTree
from qatviz.protocol.commands import ChangeSettings, Redo, RestoreCheckpoint, SaveCheckpoint, Undo
from qatviz.protocol.events import Change
from qatviz.protocol.reasons import RestoreReason, SaveKind, SaveReason
from qatviz.protocol.settings_book import SettingsBook
from qatviz.protocol.timeline import Timeline

CHANGE = ChangeSettings((("x", 1),))


class StagedTimeline:
    """Emits the events of a run, and keeps those that led to the present state as the reference."""

    def __init__(self):
        self.timeline, self.cursor, self.past = Timeline(), BranchCursor(), []
        self.step = self.sequence = 0
        self.undo, self.redo, self.named = [], [], {}

    def put(self, event):
        self.timeline.add(self.cursor.place(event))
        self.past = [*self.past, self.timeline.log[-1].event]

    def state(self, name):
        return name, self.cursor.point(self.step), self.past

    def train(self, steps):
        for _ in range(steps):
            self.step += 1
        self.put(events.SettingsActivated(self.step, ()))

    def change(self):
        self.sequence += 1
        kept = self.state(f"before-{self.step:08d}-{self.sequence}")
        self.undo.append(kept)
        self.redo.clear()
        self.put(events.CommandApplied(self.step, str(self.sequence), CHANGE, (Change("x", 0, 1),), kept[0]))

    def save(self, name):
        self.sequence += 1
        self.named[name] = self.state(name)
        self.put(events.CommandApplied(self.step, str(self.sequence), SaveCheckpoint(name), (), name))

    def jump(self, state, command):
        """Emit the answer, then the event, both on the new branch, like the trainer."""
        left, (name, point, past) = self.step, state
        self.step, self.past = point.step, past
        self.cursor.fork(point)
        self.put(events.CommandApplied(self.step, str(self.sequence), command, (Change("x", 1, 0),)))
        self.put(events.Restored(self.step, name, RestoreReason.CHECKPOINT, left, (Change("x", 1, 0),)))

    def go_back(self):
        if self.undo:
            self.sequence += 1
            self.redo.append(self.state("undone"))
            self.jump(self.undo.pop(), Undo())

    def go_forward(self):
        if self.redo:
            self.sequence += 1
            self.undo.append(self.state("redone"))
            self.jump(self.redo.pop(), Redo())

    def restore(self, name):
        if name in self.named:
            self.sequence += 1
            self.undo.append(self.state("before"))
            self.redo.clear()
            self.jump(self.named[name], RestoreCheckpoint(name))

    def survivors(self):
        return [logged.event for logged in self.timeline.log if logged.survives]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("train"), st.integers(0, 3)),
        st.tuples(st.just("change")),
        st.tuples(st.just("go_back")),
        st.tuples(st.just("go_forward")),
        st.tuples(st.just("save"), st.sampled_from("ab")),
        st.tuples(st.just("restore"), st.sampled_from("ab")),
    ),
    max_size=30,
)


def ids(found):
    return sorted(map(id, found))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a loaded machine
@given(ACTIONS)
def test_surviving_events_are_those_that_led_to_the_present_state(actions):
    staged = StagedTimeline()
    for name, *arguments in actions:
        getattr(staged, name)(*arguments)
        assert [id(event) for event in staged.survivors()] == [id(event) for event in staged.past]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS, st.data())
def test_a_late_report_belongs_to_the_state_it_describes(actions, data):
    staged, states = StagedTimeline(), []
    for name, *arguments in actions:
        getattr(staged, name)(*arguments)
        states.append(staged.state(name))
        if data.draw(st.booleans()):
            state = data.draw(st.sampled_from(states))
            staged.timeline.add(staged.cursor.place_at(events.Evaluated(state[1].step, {}, 10, 0.1), state[1]))
            led = [event for event in state[2] if not event.is_report]
            past = [event for event in staged.past if not event.is_report]
            assert staged.timeline.log[-1].survives == (ids(led) == ids(past[: len(led)]))


def add_placed(timeline, cursor, *found):
    for event in found:
        timeline.add(cursor.place(event))


def survival_flags(timeline):
    return [logged.survives for logged in timeline.log]


def test_an_undone_change_is_discarded_even_at_the_same_step():
    staged = StagedTimeline()
    staged.train(10)
    staged.change()
    staged.go_back()
    assert [event.kind for event in staged.survivors()] == ["SettingsActivated", "CommandApplied", "Restored"]
    assert not staged.survivors()[1].checkpoint, "the answer to the undo, not the change"


def test_redo_restores_the_events_of_the_abandoned_branch():
    staged = StagedTimeline()
    staged.change()
    staged.train(5)
    staged.go_back()
    staged.go_forward()
    expected = ["CommandApplied", "SettingsActivated", "CommandApplied", "Restored"]
    assert [event.kind for event in staged.survivors()] == expected


def test_a_branch_point_without_a_position_is_compared_by_step():
    timeline, cursor = Timeline(), BranchCursor()
    add_placed(timeline, cursor, events.Resumed(3), events.Resumed(5), events.Resumed(8))
    cursor.fork(BranchPoint(0, 5))
    add_placed(timeline, cursor, events.Restored(5, "good", RestoreReason.BAD_STEP, 8))
    assert survival_flags(timeline) == [True, True, False, True]


def test_a_late_evaluation_belongs_to_the_state_it_measured():
    timeline, cursor = Timeline(), BranchCursor()
    add_placed(timeline, cursor, events.Resumed(3))
    measured, before = cursor.point(6), cursor.point(8)
    add_placed(timeline, cursor, events.CommandApplied(8, "1", CHANGE, (Change("x", 0, 1),), "before"))
    after = cursor.point(8)
    for point in (measured, before, after, cursor.point(9)):
        timeline.add(cursor.place_at(events.Evaluated(point.step, {}, 10, 0.1), point))
    cursor.fork(before)
    add_placed(timeline, cursor, events.Restored(8, "before", RestoreReason.UNDO, 12))
    assert survival_flags(timeline) == [True, False, True, True, False, False, True]


def test_late_events_of_an_abandoned_branch_are_discarded():
    timeline, cursor = Timeline(), BranchCursor()
    add_placed(timeline, cursor, events.Resumed(3))
    saved = cursor.point(8)
    cursor.fork(BranchPoint(0, 3, 1))
    add_placed(timeline, cursor, events.Restored(3, "start", RestoreReason.CHECKPOINT, 8))
    timeline.add(cursor.place_at(events.CheckpointSaved(8, "late", SaveReason(SaveKind.AUTOMATIC)), saved))
    assert survival_flags(timeline) == [True, True, False]
    cursor.fork(saved)
    assert timeline.add(cursor.place(events.Restored(8, "late", RestoreReason.CHECKPOINT, 3)))
    assert survival_flags(timeline) == [True, False, True, True]


def test_an_event_without_a_place_belongs_to_the_present_branch():
    timeline = Timeline()
    timeline.add(events.Resumed(3))
    timeline.add(events.Restored(1, "x", RestoreReason.UNDO, 3).placed(4, 0, BranchPoint(0, 1)))
    timeline.add(events.Resumed(2))
    assert [(logged.event.branch, logged.event.position) for logged in timeline.log] == [(0, 0), (4, 0), (4, 1)]
    assert survival_flags(timeline) == [False, True, True]


def test_the_log_is_replaced_only_if_survival_changes():
    timeline = Timeline()
    log = timeline.log
    assert not timeline.add(events.Resumed(3)) and timeline.log is log
    assert (
        timeline.add(events.Restored(1, "x", RestoreReason.UNDO, 3).placed(1, 0, BranchPoint(0, 1)))
        and timeline.log is not log
    )


def test_a_rewind_beyond_the_start_of_a_branch_shortens_its_parent():
    tree = BranchTree()
    tree.add(1, BranchPoint(0, 80, 4))
    tree.add(2, BranchPoint(1, 50))
    path = tree.path()
    assert path.pieces == ((0, BranchPoint(0, 50)), (1, BranchPoint(1, 50)), (2, None))
    assert path.includes(BranchPoint(0, 50, 9)) and not path.includes(BranchPoint(0, 51, 0))


def test_the_common_step_of_two_paths_is_where_they_part():
    tree = BranchTree()
    tree.add(1, BranchPoint(0, 10, 3))
    first = tree.path()
    assert first.common_step(first) == float("inf")
    tree.add(2, BranchPoint(0, 15, 4))
    assert tree.path().common_step(first) == first.common_step(tree.path()) == 10
    tree.add(3, BranchPoint(1, 12, 2))
    assert tree.path().common_step(first) == 12


def test_settings_of_an_earlier_state_are_reconstructed():
    """On the present and an abandoned branch, between two changes at one step, and at an unknown place."""
    plan = quantization_plan(zoo.build("mlp", (4, 4, 1), 3))
    path, first = f"{plan.tensors[1].name}.num_bits", SettingsBook.from_preset(plan, "tflite-int8")
    timeline, cursor, book = Timeline(), BranchCursor(), first

    def change(step, bits):
        nonlocal book
        book, changes = book.change([(path, bits)])
        timeline.add(cursor.place(events.CommandApplied(step, "c", CHANGE, changes, "")))

    def bits_at(*point):
        return timeline.settings_at(BranchPoint(*point), book).of(plan.tensors[1].name).num_bits

    change(10, 4)
    left = cursor.point(15)
    change(20, 3)
    at_20 = cursor.point(20)
    change(20, 2)
    assert [bits_at(0, step) for step in (5, 9, 10, 19, 20, 30)] == [8, 8, 4, 4, 2, 2]
    assert bits_at(*at_20) == 3 and bits_at(0, 20, at_20.position - 1) == 4
    # Undo to step 15, and go on from there with 6 bits.
    cursor.fork(left)
    book, changes = book.change([(path, 4)])
    timeline.add(cursor.place(events.Restored(15, "a", RestoreReason.CHECKPOINT, 30, changes)))
    assert bits_at(*cursor.point(15)) == 4
    change(25, 6)
    assert [bits_at(1, step) for step in (16, 24, 25)] == [4, 4, 6]
    assert bits_at(0, 30, 3) == 2 and bits_at(0, 12, 1) == 4 and bits_at(0, 5, 0) == 8
    assert timeline.settings_at(BranchPoint(1, 40), book) is book
