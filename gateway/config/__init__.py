"""Configuration: one TOML file, environment over it, secrets by environment or file only.

`load` reads, `Settings` holds, `ConfigError` says everything that is wrong at once. Importing this package is cheap, so that
`lastmile --help` is; what a value means to a rail or a chain is checked by the part that uses it.
"""

from gateway.config.chains import Chain, Finality, KeyFile, Legs, Refunds, Sweep, Token
from gateway.config.errors import ConfigError
from gateway.config.keyfile import secret_file
from gateway.config.loading import FILE, data_folder, load, parse
from gateway.config.pricing import Pricing
from gateway.config.settings import Adapter, Corridor, Database, Economy, Server, Settings
from gateway.config.sources import Source

__all__ = [
    "FILE",
    "Adapter",
    "Chain",
    "ConfigError",
    "Corridor",
    "Database",
    "Economy",
    "Finality",
    "KeyFile",
    "Legs",
    "Pricing",
    "Refunds",
    "Server",
    "Settings",
    "Source",
    "Sweep",
    "Token",
    "data_folder",
    "load",
    "parse",
    "secret_file",
]
