"""Pricing: rate sources, their consensus, quotes."""
