"""The embedded PostgreSQL server, through everything that may happen to it and to its starter."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy

import gateway
from gateway.db import embedded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(gateway.__file__).parents[1]
ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not ROOT, reason="only root can become somebody else")

START = (
    "import sys; from pathlib import Path; from gateway.db.embedded import start; server = start(folder=Path(sys.argv[1])); "
)
DIE = START + "import os; print('up', flush=True); os.killpg(0, 9)"
# Whoever runs the tests in the background of a shell hands down that Ctrl-C is ignored; nobody at a terminal does.
HEARS_CTRL_C = "import signal; signal.signal(2, signal.default_int_handler); "
CTRL_C = HEARS_CTRL_C + START + "import os, time; os.killpg(0, 2); time.sleep(60)"
WHOLE_LIFE = START + (
    "import psycopg; psycopg.connect(server.url).execute('SELECT 1').fetchone(); print(server.running());"
    "server.stop(); print(server.running()); start(folder=server.folder).stop()"
)


def private_folder() -> tempfile.TemporaryDirectory[str]:
    """In memory where there's room: the disk isn't what is tested here."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 1 << 30
    return tempfile.TemporaryDirectory(dir=memory if roomy else None)


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A folder whose server was made and stopped; copies of it start faster than new ones."""
    with private_folder() as home:
        folder = Path(home) / "db"
        embedded.start(folder=folder).stop()
        yield folder


@pytest.fixture
def home() -> Iterator[Path]:
    """A private folder, at whose removal every server below it is stopped."""
    with private_folder() as path:
        yield Path(path)
        for lock in Path(path).rglob("server.lock"):
            embedded.Server(folder=lock.parent).stop()


@pytest.fixture
def copy(made: Path, home: Path) -> Callable[[str], Path]:
    """Copies of that folder under any name."""
    return lambda name: Path(shutil.copytree(made, home / name))


@pytest.fixture
def folder(copy: Callable[[str], Path]) -> Path:
    return copy("db")


def query(server: embedded.Server, sql: str) -> Any:
    with psycopg.connect(server.url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


def postmaster(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be reaped doesn't."""
    with contextlib.suppress(FileNotFoundError):
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited for 20 s"
        time.sleep(0.01)


def crash(folder: Path) -> int:
    pid = postmaster(folder)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not alive(pid))
    return pid


def python(script: str, folder: Path, *, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, sys.executable, "-B", "-c", script, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        start_new_session=True,
        timeout=60,
    )


def test_data_survives_stop_and_start(folder: Path) -> None:
    server = embedded.start(folder=folder)
    query(server, "CREATE TABLE t AS SELECT 42 AS n")
    pid = postmaster(folder)
    server.stop()
    assert not server.running()
    assert not alive(pid)
    server.stop()
    assert query(embedded.start(folder=folder), "SELECT n FROM t") == 42
    assert server.running()


def test_the_server_is_set_up_for_money(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("SECRET", "of the gateway")
    server = embedded.start(folder=folder)
    expected = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "timezone": "UTC",
        "jit": "off",
        "max_connections": "200",
        "server_encoding": "UTF8",
        "client_connection_check_interval": "1s",
    }
    assert {name: query(server, f"SHOW {name}") for name in expected} == expected
    assert query(server, "SELECT lower('ÉÑ')") == "éñ"
    assert b"SECRET" not in Path(f"/proc/{postmaster(folder)}/environ").read_bytes()


def test_a_missing_database_is_made_again(folder: Path) -> None:
    server = embedded.start(folder=folder)
    with psycopg.connect(server.url_for("postgres"), autocommit=True) as connection:
        connection.execute("DROP DATABASE gateway")
    embedded.start(folder=folder)
    assert query(server, "SELECT current_database()") == "gateway"


def test_a_server_whose_starter_was_killed_is_found_again_and_can_be_stopped(folder: Path) -> None:
    killed = python(DIE, folder)
    assert (killed.stdout, killed.returncode) == ("up\n", -signal.SIGKILL), killed.stderr
    pid = postmaster(folder)
    assert alive(pid)
    server = embedded.start(folder=folder)
    assert postmaster(folder) == pid
    assert server.running()
    server.stop()
    assert not alive(pid)
    with pytest.raises(psycopg.OperationalError):
        query(server, "SELECT 1")


def test_ctrl_c_at_the_terminal_leaves_the_server_to_its_owner(folder: Path) -> None:
    interrupted = python(CTRL_C, folder)
    assert "KeyboardInterrupt" in interrupted.stderr
    assert embedded.Server(folder=folder).running()


def test_a_crashed_server_recovers_with_its_data(folder: Path) -> None:
    server = embedded.start(folder=folder)
    query(server, "CREATE TABLE t AS SELECT 42 AS n")
    pid = crash(folder)
    assert not server.running()
    assert query(embedded.start(folder=folder), "SELECT n FROM t") == 42
    assert postmaster(folder) != pid


def test_a_query_that_outlives_a_crashed_server_is_waited_for(folder: Path) -> None:
    server = embedded.start(folder=folder)
    query(server, "CREATE TABLE t (n int)")
    with psycopg.connect(server.url, autocommit=True) as connection, ThreadPoolExecutor() as pool:
        counting = "SELECT count(*) FROM generate_series(1, 3000000) a"
        running = pool.submit(connection.execute, counting)
        active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT count(*) FROM gen%'"
        wait_until(lambda: query(server, active) == 1)
        crash(folder)
        assert query(embedded.start(folder=folder), "SELECT count(*) FROM t") == 0
        with contextlib.suppress(psycopg.OperationalError):
            running.result()


def test_a_pid_that_belongs_to_another_process_by_now_is_neither_believed_nor_signalled(folder: Path) -> None:
    server = embedded.start(folder=folder)
    crash(folder)
    with subprocess.Popen(["sleep", "60"]) as bystander:
        pid_file = folder / "data" / "postmaster.pid"
        pid_file.write_text("\n".join([str(bystander.pid), *pid_file.read_text().splitlines()[1:]]) + "\n")
        assert not server.running()
        server.stop()
        embedded.start(folder=folder)
        assert server.running()
        server.stop()
        assert bystander.poll() is None
        bystander.kill()


def test_a_stop_in_the_middle_of_a_start_stops_the_server(folder: Path) -> None:
    """The starter died before the server wrote its pid file; the lock tells that something lives."""
    server = embedded.start(folder=folder)
    pid_file = folder / "data" / "postmaster.pid"
    hidden = pid_file.rename(pid_file.with_name("later"))
    with ThreadPoolExecutor() as pool:
        stopping = pool.submit(server.stop)
        with pytest.raises(TimeoutError):
            stopping.result(timeout=0.1)
        hidden.rename(pid_file)
        stopping.result(timeout=20)
    assert not server.running()


def test_a_stop_waits_for_a_start_that_has_begun(folder: Path) -> None:
    embedded.start(folder=folder)
    with (folder / "start.lock").open("ab") as starter, ThreadPoolExecutor() as pool:
        fcntl.flock(starter, fcntl.LOCK_EX)
        stopping = pool.submit(embedded.Server(folder=folder).stop)
        with pytest.raises(TimeoutError):
            stopping.result(timeout=0.2)
        assert embedded.Server(folder=folder).running()
        fcntl.flock(starter, fcntl.LOCK_UN)
        stopping.result(timeout=20)


def test_a_server_that_is_not_ours_on_the_same_data_is_refused_and_left_alone(folder: Path) -> None:
    embedded.start(folder=folder)
    pid = postmaster(folder)
    lock = (folder / "server.lock").rename(folder / "its.lock")
    with pytest.raises(embedded.EmbeddedPostgresError, match=f"process {pid}: stop it first"):
        embedded.start(folder=folder)
    assert alive(pid)
    lock.rename(folder / "server.lock")


def test_an_interrupted_making_is_begun_anew(home: Path) -> None:
    unfinished = home / "db" / "data.new"
    unfinished.mkdir(parents=True)
    (home / "db").chmod(0o700)
    (unfinished / "PG_VERSION").write_text("18\n")
    server = embedded.start(folder=home / "db")
    assert query(server, "SELECT 1") == 1
    assert not unfinished.exists()


def test_a_server_that_neither_answers_nor_ends_is_reported_in_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 0.1)
    monkeypatch.setattr(embedded, "STOP_TIMEOUT_S", 0.1)
    with (folder / "server.lock").open("ab") as hung:
        fcntl.flock(hung, fcntl.LOCK_EX)
        with pytest.raises(embedded.EmbeddedPostgresError, match="runs and doesn't answer"):
            embedded.start(folder=folder)
        with pytest.raises(embedded.EmbeddedPostgresError, match=r"still runs 0\.1 s after it was told to stop"):
            embedded.Server(folder=folder).stop()


def test_a_server_that_cannot_start_says_why_and_where_its_log_is(folder: Path) -> None:
    (folder / "data" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(embedded.EmbeddedPostgresError, match=r"did not start.*server\.log") as refusal:
        embedded.start(folder=folder)
    assert "initialized by PostgreSQL version 9.6" in str(refusal.value)


@pytest.mark.parametrize("name", ["long" * 30, "a,b:c ünï 'x' $(touch y) `z` \"", "with space"])
def test_any_folder_name_gives_an_address_that_both_drivers_read(copy: Callable[[str], Path], name: str) -> None:
    server = embedded.start(folder=copy(name))
    assert query(server, "SHOW data_directory") == str(server.folder / "data")
    url = sqlalchemy.make_url(server.url).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(sqlalchemy.text("SELECT current_database()")) == "gateway"
    engine.dispose()
    socket_folder = (server.folder / "socket").resolve()
    assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700
    crash(server.folder)
    embedded.start(folder=server.folder)
    assert query(server, "SELECT 1") == 1
    shutil.rmtree(socket_folder)
    server_socket_folder = (server.folder / "socket").resolve()
    server.stop()
    if server_socket_folder.parent == Path("/tmp"):
        assert not server_socket_folder.exists()


def test_two_folders_run_beside_each_other_even_if_one_is_a_copy_of_the_other_running(copy: Callable[[str], Path]) -> None:
    one = embedded.start(folder=copy("one" * 30))
    query(one, "CREATE TABLE t AS SELECT 1 AS n")
    two = embedded.Server(folder=copy("two"))
    shutil.rmtree(two.folder)
    shutil.copytree(one.folder, two.folder, symlinks=True, ignore=shutil.ignore_patterns(".s.*"))
    two = embedded.start(folder=two.folder)
    query(two, "UPDATE t SET n = 2")
    assert (query(one, "SELECT n FROM t"), query(two, "SELECT n FROM t")) == (1, 2)
    two.stop()
    assert one.running()


def test_two_processes_that_start_at_once_share_one_server(home: Path) -> None:
    folder = home / "db"
    script = START + "print(open(server.folder / 'data' / 'postmaster.pid').readline()); assert server.running()"
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: python(script, folder), range(2)))
    assert [each.returncode for each in both] == [0, 0], [each.stderr for each in both]
    assert both[0].stdout == both[1].stdout


def test_nothing_outside_the_folder_is_changed(home: Path) -> None:
    def outside() -> list[object]:
        accounts = [Path(name).read_bytes() for name in ("/etc/passwd", "/etc/group")]
        return [*accounts, *((path, path.stat().st_mode, path.stat().st_uid) for path in (home, *home.parents))]

    before = outside()
    embedded.start(folder=home / "new" / "db").stop()
    assert outside() == before
    assert stat.S_IMODE((home / "new" / "db").stat().st_mode) == 0o700


def test_a_folder_that_others_can_enter_is_refused(home: Path) -> None:
    home.chmod(0o750)
    with pytest.raises(embedded.EmbeddedPostgresError, match=r"mode 750.*must belong to user \d+ with mode 700"):
        embedded.start(folder=home)
    assert list(home.iterdir()) == []


@only_root
def test_a_folder_of_somebody_else_is_refused(home: Path) -> None:
    folder = home / "db"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    with pytest.raises(embedded.EmbeddedPostgresError, match="owner 65534"):
        embedded.start(folder=folder)


def as_user(uid: int) -> tuple[str, ...]:
    return ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--")


def skip_unless_readable(prefix: tuple[str, ...]) -> None:
    """Below a folder that only root may enter, nobody else can run our binaries."""
    program = f"import psycopg, subprocess; subprocess.check_call([{str(embedded.binary('postgres'))!r}, '-V'])"
    if python(program, Path(), prefix=prefix).returncode:
        pytest.skip("this Python environment isn't readable to other users")


@only_root
@pytest.mark.parametrize("uid", [pytest.param(65534, id="named"), pytest.param(54321, id="without an account")])
def test_a_normal_user_can_run_it(uid: int, home: Path) -> None:
    prefix = as_user(uid)
    skip_unless_readable(prefix)
    if uid == 54321 and subprocess.run([*prefix, "unshare", "--user", "true"], capture_output=True, check=False).returncode:
        pytest.skip("without an account it takes a user namespace, which this machine forbids")
    os.chown(home, uid, uid)
    lived = python(WHOLE_LIFE, home / "db", prefix=prefix)
    assert (lived.returncode, lived.stdout) == (0, "True\nFalse\n"), lived.stderr
    assert {path.lstat().st_uid for path in home.rglob("*")} == {uid}


@only_root
@pytest.mark.parametrize("existing", [pytest.param(True, id="existing data"), pytest.param(False, id="first start")])
def test_root_without_user_namespaces_runs_it_as_nobody(
    *, existing: bool, copy: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_unless_readable(as_user(65534))
    folder = copy("db")
    if not existing:
        shutil.rmtree(folder)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "bin" / "unshare").chmod(0o755)
    with monkeypatch.context() as forbidden:
        forbidden.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        server = embedded.start(folder=folder)
        assert f"\nUid:\t{65534}\t" in Path(f"/proc/{postmaster(folder)}/status").read_text()
        query(server, "CREATE TABLE t AS SELECT 42 AS n")
        crash(folder)
        embedded.start(folder=folder)
        server.stop()
    assert query(embedded.start(folder=folder), "SELECT n FROM t") == 42
