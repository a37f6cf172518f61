"""Tables of refunds."""
