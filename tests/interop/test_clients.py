# SPDX-License-Identifier: Apache-2.0
"""SDKs: every span at the backend has the bytes that the SDK sent, and its resource and scope with it."""
import os
import subprocess

import pytest

import programs
import tap
from relay import check_ledger

ROUNDS = 60
COMMON = {"string", "bool", "int", "double", "array", "parent", "event", "link", "tracestate", "flags", "status 2"}
KINDS = {f"kind {k}" for k in range(1, 6)}
SCOPE = {"scope version", "schema url"}


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


CLIENTS = {
    # name: (builder, environment, what its spans must have shown besides COMMON and KINDS)
    "Python": (programs.python, {}, {"bytes", "kvlist", "empty", "scope attributes"} | SCOPE),
    "JavaScript": (programs.javascript, {}, SCOPE),
    "Go": (lambda: [programs.go_program("go")], {"OTEL_EXPORTER_OTLP_INSECURE": "true"},
           {"bytes", "kvlist", "empty", "scope attributes"} | SCOPE),
    "Java": (programs.java, {}, SCOPE),
    "Rust": (programs.rust, {}, {"scope attributes"} | SCOPE),
}
RUNS = [(c, p, z) for c in CLIENTS for p in ("grpc", "http") for z in ("none", "gzip")
        if c != "Rust" or p == "grpc"]


@pytest.mark.parametrize("client,protocol,compression", RUNS)
def test_every_span_arrives_as_it_was_sent(tapped, backend, figure, client, protocol, compression):
    build, env, shows = CLIENTS[client]
    command = build() + [protocol, str(ROUNDS)]
    env = {**env, **({"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"} if compression == "gzip" else {})}
    run_client(command, tapped, protocol, **env)
    count, seen = compare(tapped, backend, protocol)
    assert count == ROUNDS * 10
    assert COMMON | KINDS | shows <= seen, (COMMON | KINDS | shows) - seen
    request = tapped.taps[protocol].exports()[0]
    coding = request.headers.get("grpc-encoding" if protocol == "grpc" else "content-encoding", "none")
    assert coding.replace("identity", "none") == compression
    figure(client, f"{protocol}, {compression}, HTTP/{request.version}", count, "byte-equal")
