"""The life of a series under any order of events: slices, repetitions, ledger entries, time, crashes, redelivery.

Laws: exactly one open question per series (an outcome comes once everything is over and time has passed); a negative is
only said of a whole head that was read; what was accepted is never forgotten; revisions never go back.
"""

from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.contracts.findings import Outcome
from streams.contracts.series import LedgerKind
from tests.support.slices import a_slice, key
from tests.support.stream_worker import BLEED, CLEAN, Worker

HEAD = 28
ASSOCIATIONS = ("first", "second", "third")


class LifeOfASeries(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.worker = Worker()
        self.sent: dict[int, int] = {}
        """Number of each slice that was accepted → what is in it, HU."""
        self.brought: dict[str, set[int]] = {}
        """Open associations, with what each has brought: the listener counts what others brought before, too."""
        self.ended: dict[str, LedgerKind] = {}
        self.opened: dict[str, datetime] = {}
        self.last_new: dict[str, datetime] = {}
        """When an association brought its last slice that no other had brought."""
        self.lost = 0
        """Slices that the ledger counts and Kafka never gave."""

    # What can happen

    @rule(
        name=st.sampled_from(ASSOCIATIONS),
        numbers=st.lists(st.integers(1, HEAD), min_size=1, max_size=HEAD, unique=True),
        bleeding=st.booleans(),
    )
    def slices_arrive(self, name: str, numbers: list[int], bleeding: bool) -> None:
        self._slices_arrive(name, numbers, bleeding)

    @rule(name=st.sampled_from(ASSOCIATIONS))
    def the_rest_of_the_head_arrives(self, name: str) -> None:
        self._slices_arrive(name, [n for n in range(1, HEAD + 1) if n not in self.sent], bleeding=False)

    def _slices_arrive(self, name: str, numbers: list[int], bleeding: bool) -> None:
        if name in self.ended or not numbers:
            return
        if name not in self.brought:
            self.brought[name] = set()
            self.opened[name] = self.worker.now
            self.worker.account(LedgerKind.OPENED, association=key(name))
        for number in numbers:
            if number not in self.sent:
                self.last_new[name] = self.worker.now
            tissue = self.sent.setdefault(number, BLEED if bleeding else CLEAN)
            self.brought[name].add(number)
            self.worker.send(a_slice(number, association=key(name), accepted_at=self.worker.now), tissue)

    @precondition(lambda self: self.brought)
    @rule(data=st.data(), kind=st.sampled_from([LedgerKind.RELEASED, LedgerKind.ABORTED]), more=st.integers(0, 1))
    def an_association_ends(self, data: st.DataObject, kind: LedgerKind, more: int) -> None:
        """``more``: slices that it accepted and that are lost on the way."""
        name = data.draw(st.sampled_from(sorted(self.brought)))
        count = len(self.brought.pop(name))
        self.ended[name] = kind
        self.lost += more
        self.worker.account(kind, count + more, association=key(name))

    @rule(seconds=st.sampled_from([0.5, 1.5, 5.0, 11.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.worker.wait(seconds)

    @rule(seconds=st.integers(1, 60))
    def the_worker_is_behind(self, seconds: int) -> None:
        heard = self.worker.now - timedelta(seconds=seconds)
        self.worker.heard_until = lambda: heard
        self.worker.wait(seconds)
        self.worker.heard_until = lambda: self.worker.now

    @rule()
    def the_worker_dies(self) -> None:
        self.worker.restart()

    @precondition(lambda self: self.worker.log)
    @rule(data=st.data())
    def messages_are_delivered_again(self, data: st.DataObject) -> None:
        for offset in range(data.draw(st.integers(0, len(self.worker.log) - 1)), len(self.worker.log)):
            self.worker.deliver(offset)

    # What must hold

    @invariant()
    def nothing_that_was_accepted_is_forgotten(self) -> None:
        state = self.worker.store.load(key("series"))
        assert (
            {int(frame.InstanceNumber or 0) for frame in state.frames.values()} == set(self.sent)
            if state
            else not (self.sent)
        )

    @invariant()
    def a_negative_is_said_of_a_whole_head_only(self) -> None:
        if not self.worker.findings or self.worker.last.outcome is not Outcome.NEGATIVE:
            return
        finding = self.worker.last
        assert finding.coverage.slices_read == finding.coverage.slices_accepted
        assert finding.coverage.extent_mm >= 100
        assert finding.coverage.largest_gap_mm == 0

    @invariant()
    def revisions_never_go_back(self) -> None:
        revisions = [finding.revision for finding in self.worker.findings]
        assert revisions == sorted(revisions)

    def teardown(self) -> None:
        """The end of every story: all associations end, time passes, and there is one outcome that fits the truth."""
        if not self.sent and not self.ended:
            return
        for name in sorted(self.brought):
            self.ended[name] = LedgerKind.RELEASED
            self.worker.account(LedgerKind.RELEASED, len(self.brought[name]), association=key(name))
        self.worker.wait(70)
        assert self.worker.processor.open_series == 0
        last = self.worker.last
        assert last.closed_by is not None
        assert last.coverage.slices_accepted == len(self.sent)
        if BLEED in self.sent.values():
            assert last.outcome is Outcome.POSITIVE
        else:
            assert last.outcome is not Outcome.POSITIVE
            whole = set(self.sent) == set(range(1, HEAD + 1))
            assert (last.outcome is not Outcome.NEGATIVE) or not self.lost
            assert (last.outcome is not Outcome.NEGATIVE) or whole or len(self.sent) >= 21
            assert (last.outcome is not Outcome.NEGATIVE) or all(map(self._made_good, self._aborted()))

    def _aborted(self) -> list[str]:
        return [name for name, kind in self.ended.items() if kind is LedgerKind.ABORTED and name in self.last_new]

    def _made_good(self, name: str) -> bool:
        """Another association, begun after the last slice that this one brought, has ended well."""
        good = [self.opened[other] for other, kind in self.ended.items() if kind is LedgerKind.RELEASED]
        return any(at > self.last_new[name] for at in good)


TestLifeOfASeries = LifeOfASeries.TestCase
TestLifeOfASeries.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
