from dataclasses import replace
from datetime import timedelta

from services.trainer.domain.descent import after
from tests.support.coordination import BEGIN, model_record, symbols

(ONE,) = symbols(1)


def test_an_update_of_an_update_comes_from_the_same_full_model() -> None:
    full = replace(model_record(ONE), native_sha256="base")
    first = after(full)
    update = replace(
        full,
        version="v2",
        created_at=BEGIN + timedelta(hours=6),
        base_version=first.base_version,
        base_at=first.base_at,
        updates=first.updates,
    )
    second = after(update)
    assert (second.base_version, second.base_at) == ("v1", BEGIN)
    assert (second.native_sha256, second.updates) == ("base", 2)
