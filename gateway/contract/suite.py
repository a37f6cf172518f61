"""The one contract that every adapter keeps, checked over real HTTP against its rail's simulator.

A subclass of `OfframpContract` gives what `Ground` asks for. Scenarios that a rail cannot have stand in `absent`, each with
the reason.
"""

from __future__ import annotations

from gateway.contract.callbacks import Callbacks
from gateway.contract.course import Course
from gateway.contract.extras import Extras
from gateway.contract.facts import Facts
from gateway.contract.faults import Faults
from gateway.contract.pays import Pays
from gateway.contract.wire import Wire


class OfframpContract(Pays, Facts, Faults, Course, Wire, Callbacks, Extras):
    """Subclass it once per adapter."""
