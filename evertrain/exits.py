"""What a program learns from the exit code."""

import sys
from enum import IntEnum

from shared.contracts.errors import AppError, LeaseTaken, TrainingLocked


class Exit(IntEnum):
    DONE = 0
    #: It was done, but not all of it worked; a monitor's warnings.
    PARTLY = 1
    #: Somebody has to mend something first; one line says what.
    MEND = 2
    #: Refused or skipped because of what others are doing.
    REFUSED = 3


def refused(group: BaseExceptionGroup[AppError]) -> Exit:
    """Say in one line what must be mended, and how the program should end."""
    reason: BaseException = group
    while isinstance(reason, BaseExceptionGroup):
        reason = reason.exceptions[0]
    print(f"evertrain: {reason}", file=sys.stderr)
    return Exit.REFUSED if isinstance(reason, TrainingLocked | LeaseTaken) else Exit.MEND
