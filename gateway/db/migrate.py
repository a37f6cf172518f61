"""Bring a database to the newest schema."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

LOCK = 7_261_915_402
"""Advisory lock that keeps two starting processes from migrating at once; any constant of our own."""


def scripts() -> Path:
    """The folder of the migration scripts."""
    spec = importlib.util.find_spec("migrations")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package `migrations` is missing; install lastmile again")
    return Path(spec.submodule_search_locations[0])


def newest() -> str:
    """The newest revision, read off the file names (they begin with the revision) so that a start needs no Alembic."""
    return max(path.name.partition("_")[0] for path in (scripts() / "versions").glob("[0-9]*.py"))


def current(connection: Connection) -> str | None:
    """The revision a database is at; None for an empty one."""
    if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar() is None:
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def migrate(url: str) -> bool:
    """Upgrade the database at `url`. Returns whether anything was done. Several processes may call it at once."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        if current(connection) == newest():
            return False
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
        connection.commit()
        if current(connection) == newest():
            return False
        connection.rollback()
        _upgrade(connection)
        return True


def _upgrade(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415 - only a start that migrates pays for the import
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(scripts()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
