"""Look at one artifact, and end: `python -m services.trainer.adapters.inspection RECORD < FILE`."""

import sys

from services.trainer.adapters.inspector import REFUSED, SOUND
from shared.contracts import codec
from shared.contracts.errors import ArtifactRefused
from shared.contracts.records import ModelRecord
from shared.model.opening import opened


def main(record: str, artifact: bytes) -> int:
    try:
        opened(artifact, codec.decode(record.encode(), ModelRecord))
    except ArtifactRefused as exc:
        sys.stdout.write(str(exc))
        return REFUSED
    return SOUND


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.stdin.buffer.read()))
