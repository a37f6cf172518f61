"""What arrived and fits no order: kept on the ledger, listed, and resolved by a named person."""
