"""Reading the configuration: file, then environment over it, then secrets from files, then every check at once."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from platformdirs import user_data_path
from pydantic import ValidationError

from gateway.config.environment import merged, named
from gateway.config.errors import ConfigError, Place, Problem, dotted
from gateway.config.secret import filled, literals
from gateway.config.sentences import problems_of, repeated
from gateway.config.settings import Settings

FILE = Path("lastmile.toml")


def load(*, path: Path | None, environment: Mapping[str, str]) -> Settings:
    """The settings from the file at `path`, else LASTMILE_CONFIG, else ./lastmile.toml if there is one, and `environment`.

    Relative paths, in the file too, count from the working directory. Raises `ConfigError` with every problem there is.
    """
    given = path or (Path(chosen) if (chosen := environment.get("LASTMILE_CONFIG")) else None)
    file = given or (FILE if FILE.exists() else None)
    try:
        return _load(file, environment)
    except RecursionError:
        raise ConfigError(
            [(str(file or "environment"), "tables or lists are nested too deeply; three levels are enough")]
        ) from None


def parse(*, tree: Mapping[str, object]) -> Settings:
    """The settings from a tree as TOML or JSON would give it, secrets in it. Raises `ConfigError`."""
    return _checked(tree, [], {})


def data_folder(*, given: Path | None, environment: Mapping[str, str]) -> Path:
    """Where embedded database, keys and dev chain live: `given`, else LASTMILE_DATA, else the platform's place for data."""
    return (given or Path(environment.get("LASTMILE_DATA") or user_data_path("lastmile", appauthor=False))).absolute()


def _load(file: Path | None, environment: Mapping[str, str]) -> Settings:
    tree = {} if file is None else toml(file)
    problems = list(literals(tree))
    everything, variables = merged(tree, environment, problems)
    everything = {key: filled(value, problems, (key,)) for key, value in everything.items()}
    try:
        return _checked(everything, problems, variables)
    except ConfigError as error:
        if file is not None:
            raise
        hint = (
            str(FILE),
            "there is none here and LASTMILE_CONFIG is not set; write one as gateway/lastmile.example.toml shows",
        )
        raise ConfigError([hint, *error.problems]) from None


def toml(file: Path) -> dict[str, object]:
    """What a TOML file says. Raises `ConfigError`."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError([(str(file), f"cannot be read: {error.strerror}; give the path of a TOML file")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            [(str(file), f"is not UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8")]
        ) from None
    except ValueError as error:
        raise ConfigError([(str(file), f"is not TOML: {error}")]) from None


def _checked(tree: Mapping[str, object], problems: list[Problem], variables: Mapping[Place, str]) -> Settings:
    """The settings, or everything that is wrong; of a place that is wrong twice only the first sentence."""
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        # Raised outside this block: pydantic's error holds every value and would stand in the traceback.
        settings = None
        problems = [*problems, *problems_of(error)]
    problems = [*problems, *repeated(tree)]
    if settings is None or problems:
        raise ConfigError(_written(problems, variables))
    return settings


def _written(problems: Iterable[Problem], variables: Mapping[Place, str]) -> Iterable[tuple[str, str]]:
    first: dict[Place, str] = {}
    for place, sentence in problems:
        first.setdefault(place, sentence)
    for place, sentence in first.items():
        variable = named(place, variables)
        yield dotted(place) + (f" ({variable})" if variable else ""), sentence
