from services.scheduler.adapters.parameters import StoredParameters
from services.trainer.adapters.parameters import FencedParameters
from shared.bus.connection import Connection
from shared.bus.kv import Bucket
from shared.contracts import subjects
from shared.contracts.symbols import Symbol
from shared.contracts.trading import SignalParameters
from tests.support.attempts import BETTER, attempt


async def test_what_trainers_note_is_what_the_scheduler_shows(connection: Connection) -> None:
    parameters = FencedParameters(Bucket(connection, subjects.PARAMETERS))
    symbols = [Symbol("BTC/USDT"), Symbol("AAPL")]
    for token, symbol in enumerate(symbols, 1):
        await parameters.note(symbol, attempt("full-1", adopted=False), token=token, epoch="one")
    await parameters.note(symbols[0], attempt("full-2"), token=3, epoch="one")
    shown = await StoredParameters(connection).evolved()
    assert [(each.symbol, each.parameters) for each in shown] == [
        ("AAPL", SignalParameters()),
        ("BTC/USDT", BETTER),
    ]
    assert [known.run_id for known in shown[1].history] == ["full-2", "full-1"]
    assert await parameters.in_force(symbols[0]) == BETTER
