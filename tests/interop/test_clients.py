# SPDX-License-Identifier: Apache-2.0
"""SDKs: every span at the backend has the bytes that the SDK sent, and its resource and scope with it; for one
that sent JSON, the bytes that another reader makes of it."""
import pytest

import programs
from checks import compare, run_client

ROUNDS = 60
COMMON = {"string", "bool", "int", "double", "array", "parent", "event", "link", "tracestate", "flags",
          "status 1", "status 2"}
KINDS = {f"kind {k}" for k in range(1, 6)}
SCOPE = {"scope version", "schema url"}


CLIENTS = {
    # name: (builder, environment, what its spans must have shown besides COMMON and KINDS)
    "Python": (programs.python, {}, {"bytes", "kvlist", "empty", "scope attributes"} | SCOPE),
    "JavaScript": (programs.javascript, {}, SCOPE),
    "Go": (lambda: [programs.go_program("go")], {"OTEL_EXPORTER_OTLP_INSECURE": "true"},
           {"bytes", "kvlist", "empty", "scope attributes"} | SCOPE),
    "Java": (programs.java, {}, SCOPE),
    "Java, JDK sender": (lambda: programs.java("jdk.internal.Jdk"), {}, SCOPE),
    "Rust": (programs.rust, {}, {"scope attributes"} | SCOPE),
}
ONLY = {"Java, JDK sender": "http"}
JSON = {"JavaScript", "Rust"}  # others have no exporter for it
RUNS = [(c, p, z) for c in CLIENTS for p in ("grpc", "http", "json") for z in ("none", "gzip")
        if ONLY.get(c, p) == p and (p != "json" or c in JSON)]


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
    assert (request.headers["content-type"] == "application/json") == (protocol == "json")
    if client == "Java, JDK sender":
        assert request.headers["upgrade"] == "h2c"
    figure(client, f"{protocol}, {compression}, HTTP/{request.version}", count, "equal" if protocol == "json" else "byte-equal")
