"""Named points at which a process can be stopped on purpose: just before and after a commit, a sending, an answer.

What must survive a kill is proven by killing there. Nothing is armed in production: a point is then one comparison. It is armed
by the environment (`LASTMILE_FAILPOINT=name` ends the process with SIGKILL, as a power cut would) or by a simulation, which
gives its own way to stop.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

VARIABLE = "LASTMILE_FAILPOINT"

_hook: Callable[[str], None] | None = None


def failpoint(name: str) -> None:
    """Be at the point of that name."""
    if _hook is not None:
        _hook(name)


def arm(hook: Callable[[str], None] | None) -> None:
    """Call `hook` at every point from now on; None disarms. What it raises, the point raises."""
    global _hook  # noqa: PLW0603 - one per process, like the kill that it stands for
    _hook = hook


def arm_from_environment() -> None:
    """Arm what `LASTMILE_FAILPOINT` names: "dispatch.claim:after_commit" the first time, "…#3" the third."""
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return
    name, _, times = wanted.partition("#")
    left = int(times or 1)

    def kill(reached: str) -> None:
        nonlocal left
        left -= reached == name
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    arm(kill)
