"""Whether everything that may be asked for is known here."""

from typing import Final

from shared.contracts.errors import Unavailable

#: What must be known first, as a person would miss it.
SYMBOLS: Final = "the list of symbols (is the scheduler running?)"
PREDICTIONS: Final = "the predictions"
MODELS: Final = "the models"
SIGNALS: Final = "the open signals"
EVENTS: Final = "the events"
STATUS: Final = "a first look at the system"


class Readiness:
    """Made with what must be known first."""

    def __init__(self, *needed: str) -> None:
        self._missing = dict.fromkeys(needed)

    def known(self, what: str) -> None:
        self._missing.pop(what, None)

    @property
    def complete(self) -> bool:
        return not self._missing

    def check(self, *needed: str) -> None:
        """Whether these are known, or everything where none is named.

        Raises:
            Unavailable: not yet; it says what is missing.
        """
        missing = [what for what in self._missing if what in needed or not needed]
        if missing:
            raise Unavailable("not ready yet: " + "; ".join(missing))
