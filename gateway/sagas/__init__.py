"""Payments in several steps: drives one leg after the other of rails that implement `gateway.legs.PaysInLegs`."""
