"""Orders: our promises to recipients, and the only writer of their state."""
