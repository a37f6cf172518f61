"""The ledger: accounts, posting templates, balances. Append-only and balanced by the database itself."""
