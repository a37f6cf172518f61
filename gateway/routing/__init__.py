"""Routing: which rails can pay an order, and which is asked."""
