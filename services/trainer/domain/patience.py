"""When boosting has gone on for long enough."""

from dataclasses import dataclass
from typing import Final

#: So many rounds in a row that are no better than one before them, and it ends.
PATIENCE: Final = 20


@dataclass(slots=True)
class Patience:
    """What is known of the rounds so far, of up to `most`: `best` is the one after which the loss
    on the validation rows was least, the first being 1.
    """

    most: int
    looked: int = 0
    best: int = 0
    least: float = float("inf")

    @property
    def over(self) -> bool:
        return self.looked >= min(self.best + PATIENCE, self.most)

    def look(self, loss: float) -> None:
        """At the loss after the next round."""
        self.looked += 1
        if loss < self.least:
            self.best, self.least = self.looked, loss
