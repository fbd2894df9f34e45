from datetime import UTC, datetime, timedelta

from services.scheduler.domain.patience import Patience

NOW = datetime(2026, 11, 20, tzinfo=UTC)
FIRST, MOST = timedelta(seconds=30), timedelta(minutes=15)


def test_what_was_never_tried_is_due() -> None:
    assert Patience().over(NOW)


def test_each_try_in_vain_doubles_the_wait_up_to_the_most() -> None:
    patience, waits = Patience(), []
    for _ in range(8):
        patience = patience.after_another(NOW, first=FIRST, most=MOST)
        assert patience.again_at is not None
        waits.append((patience.again_at - NOW).total_seconds())
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]


def test_it_is_due_again_at_the_end_of_the_wait_and_not_before() -> None:
    patience = Patience().after_another(NOW, first=FIRST, most=MOST)
    assert not patience.over(NOW + timedelta(seconds=29))
    assert patience.over(NOW + FIRST)


def test_a_thousand_tries_wait_no_longer_than_the_most() -> None:
    assert Patience(1000).after_another(NOW, first=FIRST, most=MOST).again_at == NOW + MOST
