"""Lastmile: the gateway. It never names an adapter; they arrive by entry point."""
