# SPDX-License-Identifier: Apache-2.0
"""Another configuration takes over while everything goes on: no connection closes, no span is lost, no trace is
cut in two, and a faulty file changes nothing."""
import json
import os
import re
import signal
import subprocess
import time

import otlp
import peers
import pytest
from relay import BINARY, check_ledger

RULES = """
sampling:
  wait: {wait}
  root_wait: 200ms
  rules:
    - {{ name: loud, when: 'root.name == "loud"', keep: {loud} }}
    - {{ name: rest, keep: {rest} }}
"""


def rules(loud="100%", rest="100%", wait="1s", more=""):
    return RULES.format(loud=loud, rest=rest, wait=wait) + more


def rewrite(relay, *changes):
    with open(relay.config) as f:
        text = f.read()
    for before, after in changes:
        assert before in text, (before, text)
        text = text.replace(before, after)
    with open(relay.config + ".new", "w") as f:
        f.write(text)
    os.rename(relay.config + ".new", relay.config)


def reload(relay, *args, code=0):
    done = subprocess.run(
        [BINARY, "reload", "--admin", f"127.0.0.1:{relay.admin}", *args], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code, (done, relay.text()[-3000:])
    return done.stdout + done.stderr


def trace(name, children=2):
    """(root, children), each a span."""
    trace_id, root_id = os.urandom(16), os.urandom(8)
    root = otlp.span(name, trace_id=trace_id, span_id=root_id)
    return root, [otlp.span("child", trace_id=trace_id, extra=otlp.field(4, root_id)) for _ in range(children)]


def send(relay, *spans):
    assert peers.post(relay.http, otlp.request(*spans))[0] == 200


def names(backend):
    return sorted(dict(otlp.fields(s))[5].decode() for _, _, s in backend.spans())


def settled(relay, seconds=10):
    relay.wait_until(
        lambda: relay.status()["ledger"]["pending"] == 0
        and all(e["buffered"] == 0 for e in relay.status()["exporters"]),
        seconds=seconds,
    )
    status = relay.status()
    check_ledger(status)
    return status


def test_rules_change_and_say_so(start, backend):
    relay = start(rules(loud="0"))
    root, children = trace("loud")
    send(relay, root, *children)
    assert settled(relay)["ledger"]["judged"]["rule"] == 3
    rewrite(relay, ("keep: 0", "keep: 100%"))
    told = reload(relay, "--dry-run")
    assert "sampling.rules[loud].keep: 0% -> 100%" in told and "nothing was done" in told
    assert relay.status()["configuration"]["generation"] == 1
    assert "sampling.rules[loud].keep: 0% -> 100%" in reload(relay)
    assert relay.status()["configuration"]["generation"] == 2
    root, children = trace("loud")
    send(relay, root, *children)
    assert settled(relay)["ledger"]["judged"] == {**settled(relay)["ledger"]["judged"], "kept": 3, "rule": 3}
    assert names(backend) == ["child", "child", "loud"]
    assert "nothing has changed" in reload(relay)


def test_a_faulty_file_changes_nothing(start, backend):
    relay = start(rules())
    rewrite(relay, ("keep: 100%", "keep: 100 apples"))
    told = reload(relay, code=78)
    assert re.search(r"relay.yaml:\d+:\d+: sampling.rules\[\].keep", told), told
    assert 'msg="configuration" finding="' in relay.text()
    relay.process.send_signal(signal.SIGHUP)
    relay.wait_for('msg="reload" result=invalid', 2)
    assert relay.status()["configuration"]["generation"] == 1
    send(relay, *trace("loud")[1])
    settled(relay)
