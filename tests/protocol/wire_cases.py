"""Strategies for the items that window, record and trainer exchange."""

from hypothesis import strategies as st

from qatviz.metric import METRICS, MODES
from qatviz.protocol import commands as c
from qatviz.protocol import events as e
from qatviz.protocol.batch_division import BatchDivision
from qatviz.protocol.branches import UNPLACED, BranchPoint
from qatviz.protocol.reasons import NonFiniteValue, PauseReason, RecordPart, RestoreReason, SaveKind, SaveReason

TEXTS = st.text(max_size=8)
STEPS = st.integers(0, 10**9)
NUMBERS = st.floats(allow_nan=False)
DURATIONS = st.floats(0, 1e9)
VALUES = st.one_of(st.booleans(), st.integers(), NUMBERS, TEXTS, st.none())
CHANGES = st.lists(st.builds(e.Change, TEXTS, VALUES, VALUES), max_size=3).map(tuple)
ASSIGNMENTS = st.lists(st.tuples(TEXTS, VALUES), max_size=3).map(tuple)

SETTINGS_COMMANDS = st.one_of(st.builds(c.ChangeSettings, ASSIGNMENTS), st.builds(c.ApplyPreset, TEXTS))
CORRECTIONS = st.one_of(
    st.builds(c.ReestimateBatchNorm, st.integers(1, 999)),
    st.builds(c.EqualizeLayers, st.lists(TEXTS, max_size=3).map(tuple)),
    st.builds(c.CorrectBias, st.integers(1, 999)),
    st.builds(c.AdaRound, st.integers(1, 999), st.integers(1, 999)),
)
COMMANDS = st.one_of(
    SETTINGS_COMMANDS,
    CORRECTIONS,
    st.builds(c.ChangeSettings, ASSIGNMENTS, st.booleans()),
    *(
        st.builds(kind)
        for kind in (
            *(c.Pause, c.Resume, c.Evaluate, c.TakeSnapshot, c.Undo, c.Redo, c.ContinueWithout, c.Stop),
            c.CancelCorrection,
        )
    ),
    st.builds(c.SingleStep, st.integers()),
    st.builds(c.SetSteps, st.one_of(st.none(), STEPS)),
    st.builds(c.WatchDrift, st.booleans(), st.one_of(st.none(), STEPS), st.integers(1, 999), TEXTS, STEPS),
    *(st.builds(kind, TEXTS) for kind in (c.InspectTensor, c.SaveCheckpoint, c.RestoreCheckpoint)),
)
DIVISIONS = st.builds(BatchDivision, st.integers(1, 99), st.integers(0, 99), st.integers(1, 99), st.booleans())
SCHEDULES = st.lists(
    st.builds(c.ScheduledCommand, STEPS, st.one_of(SETTINGS_COMMANDS, CORRECTIONS), TEXTS), max_size=3
).map(tuple)
SAVE_REASONS = st.builds(SaveReason, st.sampled_from(SaveKind), st.one_of(st.none(), COMMANDS), TEXTS)
POINTS = st.builds(BranchPoint, st.integers(0, 99), STEPS, st.one_of(st.none(), st.integers(0, 99)))
SCORES = st.fixed_dictionaries(dict.fromkeys(MODES, NUMBERS))
#: The metric by mode and output; empty where there is one output.
OUTPUTS = st.integers(0, 3).flatmap(
    lambda count: st.just(()) if count < 2 else st.tuples(*[st.tuples(*[NUMBERS] * count)] * len(MODES))
)

FURTHER = st.lists(
    st.builds(e.FurtherScores, TEXTS, st.sampled_from(sorted(METRICS)), SCORES, OUTPUTS), max_size=2
).map(tuple)
KINDS = {
    e.Started: st.builds(e.Started, STEPS, DURATIONS, TEXTS),
    e.CommandApplied: st.builds(e.CommandApplied, STEPS, TEXTS, COMMANDS, CHANGES, TEXTS),
    e.Corrected: st.builds(e.Corrected, STEPS, TEXTS, st.lists(TEXTS, max_size=3).map(tuple)),
    e.CommandRejected: st.builds(e.CommandRejected, STEPS, TEXTS, COMMANDS, TEXTS),
    e.SettingsActivated: st.builds(e.SettingsActivated, STEPS, st.lists(TEXTS, max_size=3).map(tuple)),
    e.Paused: st.builds(e.Paused, STEPS, st.sampled_from(PauseReason)),
    e.Resumed: st.builds(e.Resumed, STEPS),
    e.Evaluated: st.builds(
        e.Evaluated,
        STEPS,
        SCORES,
        STEPS,
        DURATIONS,
        st.sampled_from(sorted(METRICS)),
        OUTPUTS,
        FURTHER,
        st.one_of(st.none(), NUMBERS),
        TEXTS,
        st.dictionaries(TEXTS, NUMBERS, max_size=2).map(lambda losses: tuple(losses.items())),
    ),
    e.CheckpointSaved: st.builds(e.CheckpointSaved, STEPS, TEXTS, SAVE_REASONS),
    e.Restored: st.builds(e.Restored, STEPS, TEXTS, st.sampled_from(RestoreReason), STEPS, CHANGES),
    e.Planned: st.builds(
        e.Planned, STEPS, st.one_of(st.none(), STEPS), st.one_of(st.none(), SCHEDULES), st.one_of(st.none(), DIVISIONS)
    ),
    e.StoppedEarly: st.builds(e.StoppedEarly, STEPS, STEPS, STEPS),
    e.WorkersLost: st.builds(e.WorkersLost, STEPS, st.lists(st.text()).map(tuple), st.text()),
    e.WorkersBack: st.builds(e.WorkersBack, STEPS, st.lists(st.text()).map(tuple)),
    e.NonFinite: st.builds(e.NonFinite, STEPS, st.sampled_from(NonFiniteValue), STEPS),
    e.RecordFailed: st.builds(e.RecordFailed, STEPS, TEXTS, st.sampled_from(RecordPart)),
    e.Finished: st.builds(e.Finished, STEPS),
    e.Stopped: st.builds(e.Stopped, STEPS),
    e.Failed: st.builds(e.Failed, STEPS, TEXTS, TEXTS, st.booleans()),
}
UNPLACED_EVENTS = st.one_of(*KINDS.values())
EVENTS = st.one_of(
    UNPLACED_EVENTS,
    st.builds(
        lambda event, branch, position, parent: event.placed(branch, position, parent),
        UNPLACED_EVENTS,
        st.integers(UNPLACED, 99),
        st.integers(0, 99),
        st.one_of(st.none(), POINTS),
    ),
)
