# SPDX-License-Identifier: Apache-2.0
"""A relay, a Collector with its redaction processor, a relay: what came out of the first two, the third leaves alone,
whatever they made of it. CHAIN says how many values go through."""
import http.client
import json
import os
import random
import re
import sys

import otlp
import peers
import pytest
from conftest import HERE, exporter
from relay import Relay
from test_collector import Collector, meanings

sys.path.insert(0, os.path.join(HERE, "../redaction"))
import clean  # noqa: E402
import shapes  # noqa: E402

VALUES = int(os.environ.get("CHAIN", "100000"))
OF_A_SPAN, OF_A_REQUEST = 20, 200
REDACTION = """
redaction: { mask: %s }
journal: { limit: 512MiB }
"""
# Its expressions are RE2; what it finds becomes four stars.
BLOCKED = [
    "(AKIA|ASIA)[A-Z2-7]{16}", "gh[pousr]_[A-Za-z0-9]{36}", "xox[abprs]-[A-Za-z0-9-]{10,}",
    "(sk|rk)_(live|test)_[A-Za-z0-9]{16,}", "eyJ[A-Za-z0-9_-]{8,}\\.eyJ[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]+",
    "(?i)bearer [A-Za-z0-9._~+/=-]{8,}", "(?i)(password|passwd|pwd)[\"']?\\s*[:=]\\s*[\"']?[^\\s\"'&]{4,}",
    "(?i)token[\"']?\\s*[:=]\\s*[\"']?[^\\s\"'&]{8,}", "://[^/\\s:@]+:[^/\\s@]+@",
    "[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,}", "\\b[3-6][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}\\b",
]


def values(n):
    """(key, text), half of them with a secret in it, in an order that mixes them."""
    all_of_them = [("note", item["value"]) for item in shapes.items(n // 2)]
    for _, some in clean.batches(n - n // 2):
        all_of_them += some
    random.Random(7).shuffle(all_of_them)
    return all_of_them[:n]


def spans():
    all_values = values(VALUES)
    for at in range(0, len(all_values), OF_A_SPAN):
        some = all_values[at : at + OF_A_SPAN]
        # A Collector keeps one attribute of a key.
        yield otlp.span(extra=b"".join(otlp.attribute(9, f"{i}.{k}", v) for i, (k, v) in enumerate(some)))


def send(port):
    conn, batch, sent = http.client.HTTPConnection("127.0.0.1", port, timeout=30), [], 0

    def post():
        conn.request("POST", "/v1/traces", otlp.request(*batch), {"Content-Type": "application/x-protobuf"})
        answer = conn.getresponse()
        answer.read()
        assert answer.status == 200
        return len(batch)

    for s in spans():
        batch.append(s)
        if len(batch) == OF_A_REQUEST:
            sent += post()
            batch = []
    return sent + (post() if batch else 0)


def configure(collector, port):
    """Beside its file it gets a second exporter, and before both the processor."""
    with open(collector.config) as f:
        text = f.read()
    rules = json.dumps({"redaction": {"allow_all_keys": True, "summary": "silent", "blocked_values": BLOCKED}})
    text = text.replace("exporters: { file:", f'exporters: {{ otlp_grpc: {{ endpoint: "127.0.0.1:{port}", tls: {{ insecure: true }} }}, file:')
    text = text.replace("exporters: [file]", "processors: [redaction], exporters: [file, otlp_grpc]")
    with open(collector.config, "w") as f:
        f.write(f"processors: {rules}\n{text}")


def redacted(relay):
    return int(re.search(r"^spanrelay_redacted_spans_total (\d+)", relay.get("/metrics")[1], re.M)[1])


@pytest.mark.parametrize("mask", ["keep_length", "typed"])
def test_the_last_of_a_chain_finds_nothing(tmp_path, figure, mask):
    backend, collector = peers.HttpBackend(), Collector(str(tmp_path))
    folders = [tmp_path / name for name in ("first", "last")]
    for f in folders:
        f.mkdir()
    last = Relay(str(folders[1]), [exporter(backend.port)], REDACTION % mask)
    configure(collector, last.grpc)
    collector.start()
    # As large as what came in: where secrets stand this close, the work for one request ends before a large one does.
    small = exporter(collector.grpc, protocol="grpc").replace("linger:", "request: 256KiB, linger:")
    first = Relay(str(folders[0]), [small], REDACTION % mask)
    try:
        sent = send(first.http)
        last.wait_until(lambda: last.status()["exporters"][0]["sent"] >= sent, 300)
        assert redacted(first) > sent / 2
        assert redacted(last) == 0
        assert meanings(s[2] for s in backend.spans()) == meanings(s[2] for s in collector.spans())
        figure("behind a Collector's redaction", f"grpc, {mask}", sent, f"{VALUES} values, none changed again")
    finally:
        codes = [first.stop(), last.stop()]
        collector.stop()
        backend.close()
    assert codes == [0, 0]
