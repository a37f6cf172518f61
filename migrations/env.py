"""Alembic's environment: runs on the connection that gateway.db.migrate hands over."""

from alembic import context
from sqlmodel import SQLModel

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=SQLModel.metadata, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
