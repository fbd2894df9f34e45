"""What a program learns from the exit code."""

from enum import IntEnum

from shared.contracts.errors import AppError, TrainingLocked


class Exit(IntEnum):
    DONE = 0
    #: It was done, but not all of it worked; a monitor's warnings.
    PARTLY = 1
    #: Somebody has to mend something first; one line says what.
    MEND = 2
    #: Refused or skipped because of what others are doing.
    REFUSED = 3


def exit_code(reason: AppError) -> Exit:
    return Exit.REFUSED if isinstance(reason, TrainingLocked) else Exit.MEND
