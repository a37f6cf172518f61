"""What goes wrong beside payments and callbacks: machines, clocks, rails, floats and the nodes of the chain."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from gateway.simulation.rails import DAY_S, SimRail
from gateway.simulation.scheduler import START_S

if TYPE_CHECKING:
    from gateway.simulation.world import Machine, World


def strike(world: World) -> None:
    """What may go wrong in a round."""
    dice = world.dice
    if dice.happens("reorganisation"):
        world.scheduler.note(f"a fork of {world.chain.fork(time=START_S + int(world.now_s))} blocks")
    if dice.happens("rail_down"):
        rail = dice.pick(list(world.rails.values()))
        rail.down_until_s = world.now_s + dice.between(10, 1800)
    if dice.happens("float_runs_out"):
        rail = dice.pick(list(world.rails.values()))
        _withdraw(world, rail)
    machine = dice.pick(world.machines)
    jump = dice.first("clock_jumps", "clock_jumps_by_days")
    if jump is not None:
        seconds = dice.between(-1200, 1200) if jump == "clock_jumps" else dice.between(-3, 3) * DAY_S
        _jump(world, machine, timedelta(seconds=seconds))
        world.later(dice.between(30, 1800), f"the clock of {machine.name} is set right", lambda: _jump(world, machine, None))
    if dice.happens("chain_ahead"):
        world.chain.ahead_s = dice.between(0, 300)
        world.scheduler.note(f"the chain's clock is {world.chain.ahead_s} s ahead")
    if dice.happens("loop_rests"):
        world.rest(dice.pick(list(machine.loops)), dice.between(60, 1800))
    if dice.happens("machine_restarts") and machine.process.alive:
        world.scheduler.kill(machine.process)
    set_nodes(world)


def set_nodes(world: World) -> None:
    """How the nodes of the chain are until the next round: at most one behind, down or lying, or all but one down."""
    for node in world.nodes:
        node.down, node.lag, node.lies = False, 0, False
    odd = world.dice.pick(world.nodes)
    match world.dice.first("node_lags", "node_down", "node_lies", "nodes_down"):
        case "node_lags":
            odd.lag = world.dice.between(1, 12)
        case "node_down":
            odd.down = True
        case "node_lies":
            odd.lies = True
        case "nodes_down":
            for node in world.nodes:
                node.down = node is not odd


def _jump(world: World, machine: Machine, skew: timedelta | None) -> None:
    machine.process.skew = skew or timedelta(0)
    world.scheduler.note(f"the clock of {machine.name} is off by {machine.process.skew}")


def _withdraw(world: World, rail: SimRail) -> None:
    """The float at a rail isn't what we think: payments will find too little there."""
    asset = rail.assets[0]
    world.scheduler.note(f"the float at {rail.kind.name} ends")
    hidden = rail.balance[asset.code] * 95 // 100
    rail.balance[asset.code] -= hidden

    def back() -> None:
        rail.balance[asset.code] += hidden

    world.later(world.dice.between(60, 1200), f"the float at {rail.kind.name} is back", back)
