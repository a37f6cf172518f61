"""Payments in several steps: each leg an attempt of its own, driven from one set of rows."""
