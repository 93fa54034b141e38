# SPDX-License-Identifier: Apache-2.0
"""What the tests have in common: running a client, and looking at what became of its spans."""
import os
import socket
import subprocess

import tap
from relay import check_ledger


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def run_client(command, relay, protocol, **env):
    port = relay.taps[protocol].port
    settings = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    settings.update(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="100",
                    OTEL_BSP_MAX_QUEUE_SIZE="100000", **env)
    done = subprocess.run(command, env=settings, text=True, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-4000:] + relay.text()[-2000:]


def compare(relay, backend, protocol):
    """Waits for all that the client sent; (how many, what they had)."""
    sent = relay.taps[protocol].spans()
    relay.wait_until(lambda: relay.status()["exporters"][0]["sent"] >= len(sent))
    assert sorted(backend.spans()) == sorted(sent)
    check_ledger(relay.status())
    ledger = relay.status()["ledger"]
    assert ledger["received"] == ledger["accepted"] == len(sent)
    return len(sent), tap.shapes(sent)


def all_arrived(relay, backend, sent):
    """For spans that we made ourselves, some of them many times."""
    relay.wait_until(lambda: relay.status()["exporters"][0]["sent"] == len(sent))
    assert sorted(s[2] for s in backend.spans()) == sorted(sent)
    assert relay.status()["ledger"]["accepted"] == len(sent)
    check_ledger(relay.status())
