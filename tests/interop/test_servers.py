# SPDX-License-Identifier: Apache-2.0
"""Programs that come with an exporter built in: Caddy, telemetrygen, ghz."""
import http.client
import json
import os
import socket
import subprocess
import time

import pytest

import otlp
import programs
from checks import all_arrived, compare, free_port


class Caddy:
    def __init__(self, folder, endpoint, protocol, upstream=None):
        self.port = free_port()
        config = {"admin": {"disabled": True}, "apps": {"http": {"servers": {"edge": {
            "listen": [f"127.0.0.1:{self.port}"],
            "automatic_https": {"disable": True},
            "routes": [{"handle": [
                {"handler": "tracing", "span": "edge", "span_attributes": {"path": "{http.request.uri.path}", "none": "{http.vars.none}"}},
                {"handler": "reverse_proxy", "upstreams": [{"dial": upstream}]} if upstream
                else {"handler": "static_response", "body": "hello"}]}]}}}}}
        path = os.path.join(folder, "caddy.json")
        with open(path, "w") as f:
            json.dump(config, f)
        env = {**os.environ, "XDG_DATA_HOME": folder, "XDG_CONFIG_HOME": folder, "HOME": folder,
               "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        if protocol is None:
            del env["OTEL_EXPORTER_OTLP_PROTOCOL"]
        self.log_path = os.path.join(folder, "caddy.log")
        self.log = open(self.log_path, "w")
        self.process = subprocess.Popen([programs.go_program("caddy"), "run", "--config", path], env=env,
                                        stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", self.port)) != 0:
            assert time.monotonic() < deadline and self.process.poll() is None, self.text()
            time.sleep(0.05)

    def text(self):
        with open(self.log_path) as f:
            return f.read()

    def get(self, count, path="/"):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        for i in range(count):
            conn.request("GET", f"{path}{i}?q=%ff", headers={
                "traceparent": "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01", "tracestate": "vendor=one"})
            assert conn.getresponse().read() == b"hello"
        conn.close()

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_caddy(tapped, backend, figure, tmp_path, protocol):
    """HTTP is what Caddy 2.11 does by itself."""
    caddy = Caddy(str(tmp_path), f"http://127.0.0.1:{tapped.taps[protocol].port}", {"http": None, "grpc": "grpc"}[protocol])
    caddy.get(1000)
    caddy.stop()
    count, seen = compare(tapped, backend, protocol)
    assert count == 1000 and {"string", "int", "parent", "tracestate", "flags"} <= seen
    assert "traces export" not in caddy.text(), caddy.text()
    figure("Caddy", protocol, count, "byte-equal")


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_telemetrygen(tapped, backend, figure, protocol):
    said = subprocess.run(
        [programs.go_tool("telemetrygen"), "traces", "--otlp-insecure", "--traces", "250", "--workers", "2", "--child-spans", "4",
         "--rate", "0", "--span-links", "2", "--status-code", "Error", "--telemetry-attributes", "list=[1,2]",
         "--otlp-endpoint", f"127.0.0.1:{tapped.taps[protocol].port}", *(["--otlp-http"] if protocol == "http" else [])],
        env={**os.environ, "OTEL_BSP_MAX_QUEUE_SIZE": "100000"},  # else it drops some before it sends
        text=True, timeout=60, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert said.returncode == 0, said.stdout[-3000:]
    count, seen = compare(tapped, backend, protocol)
    assert count == 2500 and {"link", "status 2"} <= seen
    figure("telemetrygen", protocol, count, "byte-equal")


def test_ghz(start, backend, figure, tmp_path):
    """grpc-go with many calls on a connection; the service as our own .proto describes it."""
    relay = start()
    path = tmp_path / "request.bin"
    batch = [otlp.span(f"{i}") for i in range(10)]
    path.write_bytes(otlp.request(*batch))
    proto = os.path.join(programs.HERE, "../../wire/proto")
    said = subprocess.run(
        [programs.go_tool("ghz"), "--insecure", "-n", "2000", "-c", "50", "--connections", "4", "-B", str(path), "-O", "json",
         "-i", proto, "--proto", os.path.join(proto, "opentelemetry/proto/collector/trace/v1/trace_service.proto"),
         "--call", "opentelemetry.proto.collector.trace.v1.TraceService.Export", f"127.0.0.1:{relay.grpc}"],
        text=True, timeout=60, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert json.loads(said.stdout)["statusCodeDistribution"] == {"OK": 2000}, said.stdout[-3000:]
    all_arrived(relay, backend, batch * 2000)
    figure("ghz", "grpc, 4 connections, 50 calls at a time", 20_000, "byte-equal")
