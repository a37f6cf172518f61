"""Clients and agents of the network: made, listed, disabled, and proved to be who they say."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.agents.errors import BadName, NoAccess, NotYours
from gateway.ids import new_id
from gateway.ledger.post import Entry, Transfer, post, register_assets
from gateway.money import Asset, Money
from gateway.operators.accounts import NAME
from gateway.operators.actions import record_action
from gateway.partners.secrets import hash_secret, new_client_secret, secret_matches

FUNDING = "network:funding"
"""What clients have handed to the network, as the books see it: below zero by as much as their accounts hold together."""
TEXT_MOST = 100


class NewClient(NamedTuple):
    """A new client. The key is shown this once."""

    client_id: str
    api_key: str


class NewAgent(NamedTuple):
    """A new agent. The key is shown this once."""

    agent_id: str
    api_key: str


class AgentView(NamedTuple):
    """An agent, as lists show one, with his float in one currency; without one `asset` is None."""

    id: str
    name: str
    shop: str
    disabled_at: datetime | None
    asset: str | None
    owed: Money | None
    reserved: Money | None
    most: Money | None


_ADD_CLIENT = text("""
INSERT INTO network_clients (id, name, key_hash, created_at) VALUES (:id, :name, :key_hash, :now)
ON CONFLICT (name) DO NOTHING RETURNING id
""")
_ADD_ACCOUNT = text("""
INSERT INTO network_accounts (id, client_id, asset, free_units, held_units)
SELECT :id, c.id, :asset, 0, 0 FROM network_clients AS c WHERE c.name = :client
ON CONFLICT (client_id, asset) DO NOTHING
""")
_ACCOUNT = text("""
SELECT a.id FROM network_accounts AS a JOIN network_clients AS c ON c.id = a.client_id
WHERE c.name = :client AND a.asset = :asset
""")
_FUND = text("UPDATE network_accounts SET free_units = free_units + :units WHERE id = :id")
_ADD_AGENT = text("""
INSERT INTO agents (id, name, shop, password_hash, key_hash, created_at)
VALUES (:id, :name, :shop, :password_hash, :key_hash, :now)
ON CONFLICT (name) DO NOTHING RETURNING id
""")
_SET_MOST = text("""
INSERT INTO agent_floats (agent_id, asset, owed_units, reserved_units, most_units)
SELECT id, :asset, 0, 0, :most FROM agents WHERE name = :name
ON CONFLICT (agent_id, asset) DO UPDATE SET most_units = excluded.most_units
""")
_SETTLE = text("""
UPDATE agent_floats AS f SET owed_units = owed_units - :units
FROM agents AS a WHERE a.id = f.agent_id AND a.name = :name AND f.asset = :asset
RETURNING a.id
""")
_DISABLE = text("UPDATE agents SET disabled_at = :now WHERE name = :name AND disabled_at IS NULL RETURNING id")
_END_SESSIONS = text("DELETE FROM agent_sessions WHERE agent_id = :agent")
_LIST = text("""
SELECT a.id, a.name, a.shop, a.disabled_at, f.asset, s.decimals, f.owed_units, f.reserved_units, f.most_units
FROM agents AS a LEFT JOIN agent_floats AS f ON f.agent_id = a.id LEFT JOIN assets AS s ON s.code = f.asset
WHERE :agent IN ('', a.id) ORDER BY a.name, f.asset
""")
_CLIENT_KEY = text("SELECT key_hash FROM network_clients WHERE id = :id AND disabled_at IS NULL")
_AGENT_KEY = text("SELECT key_hash FROM agents WHERE id = :id AND disabled_at IS NULL")


async def add_client(connection: AsyncConnection, *, name: str, now: datetime) -> NewClient:
    """Make a client of the network. Raises `BadName`."""
    key, client_id = new_client_secret(), new_id("ncl", now=now)
    values = {"id": client_id, "name": _tidy(name), "key_hash": hash_secret(secret=key), "now": now}
    if (await connection.execute(_ADD_CLIENT, values)).first() is None:
        raise BadName("There is a client of that name already; choose another.")
    return NewClient(client_id, key)


async def fund(connection: AsyncConnection, *, client: str, money: Money, reference: str, now: datetime) -> str:
    """Put money on a client's account, which is made if he has none in this currency. Its id.

    `reference` names the payment by which it came, so that it counts once. Raises `NotYours` for an unknown client.
    """
    await register_assets(connection, assets=[money.asset])
    values = {"client": client, "asset": money.asset.code}
    await connection.execute(_ADD_ACCOUNT, values | {"id": new_id("acc", now=now)})
    account = (await connection.execute(_ACCOUNT, values)).scalar_one_or_none()
    if account is None:
        raise NotYours
    entry = Entry(f"network_fund:{account}:{reference}", "network_fund", (Transfer(FUNDING, f"network:{account}", money),))
    if await post(connection, entries=[entry], now=now):
        await connection.execute(_FUND, {"id": account, "units": money.units})
    return str(account)


async def add_agent(connection: AsyncConnection, *, name: str, shop: str, password_hash: str, now: datetime) -> NewAgent:
    """Make an agent. Raises `BadName`."""
    if not NAME.fullmatch(name):
        raise BadName('a name has 1 to 64 of a-z, 0-9, ".", "_" and "-" and begins with a letter, as in "kiosk.4"')
    key, agent_id = new_client_secret(), new_id("agt", now=now)
    values = {"id": agent_id, "name": name, "shop": _tidy(shop), "password_hash": password_hash, "now": now}
    if (await connection.execute(_ADD_AGENT, values | {"key_hash": hash_secret(secret=key)})).first() is None:
        raise BadName(f'"{name}" is taken; choose another name.')
    return NewAgent(agent_id, key)


async def set_limit(connection: AsyncConnection, *, name: str, most: Money) -> None:
    """How much we may owe an agent in a currency before we settle. Raises `NotYours`."""
    await register_assets(connection, assets=[most.asset])
    values = {"name": name, "asset": most.asset.code, "most": most.units}
    if (await connection.execute(_SET_MOST, values)).rowcount == 0:
        raise NotYours


async def settle(
    connection: AsyncConnection, *, name: str, money: Money, reference: str, operator: str, reason: str, now: datetime
) -> bool:
    """Book that we paid an agent what we owed him. Whether it is new: one `reference` counts once.

    More than we owe may be paid: he then holds cash of ours. Raises `NotYours`, and what `record_action` raises.
    """
    subject = f"agent:{name}"
    await record_action(
        connection,
        operator=operator,
        action="agent.settle",
        subject=subject,
        reason=reason,
        now=now,
        detail={"paid": str(money)},
    )
    values = {"name": name, "asset": money.asset.code}
    agent = (await connection.execute(_SETTLE, values | {"units": 0})).scalar_one_or_none()
    if agent is None:
        raise NotYours
    entry = Entry(f"agent_settle:{agent}:{reference}", "agent_settle", (Transfer(f"agent:{agent}", "capital", money),))
    if not await post(connection, entries=[entry], now=now):
        return False
    await connection.execute(_SETTLE, values | {"units": money.units})
    return True


async def disable_agent(connection: AsyncConnection, *, name: str, operator: str, reason: str, now: datetime) -> None:
    """Let an agent claim nothing more; his sign-ins end. What he has claimed is ours to confirm or release."""
    await record_action(
        connection, operator=operator, action="agent.disable", subject=f"agent:{name}", reason=reason, now=now
    )
    agent = (await connection.execute(_DISABLE, {"name": name, "now": now})).scalar_one_or_none()
    if agent is None:
        raise NotYours
    await connection.execute(_END_SESSIONS, {"agent": agent})


async def list_agents(connection: AsyncConnection, *, agent_id: str = "") -> list[AgentView]:
    """Every agent with each of his floats, or one agent's."""
    return [_view(row) for row in await connection.execute(_LIST, {"agent": agent_id})]


async def client_of(connection: AsyncConnection, *, client_id: str, key: str) -> str:
    """The client's id, if the key is his. Raises `NoAccess`."""
    return await _proved(connection, _CLIENT_KEY, client_id, key)


async def agent_of(connection: AsyncConnection, *, agent_id: str, key: str) -> str:
    """The agent's id, if the key is his. Raises `NoAccess`."""
    return await _proved(connection, _AGENT_KEY, agent_id, key)


async def _proved(connection: AsyncConnection, statement: TextClause, subject: str, key: str) -> str:
    kept = (await connection.execute(statement, {"id": subject})).scalar_one_or_none()
    if not secret_matches(secret=key, secret_hash=kept):
        raise NoAccess
    return subject


def _tidy(name: str) -> str:
    tidy = " ".join(name.split())
    if not tidy or len(tidy) > TEXT_MOST or not tidy.isprintable():
        raise BadName(f"Give 1 to {TEXT_MOST} printable characters.")
    return tidy


def _view(row: Any) -> AgentView:
    asset = None if row.asset is None else Asset(row.asset, row.decimals)
    amounts = (row.owed_units, row.reserved_units, row.most_units)
    owed, reserved, most = (None if asset is None else Money(int(each), asset) for each in amounts)
    return AgentView(row.id, row.name, row.shop, row.disabled_at, row.asset, owed, reserved, most)
