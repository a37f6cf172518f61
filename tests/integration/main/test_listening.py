from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from gateway.config import ConfigError
from gateway.process import listen


def settings(port: int) -> SimpleNamespace:
    return SimpleNamespace(server=SimpleNamespace(host="127.0.0.1", port=port))


def test_the_second_half_of_an_answer_does_not_wait_for_the_first_ones_acknowledgement():
    with listen(settings(0)) as listener, socket.create_connection(listener.getsockname()):
        served, _ = listener.accept()
        with served:
            assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_refused_with_a_sentence():
    with listen(settings(0)) as listener, pytest.raises(ConfigError, match=r"server\.port"):
        listen(settings(listener.getsockname()[1]))
