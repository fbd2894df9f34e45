"""The ways in which a job can end without a model. Each is that job's failure and no one else's."""

from shared.contracts.errors import TrainingFailed


class Crashed(TrainingFailed):
    """The child died, or ended without an answer, or said something that is no answer."""

    code = "crashed"


class DeadlineExceeded(TrainingFailed):
    """The child was still at work when its time was up."""

    code = "deadline"


class OutOfMemory(TrainingFailed):
    """The child reached its memory cap."""

    code = "out_of_memory"


class Unsound(TrainingFailed):
    """The model gives numbers that are not finite, or not those of the booster it was made of."""

    code = "unsound"
