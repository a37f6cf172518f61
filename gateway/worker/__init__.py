"""The loops: claim due rows, act, record. Bounded, resumable, any number of processes."""
