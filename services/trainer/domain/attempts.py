"""What becomes of a symbol's signal parameters when a training has searched for better ones."""

from dataclasses import replace
from typing import Final

from shared.contracts.errors import Fenced
from shared.contracts.symbols import Symbol
from shared.contracts.trading import Evolution, EvolvedParameters, SignalParameters

#: So many attempts are remembered: of weekly trainings, those of the last months.
MOST_KEPT: Final = 20


def noted(
    stored: EvolvedParameters | None,
    attempt: Evolution,
    *,
    symbol: Symbol,
    token: int,
    epoch: str,
) -> EvolvedParameters:
    """What is to be stored after the attempt. One of the same run is noted already, by a worker
    that did not live to finish its job: what it adopted stays, and nothing is adopted on top of it.

    Raises:
        Fenced: a holder of this lease, or of a later one, has noted another attempt.
    """
    if stored is None:
        stored = EvolvedParameters(
            symbol=symbol, parameters=SignalParameters(), token=0, epoch=epoch
        )
    if any(known.run_id == attempt.run_id for known in stored.history):
        return stored
    if stored.epoch == epoch and stored.token >= token:
        raise Fenced(f"{symbol}: a newer holder has noted an attempt for its parameters")
    return replace(
        stored,
        parameters=attempt.after if attempt.adopted else stored.parameters,
        token=token,
        epoch=epoch,
        history=(attempt, *stored.history)[:MOST_KEPT],
    )
