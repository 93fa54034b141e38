# SPDX-License-Identifier: Apache-2.0
"""A real OpenTelemetry Collector as the backend; its file exporter says what arrived."""
import http.client
import os
import socket
import subprocess
import threading
import time

import pytest

import otlp
import programs
from checks import free_port, run_client
from conftest import exporter
from relay import check_ledger
from tap import Tap

CONFIG = """
receivers: {{ otlp: {{ protocols: {{ grpc: {{ endpoint: "127.0.0.1:{grpc}" }}, http: {{ endpoint: "127.0.0.1:{http}" }} }} }} }}
exporters: {{ file: {{ path: "{file}", format: proto, append: true, flush_interval: 100ms }} }}
service:
  telemetry: {{ metrics: {{ level: none }}, logs: {{ level: warn }} }}
  pipelines: {{ traces: {{ receivers: [otlp], exporters: [file] }} }}
"""


class Collector:
    def __init__(self, folder, name="collector"):
        self.grpc, self.http = free_port(), free_port()
        self.file, self.config = (os.path.join(folder, f"{name}.{end}") for end in ("otlp", "yaml"))
        self.log_path, self.process = os.path.join(folder, f"{name}.log"), None
        with open(self.config, "w") as f:
            f.write(CONFIG.format(grpc=self.grpc, http=self.http, file=self.file))
        self.program = programs.go_program("collector")

    def start(self):
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen([self.program, "--config", self.config], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while any(socket.socket().connect_ex(("127.0.0.1", p)) != 0 for p in (self.grpc, self.http)):
            with open(self.log_path) as log:
                assert time.monotonic() < deadline and self.process.poll() is None, log.read()
            time.sleep(0.05)
        return self

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)

    def spans(self):
        """The file has messages, each behind four bytes of length; the last one may still be on its way."""
        try:
            with open(self.file, "rb") as f:
                data = f.read()
        except FileNotFoundError:
            return []
        out, at = [], 0
        while at + 4 <= len(data) and at + 4 + int.from_bytes(data[at : at + 4], "big") <= len(data):
            size = int.from_bytes(data[at : at + 4], "big")
            out += otlp.spans_of(data[at + 4 : at + 4 + size])
            at += 4 + size
        return out


# The messages within a message, by field number.
ANY = {}
KEY_VALUE = {2: ANY}
ANY.update({5: {1: ANY}, 6: {1: KEY_VALUE}})
SPAN = {9: KEY_VALUE, 11: {3: KEY_VALUE}, 13: {4: KEY_VALUE}, 15: {}}


def meaning(message, inner):
    """Fields in the order of their numbers, without defaults: a Collector writes its own bytes."""
    out = []
    for n, v in otlp.fields(message):
        if n in inner:
            v = meaning(v, inner[n])
        if inner is ANY or n in inner or (v if isinstance(v, int) else v.strip(b"\0")):
            out.append((n, v))
    return tuple(f for f in sorted(out, key=lambda f: f[0]) if f != (15, ()))


def meanings(spans):
    return sorted(repr(meaning(s, SPAN)) for s in spans)


@pytest.fixture
def collectors(tmp_path):
    made = []

    def make(name="collector"):
        made.append(Collector(str(tmp_path), name))
        return made[-1]

    yield make
    for c in made:
        c.stop()


def send(relay, requests, spans=20):
    """Over HTTP from two callers; the acknowledged spans."""
    acked = []

    def caller():
        conn = http.client.HTTPConnection("127.0.0.1", relay.http, timeout=10)
        for _ in range(requests // 2):
            batch = [otlp.span(extra=otlp.attribute(9, "filler", "x" * 500)) for _ in range(spans)]
            conn.request("POST", "/v1/traces", otlp.request(*batch), {"Content-Type": "application/x-protobuf"})
            answer = conn.getresponse()
            answer.read()
            assert answer.status == 200
            acked.extend(batch)

    threads = [threading.Thread(target=caller) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(acked) == requests * spans
    return acked


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_every_span_arrives_at_a_collector(start, collectors, figure, protocol, compression):
    collector = collectors().start()
    port = collector.grpc if protocol == "grpc" else collector.http
    relay = start([exporter(port, protocol=protocol, compression=compression)])
    acked = send(relay, 400)
    relay.taps = {"grpc": Tap(relay.grpc)}
    run_client([programs.go_program("go"), "grpc", "60"], relay, "grpc")
    acked += [s[2] for s in relay.taps["grpc"].spans()]
    assert len(acked) == 8600
    relay.wait_until(lambda: len(collector.spans()) >= len(acked))
    assert meanings(s[2] for s in collector.spans()) == meanings(acked)
    relay.wait_until(lambda: relay.status()["exporters"][0]["sent"] == len(acked))
    check_ledger(relay.status())
    figure("to a Collector", f"{protocol}, {compression}", len(acked), "equal, field by field, in its file")


def test_a_backend_that_is_down_does_not_slow_the_other(start, collectors, figure):
    up, down = collectors("up").start(), collectors("down")
    relay = start([exporter(up.grpc, "up", "grpc"), exporter(down.http, "down")])
    by_name = lambda: {e["name"]: e for e in relay.status()["exporters"]}
    acked, seconds = [], {"one down": [], "both up": []}
    for phase in ("one down", "both up") * 2:
        down.stop() if phase == "one down" else down.start()
        relay.wait_until(lambda: phase == "one down" or by_name()["down"]["buffered"] == 0, 20)  # it catches up
        before, begin = by_name()["down"]["sent"], time.monotonic()
        acked += send(relay, 400)
        relay.wait_until(lambda: by_name()["up"]["sent"] == len(acked), 20)
        seconds[phase].append(time.monotonic() - begin)
        if phase == "one down":
            assert by_name()["down"]["sent"] == before and by_name()["down"]["buffered"] == len(acked) - before
            check_ledger(relay.status())
    relay.wait_until(lambda: by_name()["down"]["sent"] == len(acked), 20)
    alone, together = min(seconds["one down"]), min(seconds["both up"])
    assert alone < 1.3 * together + 0.3, seconds
    check_ledger(relay.status())
    for e in by_name().values():
        assert e["buffered"] == 0 and not any(e["dropped"].values()), e
    for collector in (up, down):
        relay.wait_until(lambda: len(collector.spans()) >= len(acked))
        assert meanings(s[2] for s in collector.spans()) == meanings(acked)
    figure("to two Collectors, one down twice", "grpc, http", len(acked),
           f"equal at both; {alone:.2f} s to the other while one was down, {together:.2f} s with both up")
