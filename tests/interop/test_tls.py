# SPDX-License-Identifier: Apache-2.0
"""SDKs over TLS with client certificates, set up by nothing but the OpenTelemetry environment variables."""
import os
import subprocess

import pytest

import certs
import programs
from relay import check_ledger

ROUNDS = 20
CLIENTS = {
    "Python": programs.python,
    "JavaScript": programs.javascript,
    "Go": lambda: [programs.go_program("go")],
    "Java": programs.java,
}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("client", CLIENTS)
def test_spans_of_an_sdk_arrive_over_mutual_tls(start, backend, figure, tmp_path, client, protocol):
    command = CLIENTS[client]() + [protocol, str(ROUNDS)]
    ca = certs.Authority(tmp_path)
    cert, key = ca.sign("relay")
    mine, mine_key = ca.sign("client")
    tls = f"cert_file: {cert}, key_file: {key}, client_ca_file: {ca.cert}"
    relay = start(grpc_tls=tls, http_tls=tls)
    settings = {k: v for k, v in os.environ.items() if not k.lower().endswith(("_proxy", "_ca_bundle", "ssl_cert_file"))}
    settings.update(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"https://localhost:{relay.grpc if protocol == 'grpc' else relay.http}",
        OTEL_EXPORTER_OTLP_CERTIFICATE=ca.cert,
        OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=mine,
        OTEL_EXPORTER_OTLP_CLIENT_KEY=mine_key,
        OTEL_BSP_MAX_QUEUE_SIZE="100000",
    )
    done = subprocess.run(command, env=settings, text=True, timeout=120, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout[-3000:] + relay.text()[-2000:]
    relay.wait_until(lambda: len(backend.spans()) == ROUNDS * 10)
    check_ledger(relay.status())
    figure(client, f"{protocol}, mutual TLS", ROUNDS * 10, "arrived")
