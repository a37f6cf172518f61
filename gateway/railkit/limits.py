"""Refuse what a rail can't pay, before a byte is sent."""

from __future__ import annotations

from gateway.offramp import Capabilities, Corridor, Instruction, OutsideLimits


def corridor_of(capabilities: Capabilities, instruction: Instruction) -> Corridor:
    """The corridor that an instruction goes through. Raises `OutsideLimits`; the sentence names no recipient."""
    deliver, to = instruction.deliver, instruction.to
    place = (to.country, to.method, deliver.asset)
    fitting = [each for each in capabilities.corridors if (each.country, each.method, each.asset) == place]
    if not fitting:
        raise OutsideLimits(f"{capabilities.name} doesn't pay {deliver.asset.symbol} by {to.method} in {to.country}")
    corridor = fitting[0]
    if not corridor.least <= deliver <= corridor.most or deliver.floor_to(corridor.step) != deliver:
        sentence = f"from {corridor.least} to {corridor.most} in steps of {corridor.step}, not {deliver}"
        raise OutsideLimits(f"{capabilities.name} pays {sentence}")
    if corridor.institutions and to.institution not in {each.code for each in corridor.institutions}:
        raise OutsideLimits(f"{capabilities.name} doesn't reach this bank or wallet in {to.country}")
    return corridor
