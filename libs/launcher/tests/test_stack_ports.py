"""Ports for servers: free ones, from the range that is asked for."""

from __future__ import annotations

import socket

import pytest

from holdfast.launcher.stack.errors import StackError
from holdfast.launcher.stack.process import PORT_RANGE_SETTING, free_ports

pytestmark = pytest.mark.integration


def test_ports_come_from_the_range_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    first = int(free_ports([], 1)[0]) // 10 * 10
    monkeypatch.setenv(PORT_RANGE_SETTING, f"{first}-{first + 9}")
    assert set(free_ports([], 3)) <= set(range(first, first + 10))


def test_a_taken_port_is_not_chosen_even_if_it_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", free_ports([], 1)[0])) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv(PORT_RANGE_SETTING, f"{port}-{port}")
        with pytest.raises(StackError, match="No free port"):
            free_ports([port], 1)


@pytest.mark.parametrize("setting", ["", "20000", "20000-", "x-y", "30000-20000", "80-90", "60000-70000", "-1-5"])
def test_a_range_that_is_none_is_refused_with_an_example(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PORT_RANGE_SETTING, setting)
    with pytest.raises(StackError, match=r"e\.g\. 20000-23999"):
        free_ports([], 1)
