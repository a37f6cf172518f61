"""The migrations make exactly the tables that the models describe, however often and by however many they are run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.engine import make_url
from sqlmodel import SQLModel

import gateway.agents.models
import gateway.chain.models
import gateway.desk.models
import gateway.fills.models
import gateway.ledger.models
import gateway.operators.models
import gateway.orders.models
import gateway.partners.models
import gateway.payouts.models
import gateway.pricing.models
import gateway.refunds.models
import gateway.routing.models
import gateway.sagas.models
import gateway.treasury.floatmodels
import gateway.treasury.models  # noqa: F401 - the import fills the metadata
from gateway.db.columns import Posting
from gateway.db.migrate import migrate, newest

# Reflection has to know our own type.
ischema_names["posting"] = Posting


def differences(url):
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, SQLModel.metadata)
    engine.dispose()
    # Indexes are the migrations' own matter: the models don't list them, uniqueness apart.
    return [one for one in found if not (isinstance(one, tuple) and one[0] in ("remove_index", "remove_constraint"))]


def test_models_and_migrations_agree(database_url):
    assert differences(database_url) == []


def test_ten_processes_may_migrate_at_once(postgres):
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated_at_once")
    url = postgres.url_for("migrated_at_once")
    with ThreadPoolExecutor(10) as pool:
        did = list(pool.map(lambda _: migrate(url), range(10)))
    assert did.count(True) == 1
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(newest(),)]
