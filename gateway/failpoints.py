"""Named points at which a process can be stopped on purpose: just before and after a commit, a sending, an answer.

What must survive a kill is proven by killing there. Nothing is armed in production: a point is then one comparison. It is
armed by the environment (`LASTMILE_FAILPOINT=name` ends the process with SIGKILL, as a power cut would), which the log says,
or by a test or simulation in its own process, which gives its own way to stop.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

import structlog

log = structlog.get_logger()

VARIABLE = "LASTMILE_FAILPOINT"
_FORM = re.compile(r"(?P<name>\w+(?:\.\w+)?:\w+)(?:#(?P<times>[1-9]\d*))?")

_hook: Callable[[str], None] | None = None


def failpoint(name: str) -> None:
    """Be at the point of that name."""
    if _hook is not None:
        _hook(name)


def arm(hook: Callable[[str], None] | None) -> None:
    """Call `hook` at every point from now on; None disarms. What it raises, the point raises."""
    global _hook  # noqa: PLW0603 - one per process, like the kill that it stands for
    _hook = hook


def arm_from_environment() -> str | None:
    """Arm what `LASTMILE_FAILPOINT` names: "dispatch.claim:after_commit" dies there the first time, "…#3" the third.

    Returns it; None if the variable isn't set. Raises ValueError for what is no point's name: a process that was meant to be
    killed must not run on unharmed, and a stray variable must not go unnoticed.
    """
    wanted = os.environ.get(VARIABLE)
    if not wanted:
        return None
    form = _FORM.fullmatch(wanted)
    if form is None:
        raise ValueError(
            f"{VARIABLE} is {wanted!r}; give a point like dispatch.claim:after_commit or send:before#2, or unset it"
        )
    name, left = form["name"], int(form["times"] or 1)
    log.critical("failpoint_armed", point=name, time=left, meaning=f"this process kills itself there: unset {VARIABLE}")

    def kill(reached: str) -> None:
        nonlocal left
        left -= reached == name
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    arm(kill)
    return wanted
