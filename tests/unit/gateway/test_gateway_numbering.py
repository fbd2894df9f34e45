"""Gateways that come and go at any time, while the stream grows and forgets: as one machine."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.gateway.domain import numbering
from services.gateway.domain.channels import MODELS, SIGNALS, TRAINING, Channel, Topic
from services.gateway.domain.numbering import Held, Mark, Numbers, beginning
from shared.contracts import codec
from shared.contracts.symbols import Symbol

CHANNELS = ("training", "models", "signals")


def mark(after: int, *, epoch: str = "e", stream: str = "s") -> Mark:
    return Mark(epoch=epoch, stream=stream, after=after, counts={"training": after})


def holds(first: int, last: int, stream: str = "s") -> Held:
    return Held(stream=stream, first=first, last=last)


def test_where_nothing_was_marked_an_epoch_begins() -> None:
    assert beginning([], holds(1, 0)) is None


def test_the_newest_mark_that_lies_deep_enough_is_taken() -> None:
    marks = [mark(0), mark(4096), mark(8192), mark(12_288)]
    assert beginning(marks, holds(1, 8192 + numbering.DEPTH)) == marks[2]
    assert beginning(marks, holds(1, 12_300)) == marks[0]


def test_a_mark_whose_events_are_gone_is_not_taken() -> None:
    marks = [mark(0), mark(4096), mark(8192)]
    assert beginning(marks, holds(4097, 9000)) == marks[1]
    assert beginning(marks, holds(8193, 8192)) == marks[2]
    assert beginning(marks, holds(8194, 9000)) is None


def test_a_stream_that_was_made_anew_or_went_back_begins_an_epoch() -> None:
    marks = [mark(0), mark(4096)]
    assert beginning(marks, holds(1, 9000, stream="another")) is None
    assert beginning(marks, holds(1, 4000)) is None


def test_marks_of_an_earlier_epoch_count_for_nothing() -> None:
    marks = [mark(0, epoch="old"), mark(4096, epoch="old"), mark(5000)]
    assert beginning(marks, holds(1, 90_000)) == marks[2]


def test_gateways_make_marks_at_the_same_places() -> None:
    numbers = Numbers("e", {"training": 7})
    assert numbers.mark("s", numbering.EVERY + 1) is None
    due = numbers.mark("s", numbering.EVERY)
    assert due == Mark(epoch="e", stream="s", after=numbering.EVERY, counts={"training": 7})


def test_a_mark_with_the_numbers_of_any_channel_can_be_kept() -> None:
    numbers = Numbers("e")
    for channel in (TRAINING, MODELS, SIGNALS, Channel(Topic.SIGNALS, Symbol("BTC/USDT"))):
        numbers.next(str(channel))
    due = numbers.mark("s", numbering.EVERY)
    assert due is not None
    assert codec.decode(codec.encode(due), Mark) == due


@dataclass
class _Gateway:
    """One that reads on from `seq`."""

    numbers: Numbers
    seq: int


class Gateways(RuleBasedStateMachine):
    """Marks every 4 events instead of every 4096; a gateway ends by being forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []
        self.first = 1
        self.marks: list[Mark] = []
        self.epochs = 0
        self.gateways: list[_Gateway] = []
        self.given: dict[tuple[str, str, int], int] = {}

    @rule(channels=st.lists(st.sampled_from(CHANNELS), max_size=12))
    def events_happen(self, channels: list[str]) -> None:
        self.events += channels

    @rule(share=st.floats(0, 1))
    def the_stream_forgets(self, share: float) -> None:
        left = len(self.events) + 1 - self.first
        self.first += int(left * share)

    @rule()
    def a_gateway_starts(self) -> None:
        held = holds(self.first, len(self.events))
        begun = beginning(self.marks, held)
        if begun is None:
            self.epochs += 1
            begun = Mark(epoch=str(self.epochs), stream="s", after=held.last, counts={})
            self.marks.append(begun)
        self.gateways.append(_Gateway(Numbers(begun.epoch, begun.counts), begun.after))

    @precondition(lambda self: self.gateways)
    @rule(which=st.integers(0, 9), steps=st.integers(1, 12))
    def a_gateway_reads(self, which: int, steps: int) -> None:
        gateway = self.gateways[which % len(self.gateways)]
        for seq in range(gateway.seq + 1, min(gateway.seq + steps, len(self.events)) + 1):
            if seq < self.first:
                self.gateways.remove(gateway)  # it ends: what it has missed is gone
                return
            channel = self.events[seq - 1]
            number = gateway.numbers.next(channel)
            given = self.given.setdefault((gateway.numbers.epoch, channel, number), seq)
            assert given == seq, "one number for two events"
            gateway.seq = seq
            self._leave_a_mark(gateway)

    @precondition(lambda self: self.gateways)
    @rule(which=st.integers(0, 9))
    def a_gateway_is_killed(self, which: int) -> None:
        del self.gateways[which % len(self.gateways)]

    @invariant()
    def no_event_is_without_a_number_between_two_that_have_one(self) -> None:
        numbered: dict[tuple[str, str], list[int]] = {}
        for epoch, channel, number in self.given:
            numbered.setdefault((epoch, channel), []).append(number)
        for numbers in numbered.values():
            assert sorted(numbers) == list(range(1, max(numbers) + 1))

    @invariant()
    def the_numbers_of_a_channel_are_its_events_in_their_order(self) -> None:
        begun = {mark.epoch: mark.after for mark in reversed(self.marks) if not mark.counts}
        for (epoch, channel, number), seq in self.given.items():
            before = Counter(self.events[begun[epoch] : seq])[channel]
            assert number == before

    def _leave_a_mark(self, gateway: _Gateway) -> None:
        due = gateway.numbers.mark("s", gateway.seq * (numbering.EVERY // 4))
        newest = self.marks[-1]
        if due is not None and newest.epoch == due.epoch and newest.after < gateway.seq:
            kept = Mark(epoch=due.epoch, stream="s", after=gateway.seq, counts=due.counts)
            self.marks.append(kept)


def test_gateways_that_come_and_go_give_each_event_the_same_number() -> None:
    run_state_machine_as_test(Gateways)
