"""The database: engine, sessions, column types, and the embedded PostgreSQL server."""
