# SPDX-License-Identifier: Apache-2.0
"""Spans in bulk, and what `spanrelay buffer` and `spanrelay quarantine` say of them."""
import os
import re
import subprocess
import time

import otlp
import peers
from relay import BINARY


def exporter(backend, name="main", extra="compression: none"):
    grpc = isinstance(backend, peers.GrpcBackend)
    return (
        f"{{ name: {name}, protocol: {'grpc' if grpc else 'http/protobuf'}, linger: 10ms, {extra}, "
        f'retry: {{ initial: 50ms, max: 200ms }}, endpoint: "http://127.0.0.1:{backend.port}" }}'
    )


def batch(n=100, bytes_each=4000):
    """Spans that are long and compress badly."""
    extra = [os.urandom(bytes_each // 2).hex() for _ in range(n)]
    return [otlp.span(extra=otlp.attribute(9, "x", e)) for e in extra]


def send(relay, requests, spans=100, bytes_each=4000):
    """The spans of that many requests, all of them acknowledged: what is refused is sent again."""
    acked = []
    for _ in range(requests):
        these = batch(spans, bytes_each)
        relay.wait_until(lambda: peers.post(relay.http, otlp.request(*these))[0] == 200, seconds=5)
        acked += these
    return acked


def arrived(backend):
    return sorted(s[2] for s in backend.spans())


def run(relay, *args, data=None):
    """A command beside the relay, or after it."""
    command = [BINARY, *args, "--data-dir", data or relay.data, "--admin", f"127.0.0.1:{relay.admin}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def listed(relay):
    """{exporter: {place: (spans, requests)}}, and why each waits, of `buffer list`."""
    done = run(relay, "buffer", "list")
    assert done.returncode == 0, done
    places, why, name = {}, {}, None
    for line in done.stdout.splitlines()[1:]:
        found = re.match(r"(\S*) +(journal|outbox|quarantine) +([\d,]+) +([\d,]+) ", line)
        if found:
            name = found.group(1) or name
            spans, requests = (int(found.group(i).replace(",", "")) for i in (3, 4))
            places.setdefault(name, {})[found.group(2)] = (spans, requests)
        elif "waits:" in line:
            why[name] = line.split("waits:")[1].strip()
    return places, why


def verified(relay):
    """(spans, blocks and parcels, damaged) of `buffer verify`, and its exit code."""
    done = run(relay, "buffer", "verify")
    found = re.search(r"([\d,]+) spans in ([\d,]+) blocks and parcels, [^:]+: ([\d,]+) damaged", done.stdout)
    return tuple(int(found.group(i).replace(",", "")) for i in (1, 2, 3)), done.returncode


def exported(relay, what, folder):
    """All spans that `buffer export` or `quarantine export` writes."""
    done = run(relay, what, "export", str(folder))
    assert done.returncode == 0, done
    spans = []
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as f:
            spans += [s[2] for s in otlp.spans_of(f.read())]
    return sorted(spans)


def wait_spilled(relay, name="main"):
    """The outbox has what it gets for now: also what was on its way when that was decided."""
    held = []

    def is_settled():
        e = relay.exporter(name)
        held.append(e["outbox"] if not e["spilling"] else 0)
        time.sleep(0.05)
        return len(held) >= 8 and held[-1] > 0 and len(set(held[-8:])) == 1

    relay.wait_until(is_settled, seconds=5)


def wait_drained(relay, name="main"):
    relay.wait_until(lambda: relay.exporter(name)["buffered"] == 0, seconds=10)
    relay.wait_until(lambda: not relay.files("outbox", name), seconds=5)
