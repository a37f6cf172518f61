"""The simulation: the real code on the real database, under a seeded clock, chain, rails and scheduler."""
