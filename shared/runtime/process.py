"""What a process owes its parent."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

#: Set by a supervisor for the processes it starts: its own process id.
PARENT_VARIABLE = "EVERTRAIN_PARENT"


def die_with_parent(signum: signal.Signals = signal.SIGTERM) -> None:
    """Ask the kernel for `signum` when the parent dies, however it dies. Linux only; elsewhere a
    supervisor that is killed outright leaves its children behind.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signum)


def in_own_group() -> None:
    """For `preexec_fn`: leave the terminal's process group, and die with the parent.

    Not `start_new_session`: a session of its own would be a scheduling group of its own, in which
    low priority means nothing to the others.
    """
    os.setpgid(0, 0)
    die_with_parent()


def die_with_supervisor() -> None:
    """`die_with_parent` where a supervisor started this process; ends it if that is gone."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return
    die_with_parent()
    if os.getppid() != int(parent):
        sys.exit("the supervisor that started this process is gone")
