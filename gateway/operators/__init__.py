"""The people who run this gateway: what is decided by hand is decided by one of them, by name and with a reason."""
