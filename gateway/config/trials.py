"""Policies to look at history with: one of those built in or in the settings, or one that stands in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from gateway.config.errors import ConfigError, dotted
from gateway.config.group import Group
from gateway.config.loading import toml
from gateway.config.policies import make_policy
from gateway.config.routing import Routing
from gateway.config.sentences import problems_of
from gateway.config.settings import Settings
from gateway.offramp import Capabilities
from gateway.routing.policy import Policy

ENDING = ".toml"
"""By which a file's name is told from a policy's."""
NO_PART = ("hours", "decisions_days")
"""Keys of [routing] that don't say how a rail is chosen."""


class _File(Group):
    routing: Routing = Field(description="a [routing] table as lastmile.toml has it: policy, policies, rules")


def policy_named(name: str, *, settings: Settings, capabilities: Mapping[str, Capabilities]) -> Policy:
    """The policy of that name with the settings' rules. Raises `ConfigError` if there is none."""
    return _made(settings.routing.model_copy(update={"policy": name}), settings, capabilities)


def policy_in(path: Path, *, settings: Settings, capabilities: Mapping[str, Capabilities]) -> Policy:
    """What a file's [routing] table says, checked as if it stood in the settings. Raises `ConfigError`."""
    tree = toml(path)
    strange = [(name, f"is no part of a policy; {path} holds a [routing] table only") for name in tree if name != "routing"]
    if strange:
        raise ConfigError(strange)
    try:
        routing = _File.model_validate(tree).routing
    except ValidationError as error:
        raise ConfigError((dotted(place), sentence) for place, sentence in problems_of(error)) from None
    if given := [name for name in NO_PART if name in routing.model_fields_set]:
        raise ConfigError((f"routing.{name}", "says nothing of how a rail is chosen; leave it out") for name in given)
    return _made(routing, settings, capabilities)


def _made(routing: Routing, settings: Settings, capabilities: Mapping[str, Capabilities]) -> Policy:
    return make_policy(settings.model_copy(update={"routing": routing}), capabilities)
