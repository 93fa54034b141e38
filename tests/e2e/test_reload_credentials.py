# SPDX-License-Identifier: Apache-2.0
"""Where credentials and certificates come from changes while everything goes on: by a reload, as their values
change in their files. A token goes to no place but the one it was meant for."""
import os
import subprocess

import peers
import pytest
from lightstep import replace, write
from relay import BINARY
from test_reload import exporter, names, reload, rewrite, send, settled, trace


@pytest.fixture
def other():
    b = peers.HttpBackend()
    yield b
    b.close()


def by_file(path, header="x-api-key", more=""):
    return f", headers: {{ {header}: {{ file: '{path}'{more} }} }}"


def tokens(backend, header="x-api-key"):
    return [h.get(header) for h in backend.headers]


def credential(relay, name="main"):
    return relay.exporter(name)["credential"]


def is_promoted(relay, name="main"):
    return lambda: (credential(relay, name) or {}).get("state") == "promoted"


def deliver(relay, n=1):
    for _ in range(n):
        send(relay, trace("calm")[0])
        settled(relay)


def test_an_exporter_with_a_credential_comes_by_a_reload(start, backend, other, tmp_path):
    path = str(tmp_path / "token")
    write(path, "token-of-b\n")
    relay = start(exporters=[exporter(backend.port)])
    item = exporter(other.port, "b", by_file(path))
    rewrite(relay, ("exporters:\n", f"exporters:\n  - {item}\n"))
    assert "exporters[b]: added" in reload(relay)
    deliver(relay)
    assert set(tokens(other)) == {"token-of-b"} and tokens(backend) == [None]
    assert credential(relay, "b")["sources"][0]["path"] == path
    replace(path, "second-of-b")  # it is watched too
    relay.wait_until(lambda: credential(relay, "b")["current"]["generation"] == 2)
    deliver(relay, 2)
    assert tokens(other)[-1] == "second-of-b"
