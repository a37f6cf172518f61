"""What adapters share that is no provider's: HTTP that knows what may have arrived, exact JSON, settings, limits, evidence.

An adapter's room imports this, `gateway.offramp`, `gateway.money` and `gateway.clock`. Nothing here knows a provider.
"""
