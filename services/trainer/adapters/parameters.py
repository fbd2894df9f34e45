"""The signal parameters of each symbol, in KV `evertrain_parameters`."""

from services.trainer.adapters.registry import FencedBucket
from services.trainer.domain.attempts import noted
from shared.contracts import codec
from shared.contracts.errors import Conflict, Unavailable
from shared.contracts.symbols import Symbol
from shared.contracts.trading import Evolution, EvolvedParameters, SignalParameters

#: As for the models: each conflict is another attempt for the same symbol, which a lease allows
#: only a zombie.
_TRIES = 5


class FencedParameters:
    """Within an epoch, tokens only grow: see `attempts.noted`."""

    def __init__(self, bucket: FencedBucket) -> None:
        self._bucket = bucket

    async def in_force(self, symbol: Symbol) -> SignalParameters:
        entry = await self._bucket.get(symbol.token)
        if entry is None:
            return SignalParameters()
        return codec.decode(entry.value, EvolvedParameters).parameters

    async def note(
        self, symbol: Symbol, attempt: Evolution, *, token: int, epoch: str
    ) -> EvolvedParameters:
        """Remember the attempt, and put in force what it adopted; what is stored now.

        Raises:
            Fenced: a newer holder has noted an attempt.
            Unavailable: NATS did not answer, and the attempt is not seen there either.
        """
        for _ in range(_TRIES):
            entry = await self._bucket.get(symbol.token)
            stored = codec.decode(entry.value, EvolvedParameters) if entry else None
            revised = noted(stored, attempt, symbol=symbol, token=token, epoch=epoch)
            if revised == stored:
                return revised
            try:
                if entry is None:
                    await self._bucket.create(symbol.token, codec.encode(revised))
                else:
                    await self._bucket.update(symbol.token, codec.encode(revised), entry.revision)
            except (Conflict, Unavailable):
                continue  # what stands there now says whether it was written
            return revised
        raise Unavailable(f"the parameters of {symbol} were not acknowledged")
