"""Which events led to where the run is, after it was set back and forward."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qatviz.protocol import events
from qatviz.protocol.events import Change
from qatviz.protocol.timeline import Timeline


class Staged:
    """Tells what a run tells, and remembers what is true: the events of the present branch."""

    def __init__(self):
        self.timeline, self.all, self.branch = Timeline(), [], []
        self.step = self.sequence = 0
        self.undo, self.redo, self.named = [], [], {}

    def put(self, event):
        self.timeline.add(event)
        self.all.append(event)
        self.branch = [*self.branch, event]

    def train(self, steps):
        self.step += steps
        self.put(events.Evaluated(self.step, {}, 10, 0.1))

    def keep(self, prefix):
        return f"{prefix}-{self.step:08d}-{self.sequence}", self.step, self.branch

    def change(self):
        self.sequence += 1
        kept = self.keep("before")
        self.undo.append(kept)
        self.redo.clear()
        self.put(events.CommandApplied(self.step, self.sequence, "x=1", (Change("x", 0, 1),), kept[0]))

    def save(self, name):
        self.sequence += 1
        self.named[name] = (name, self.step, self.branch)
        self.put(events.CommandApplied(self.step, self.sequence, "SaveCheckpoint", (), name))

    def jump(self, kept, command):
        """As the trainer does: the answer, then the event, both at the step of the state that was restored."""
        left, branch = self.step, kept[2]
        self.step = kept[1]
        self.put(events.CommandApplied(self.step, self.sequence, command, (Change("x", 1, 0),)))
        self.timeline.add(events.Restored(self.step, kept[0], command, left, (Change("x", 1, 0),)))
        self.all.append(events.Restored(self.step, kept[0], command, left, (Change("x", 1, 0),)))
        self.branch = [*branch, self.all[-1]]

    def go_back(self):
        if self.undo:
            self.sequence += 1
            self.redo.append(self.keep("undone"))
            self.jump(self.undo.pop(), "undo")

    def go_forward(self):
        if self.redo:
            self.sequence += 1
            self.undo.append(self.keep("redone"))
            self.jump(self.redo.pop(), "redo")

    def restore(self, name):
        if name in self.named:
            self.sequence += 1
            self.undo.append(self.keep("before"))
            self.redo.clear()
            self.jump(self.named[name], "restored")

    def survivors(self):
        return [event for event, survives in zip(self.all, self.timeline.surviving()) if survives]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("train"), st.integers(1, 3)),
        st.tuples(st.just("change")),
        st.tuples(st.just("go_back")),
        st.tuples(st.just("go_forward")),
        st.tuples(st.just("save"), st.sampled_from("ab")),
        st.tuples(st.just("restore"), st.sampled_from("ab")),
    ),
    max_size=30,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a loaded machine
@given(ACTIONS)
def test_survivors_are_the_present_branch_whatever_was_undone_and_redone(actions):
    staged = Staged()
    for name, *arguments in actions:
        getattr(staged, name)(*arguments)
    assert list(map(id, staged.survivors())) == list(map(id, staged.branch))


def test_a_change_that_was_gone_back_before_does_not_survive_though_it_is_of_the_same_step():
    staged = Staged()
    staged.train(10)
    staged.change()
    staged.go_back()
    assert [event.kind for event in staged.survivors()] == ["Evaluated", "Restored"]


def test_redoing_brings_back_what_was_left():
    staged = Staged()
    staged.change()
    staged.train(5)
    staged.go_back()
    staged.go_forward()
    assert [event.kind for event in staged.survivors()] == ["CommandApplied", "Evaluated", "Restored"]


def test_without_a_name_that_is_known_it_goes_by_steps():
    timeline = Timeline()
    for event in (
        events.Resumed(3),
        events.Resumed(8),
        events.CheckpointSaved(8, "auto-00000005", "automatic"),
        events.Restored(5, "good", "the loss is not finite", 8),
        events.NonFinite(8, "the loss", 5),
    ):
        timeline.add(event)
    assert timeline.surviving() == [True, False, False, True, True]


def test_an_evaluation_that_is_told_late_belongs_to_the_state_it_measured():
    timeline = Timeline()
    for event in (
        events.Resumed(3),
        events.CommandApplied(8, 1, "x=1", (Change("x", 0, 1),), "before-00000008-1"),
        events.Evaluated(6, {}, 10, 0.1),
        events.Evaluated(9, {}, 10, 0.1),
        events.Restored(8, "before-00000008-1", "undo", 12),
    ):
        timeline.add(event)
    assert timeline.surviving() == [True, False, True, False, True]


def test_an_evaluation_after_the_state_that_was_restored_does_not_survive():
    timeline = Timeline()
    for event in (
        events.Evaluated(3, {}, 10, 0.1),
        events.Evaluated(7, {}, 10, 0.1),
        events.Restored(5, "good", "x", 9),
    ):
        timeline.add(event)
    assert timeline.surviving() == [True, False, True]


def test_an_automatic_checkpoint_of_another_branch_leads_to_that_branch():
    timeline = Timeline()
    for event in (
        events.Resumed(3),
        events.Resumed(8),
        events.CheckpointSaved(8, "auto", "automatic"),
        events.Restored(3, "good", "x", 9),
        events.Resumed(4),
        events.Restored(8, "auto", "restored", 5),
    ):
        timeline.add(event)
    assert timeline.surviving() == [True, True, True, False, False, True]


def test_what_was_recorded_is_taken_as_it_is_known():
    timeline = Timeline()
    kept = events.CommandApplied(4, 1, "x=1", (Change("x", 0, 1),), "before-00000004-1")
    timeline.recall(events.Resumed(2), True)
    timeline.recall(kept, True)
    timeline.recall(events.Resumed(9), False)
    assert timeline.surviving() == [True, True, False]
    timeline.add(events.Restored(4, "before-00000004-1", "restored", 4))
    assert timeline.surviving() == [True, False, False, True]
