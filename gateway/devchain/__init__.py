"""The demo's and the tests' chain: a development node, the real USDC contract, a funded sender. Never used in production."""
