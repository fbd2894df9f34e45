"""A model's file, held against what the registry says of it."""

from shared.contracts.errors import ArtifactRefused
from shared.contracts.records import ModelRecord
from shared.model.artifact import Model, decode
from shared.model.features import SPEC


def opened(data: bytes, record: ModelRecord) -> Model:
    """The model of this record.

    Raises:
        ArtifactRefused: the file is damaged, of a format or with features that this version does
            not know, or the model of something else.
    """
    model = decode(data)
    card = model.card
    if (card.symbol, card.timeframe, card.horizons) != (
        record.symbol,
        record.timeframe,
        record.horizons,
    ):
        raise ArtifactRefused(
            f"the artifact of model {record.version} is of {card.symbol} {card.timeframe}, "
            f"horizons {', '.join(map(str, card.horizons))}"
        )
    if card.spec != SPEC:
        raise ArtifactRefused(
            f"model {record.version} reads other features than this version computes: train it anew"
        )
    return model
