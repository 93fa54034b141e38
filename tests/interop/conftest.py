# SPDX-License-Identifier: Apache-2.0
"""Our relay between programs that we did not write."""
import os
import shutil
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../e2e")]

import peers  # noqa: E402
from relay import Relay  # noqa: E402
from tap import Tap  # noqa: E402

FIGURES = []


@pytest.fixture
def backend():
    b = peers.HttpBackend()
    yield b
    b.close()


@pytest.fixture
def start(tmp_path, backend):
    """start() gives a running relay that forwards to `backend`, or to the exporters said."""
    running = []

    def make(exporters=None, extra="", **kwargs):
        relay = Relay(str(tmp_path), exporters or [exporter(backend.port)], extra, **kwargs)
        running.append(relay)
        return relay

    yield make
    for relay in running:
        assert relay.stop() == 0, relay.text()[-3000:]
        shutil.rmtree(relay.data, ignore_errors=True)  # each holds a whole journal


def exporter(port, name="main", protocol="http/protobuf", compression="gzip"):
    return (f"{{ name: {name}, protocol: {protocol}, compression: {compression}, linger: 10ms, retry: {{ initial: 50ms, max: 500ms }}, "
            f'endpoint: "http://127.0.0.1:{port}" }}')


@pytest.fixture
def tapped(start):
    """A relay with a tap in front of each port."""
    relay = start()
    relay.taps = {"grpc": Tap(relay.grpc), "http": Tap(relay.http)}
    relay.taps["json"] = relay.taps["http"]
    yield relay
    for tap in relay.taps.values():
        tap.close()


@pytest.fixture
def figure():
    """figure(client, protocol, spans, result): a line of the table in docs/conformance.md."""
    return lambda *cells: FIGURES.append(cells)


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    for cells in FIGURES:
        terminalreporter.write_line("| " + " | ".join(str(c) for c in cells) + " |")
    skipped = terminalreporter.stats.get("skipped", [])
    for reason in sorted({r.longrepr[2] for r in skipped}):
        terminalreporter.write_line(f"SKIPPED, {len([r for r in skipped if r.longrepr[2] == reason])} tests: {reason}")
