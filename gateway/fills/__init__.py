"""Payouts that partner exchanges fill for us: offered, accepted, declined, fulfilled with proof."""
