# SPDX-License-Identifier: Apache-2.0
import os
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import peers  # noqa: E402
from relay import Relay  # noqa: E402


@pytest.fixture
def backend():
    b = peers.HttpBackend()
    yield b
    b.close()


@pytest.fixture
def start(tmp_path, backend):
    """start(extra=..., exporters=[...]) gives a running relay; all of them end with the test."""
    running = []

    def make(extra="", exporters=None, **kwargs):
        default = [
            "{ name: main, protocol: http/protobuf, linger: 10ms, retry: { initial: 50ms, max: 200ms }, "
            f'endpoint: "http://127.0.0.1:{backend.port}" }}'
        ]
        relay = Relay(str(tmp_path), exporters or default, extra, **kwargs)
        running.append(relay)
        return relay

    yield make
    for relay in running:
        if relay.process.poll() is None:
            assert relay.stop() == 0, relay.text()[-3000:]
        assert "Sanitizer" not in relay.text(), relay.text()[-6000:]
        shutil.rmtree(relay.data, ignore_errors=True)  # each holds a whole journal
