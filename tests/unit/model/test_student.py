import pytest

from shared.model.student import two_sided


@pytest.mark.parametrize(
    ("t", "freedom", "wanted"),
    [
        (0.0, 7, 1.0),
        (12.706205, 1, 0.05),
        (4.302653, 2, 0.05),
        (2.570582, 5, 0.05),
        (3.169273, 10, 0.01),
        (-3.169273, 10, 0.01),
        (3.646, 30, 0.001),
        (1.959966, 100_000, 0.05),
    ],
)
def test_it_is_what_the_tables_say(t: float, freedom: int, wanted: float) -> None:
    assert two_sided(t, freedom) == pytest.approx(wanted, rel=2e-4)


def test_what_is_out_of_reach_is_never_less_than_nothing() -> None:
    assert 0.0 <= two_sided(1e9, 200) < 1e-12
