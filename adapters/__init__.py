"""Adapters: one room per provider."""
