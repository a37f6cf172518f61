"""What the embedded server says where it can't run, and the address it gives."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from gateway.db import embedded


def test_a_platform_without_the_wheel_is_told_to_bring_its_own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(embedded.EmbeddedPostgresError, match=r"set database\.url"):
        embedded.binary("postgres")


def test_programs_are_found_and_an_unknown_one_is_refused_with_its_name() -> None:
    assert os.access(embedded.binary("pgbench"), os.X_OK)
    with pytest.raises(embedded.EmbeddedPostgresError, match="no program 'mysqld'"):
        embedded.binary("mysqld")


@pytest.mark.parametrize("uid", [0, 2**31 - 2])
def test_an_account_that_postgresql_refuses_is_told_what_to_do(uid: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(embedded.EmbeddedPostgresError, match=rf"doesn't run as user {uid}.*start as a normal user"):
        embedded._account()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(embedded.EmbeddedPostgresError, match=r"file/db can't be made.*choose another one"):
        embedded.start(folder=tmp_path / "file" / "db")


def test_the_address_names_user_database_socket_folder_and_port() -> None:
    url = embedded.Server(folder=Path("/a folder/100%")).url_for("my/base")
    assert conninfo_to_dict(url) == {
        "user": "postgres",
        "dbname": "my/base",
        "host": "/a folder/100%/socket",
        "port": "5432",
    }
