"""A broken, altered or unreachable download stops the start with a sentence that helps."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.launcher.stack import EmbeddedStack, StackError
from holdfast.launcher.stack.java import Java
from holdfast.launcher.stack.kafka_archive import archive_path
from holdfast.launcher.stack.kafka_jars import ensure_jars, kafka_folder, pinned_jars


@pytest.fixture
def copied_cache(tmp_path: Path, kafka_servers: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The jars the running broker uses, in a cache folder of this test's own."""
    source = kafka_folder() / "jars"
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    return shutil.copytree(source, kafka_folder() / "jars")


@pytest.mark.integration
def test_an_altered_jar_stops_the_start_and_is_named(copied_cache: Path, tmp_path: Path) -> None:
    jar = copied_cache / "kafka-clients-4.3.1.jar"
    jar.write_bytes(jar.read_bytes() + b"!")
    stack = EmbeddedStack(tmp_path / "data", postgres=False)
    with pytest.raises(StackError, match=r"kafka-clients-4\.3\.1\.jar is not the jar that was pinned"):
        stack.start()
    assert stack.children == {}


@pytest.mark.integration
def test_unaltered_jars_are_accepted_in_class_path_order(copied_cache: Path) -> None:
    jars = ensure_jars(lambda _line: pytest.fail("nothing is missing, so nothing is downloaded"))
    assert [jar.name for jar in jars] == sorted(pinned_jars())


def test_every_jar_is_pinned_by_a_whole_hash() -> None:
    assert "kafka_2.13-4.3.1.jar" in pinned_jars()
    assert all(len(digest) == 64 and name.endswith(".jar") for name, digest in pinned_jars().items())


@pytest.mark.integration
def test_a_network_that_refuses_is_said_in_a_sentence(tmp_path: Path) -> None:
    program = """
import sys
from holdfast.launcher.stack.errors import StackError
from holdfast.launcher.stack.kafka_jars import ensure_jars
try:
    ensure_jars(lambda line: None)
except StackError as error:
    print(error)
    sys.exit(7)
"""
    nowhere = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), "http://127.0.0.1:9")
    environment = {**os.environ, **nowhere, "HOME": str(tmp_path), "HOLDFAST_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert "could not be downloaded from Maven Central" in done.stdout
    assert "Check the network or proxy settings" in done.stdout
    assert not (tmp_path / "cache" / "kafka-4.3.1" / "jars").exists()


def test_the_archive_belongs_to_one_java_and_one_class_path() -> None:
    jars = [Path("/a/one.jar")]
    of_17 = archive_path(Java(Path("/java"), 17, "17.0.15+6"), jars)
    assert of_17 != archive_path(Java(Path("/java"), 17, "17.0.16+1"), jars)
    assert of_17 != archive_path(Java(Path("/java"), 17, "17.0.15+6"), [Path("/b/one.jar")])
