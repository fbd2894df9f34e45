"""What the Object Store knows of an artifact."""

from datetime import datetime
from typing import NamedTuple


class Artifact(NamedTuple):
    """`sequence` and `nuid` are those of this storing: the same bytes may be stored again."""

    name: str
    size: int
    stored_at: datetime
    sequence: int
    nuid: str
