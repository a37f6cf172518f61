"""What every rail's simulator shares: scripted faults, the money it moves, the requests it saw, and its `/_sim` endpoints.

A simulator speaks its provider's protocol and leaves the rest to a `Desk` (state) and `rail_app` (server). It is product
code, used by the demo and the tests, and moves no real money.
"""

from gateway.railsim.course import Course, Delivery
from gateway.railsim.desk import Codes, Desk, DuplicatePayment, Movement, Options, Payment, State
from gateway.railsim.scenario import Scenario, Script
from gateway.railsim.server import Cut, RailApp, post_later, rail_app, start

__all__ = [
    "Codes",
    "Course",
    "Cut",
    "Delivery",
    "Desk",
    "DuplicatePayment",
    "Movement",
    "Options",
    "Payment",
    "RailApp",
    "Scenario",
    "Script",
    "State",
    "post_later",
    "rail_app",
    "start",
]
