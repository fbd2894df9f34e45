"""Whether everything that may be asked for is known here."""


class Readiness:
    """Made with what must be known first, each described as a person would miss it."""

    def __init__(self, *needed: str) -> None:
        self._missing = dict.fromkeys(needed)

    def known(self, what: str) -> None:
        self._missing.pop(what, None)

    def missing(self) -> list[str]:
        return list(self._missing)

    @property
    def complete(self) -> bool:
        return not self._missing
