# SPDX-License-Identifier: Apache-2.0
"""Another configuration takes over while everything goes on: no connection closes, no span is lost, no trace is
cut in two, and a faulty file changes nothing."""
import json
import os
import re
import signal
import subprocess
import time

import buffer
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


def exporter(port, name="main", more=""):
    return (
        f"{{ name: {name}, protocol: http/protobuf, linger: 10ms, retry: {{ initial: 50ms, max: 200ms }}, "
        f'endpoint: "http://127.0.0.1:{port}"{more} }}'
    )


def test_what_takes_a_restart_is_told_and_the_rest_is_applied(start, backend):
    relay = start("journal: { limit: 64MiB }\nlimits: { spans: 100 }\n")
    rewrite(relay, ("limit: 64MiB", "limit: 128MiB"), ("spans: 100", "spans: 2"))
    told = reload(relay)
    assert "needs a restart: journal.limit: 64MiB -> 128MiB" in told and "limits.spans: 100 -> 2" in told
    spans = trace("loud")
    assert peers.post(relay.http, otlp.request(spans[0], *spans[1]))[0] == 400
    assert relay.metric("spanrelay_journal_limit_bytes") == 64 << 20
    assert "needs a restart: journal.limit" in reload(relay)  # as long as it does


def test_open_traces_are_judged_once_whole_and_by_the_new_rules(start, backend):
    """Some of their spans came before the reload, some after it."""
    relay = start(rules(loud="100%", rest="0", wait="8s"))
    traces = [trace("loud" if i % 2 else "calm", children=4) for i in range(40)]
    send(relay, *[s for _, children in traces for s in children[:2]])
    relay.wait_until(lambda: relay.status()["sampling"]["traces"] == 40)
    rewrite(relay, ("keep: 100%", "keep: 0"), ("rest, keep: 0", "rest, keep: 100%"))
    reload(relay)
    send(relay, *[s for root, children in traces for s in [root, *children[2:]]])
    ledger = settled(relay)["ledger"]
    assert ledger["judged"]["kept"] == 100 and ledger["judged"]["rule"] == 100
    assert names(backend) == ["calm"] * 20 + ["child"] * 80


def test_late_spans_follow_what_was_decided_before(start, backend):
    relay = start(rules(rest="0"))
    kept, kept_late = trace("loud")
    dropped, dropped_late = trace("calm")
    send(relay, kept, dropped)
    settled(relay)
    rewrite(relay, ("- { name: loud", "- { name: new, when: 'root.name == \"else\"', keep: 0 }\n    - { name: loud"))
    assert "sampling.rules[new]: added" in reload(relay)
    send(relay, *kept_late, *dropped_late)
    assert settled(relay)["ledger"]["judged"]["late"] == 2
    assert names(backend) == ["child", "child", "loud"]


def test_judging_is_turned_on_and_off(start, backend):
    relay = start()
    send(relay, trace("calm")[0])
    settled(relay)
    with open(relay.config) as f:
        plain = f.read()
    rewrite(relay, ("exporters:", rules(rest="0") + "\nexporters:"))
    reload(relay)
    send(relay, trace("calm")[0], trace("loud")[0])
    assert settled(relay)["ledger"]["judged"]["rule"] == 1
    with open(relay.config, "w") as f:
        f.write(plain)
    assert "sampling.rules[rest]: removed" in reload(relay)
    send(relay, trace("calm")[0])
    settled(relay)
    assert names(backend) == ["calm", "calm", "loud"]


def test_budgets_go_on_where_they_were(start, backend):
    """What is used of the month is not given again, and a bucket that is empty stays so."""
    budget = "\nbudgets: [{ name: month, spans_per_month: 100, month_policy: cap, burst: 2s }]\n"
    relay = start("sampling: { wait: 300ms, root_wait: 100ms, trace_spans: 10 }" + budget)
    for _ in range(8):
        send(relay, *[trace("calm")[0] for _ in range(10)])
    assert settled(relay)["ledger"]["judged"]["kept"] == 80
    for goal in (90, 95, 100, 105):
        rewrite(relay, (re.search("spans_per_month: ([0-9]+)", open(relay.config).read())[0], f"spans_per_month: {goal}"))
        reload(relay)
    used = next(b for b in relay.status()["sampling"]["budgets"] if b["name"] == "month")["spans"]["month_used"]
    assert used == 80
    for _ in range(8):
        send(relay, *[trace("calm")[0] for _ in range(10)])
    kept = settled(relay)["ledger"]["judged"]["kept"]
    assert 95 <= kept <= 105


def test_secrets_are_found_by_the_new_rules_and_counts_go_on(start, backend):
    relay = start("redaction: { packs: [], keys: { block: [password] } }\n")
    secret = otlp.span(extra=otlp.attribute(9, "password", "hunter22") + otlp.attribute(9, "pin", "12345678"))
    send(relay, secret)
    settled(relay)
    assert b"hunter22" not in backend.bodies[0] and b"12345678" in backend.bodies[0]
    count = 'spanrelay_redactions_total{rule="keys.block",position="span_attribute"}'
    names_of = [line for line in relay.get("/metrics")[1].splitlines() if line.startswith("spanrelay_redactions_total")]
    count = names_of[0].rsplit(" ", 1)[0]
    assert relay.metric(count) == 1
    rewrite(relay, ("block: [password]", "block: [password, pin]"))
    assert "redaction.keys.block: changed" in reload(relay)
    assert relay.metric(count) == 1
    send(relay, secret)
    settled(relay)
    assert b"12345678" not in backend.bodies[1]
    assert relay.metric(count) == 3


def test_connections_stay(start, backend):
    """A client's, with a request half sent, and those to a backend that did not change."""
    relay = start(rules())
    client = peers.Http2(relay.grpc)
    body = peers.grpc_message(otlp.request(trace("loud")[0]))
    stream = client.start(body[:20], end=False, te="trailers")
    send(relay, trace("loud")[0])
    settled(relay)
    connects = relay.metric('spanrelay_exporter_connects_total{exporter="main"}')
    for loud in ("90%", "80%"):
        rewrite(relay, (re.search('"loud"\', keep: [0-9]+%', open(relay.config).read())[0], f'"loud"\', keep: {loud}'))
        reload(relay)
    client.send(stream, body[20:])
    assert client.wait(stream)[2]["grpc-status"] == "0"
    assert client.request(body, te="trailers")[2]["grpc-status"] == "0"
    settled(relay)
    client.close()
    assert relay.metric('spanrelay_exporter_connects_total{exporter="main"}') == connects


def test_headers_and_times_change_in_place(start, backend):
    relay = start(exporters=[exporter(backend.port, more=", headers: { x-team: red }")])
    send(relay, trace("calm")[0])
    settled(relay)
    rewrite(relay, ("x-team: red", "x-team: blue"), ("linger: 10ms", "linger: 20ms, timeout: 3s, concurrency: 9"))
    told = reload(relay)
    assert "exporters[main].headers: changed" in told and "blue" not in told + relay.text()
    send(relay, trace("calm")[0])
    settled(relay)
    assert [h["x-team"] for h in backend.headers] == ["red", "blue"]
    assert relay.metric('spanrelay_exporter_connects_total{exporter="main"}') == 1


def test_an_exporter_goes_another_way_without_sending_twice(start, backend):
    """Requests in flight end where they began; what waits goes to the new place."""
    other = peers.HttpBackend()
    slow = peers.HttpBackend(answer=lambda n: (time.sleep(1), (200, {}))[1])
    relay = start(exporters=[exporter(slow.port, more=", concurrency: 1")])
    send(relay, trace("calm")[0])
    relay.wait_until(lambda: relay.metric('spanrelay_exporter_inflight_requests{exporter="main"}') == 1)
    send(relay, trace("loud")[0])
    rewrite(relay, (f":{slow.port}", f":{other.port}"), ("concurrency: 1", "compression: none"))
    reload(relay)
    settled(relay)
    assert names(slow) == ["calm"] and names(other) == ["loud"]
    slow.close()
    other.close()


def test_exporters_come_and_go(start, backend):
    other = peers.HttpBackend()
    relay = start(exporters=[exporter(backend.port)])
    send(relay, trace("calm")[0])
    settled(relay)
    rewrite(relay, ("exporters:\n", f"exporters:\n  - {exporter(other.port, 'b')}\n"))
    assert "exporters[b]: added" in reload(relay)
    send(relay, trace("loud")[0])
    settled(relay)
    assert names(backend) == ["calm", "loud"]
    assert names(other)[-1] == "loud"  # it may have had what was still held
    rewrite(relay, (f"  - {exporter(backend.port)}\n", ""))
    assert "exporters[main]: removed" in reload(relay)
    send(relay, trace("late")[0])
    status = settled(relay)
    assert [e["name"] for e in status["exporters"]] == ["b"]
    assert [e["name"] for e in status["removed_exporters"]] == ["main"]
    assert names(other)[-2:] == ["late", "loud"] and names(backend) == ["calm", "loud"]
    rewrite(relay, ("exporters:\n", f"exporters:\n  - {exporter(backend.port)}\n"))
    reload(relay)
    send(relay, trace("back")[0])
    settled(relay)
    assert {"back", "calm", "loud"} <= set(names(backend))
    other.close()


def test_another_name_for_an_exporter_loses_nothing(start, backend):
    down = peers.HttpBackend(answer=lambda n: (503, {}))
    relay = start(exporters=[exporter(down.port)])
    send(relay, *[trace("calm")[0] for _ in range(50)])
    rewrite(relay, (exporter(down.port), exporter(backend.port, "renamed")))
    reload(relay)
    status = settled(relay)
    assert names(backend) == ["calm"] * 50
    assert status["removed_exporters"][0]["dropped"]["exporter_removed"] == 50
    down.close()


def test_a_thousand_sighups_end_on_the_last_value(start, backend):
    relay = start(rules())
    for i in range(1000):
        if i % 100 == 0:
            rewrite(relay, (re.search("wait: ([0-9]+)s", open(relay.config).read())[0], f"wait: {2 + i // 100}s"))
        relay.process.send_signal(signal.SIGHUP)
    relay.wait_for(r'change="sampling.wait: \w+ -> 11s"')
    relay.wait_until(lambda: "-> 11s" in relay.text())
    reloads = relay.status()["configuration"]["reloads"]
    assert reloads["applied"] <= 10 and sum(reloads.values()) < 1000


def test_a_sighup_in_mid_reload_is_not_lost(start, backend):
    """To compile the rules takes half a second; the file changes again meanwhile."""
    relay = start("redaction: { packs: [] }\nsampling: { wait: 20s }\n")
    rewrite(relay, ("packs: []", "packs: [secrets]"))
    relay.process.send_signal(signal.SIGHUP)
    time.sleep(0.1)
    rewrite(relay, ("wait: 20s", "wait: 21s"))
    relay.process.send_signal(signal.SIGHUP)
    relay.wait_for('change="sampling.wait: 20s -> 21s"')
    assert relay.process.poll() is None


def test_a_worker_that_starts_takes_the_file_as_it_is_then(start, backend):
    relay = start(rules())
    rewrite(relay, ("wait: 1s", "wait: 5s"))
    worker = relay.worker_pid()
    os.kill(worker, signal.SIGKILL)
    relay.process.send_signal(signal.SIGHUP)
    relay.wait_ready(2)
    time.sleep(0.3)
    relay.wait_until(lambda: "nothing has changed" in reload(relay))
    assert relay.worker_pid() != worker


def test_a_wrong_endpoint_is_mended_and_the_backlog_drains(start, backend):
    """At three in the morning: what went to the outbox meanwhile comes out of it, each span once."""
    with peers.socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        nobody = s.getsockname()[1]
    down = exporter(nobody)
    relay = start("journal: { limit: 16MiB }\noutbox: { limit: 64MiB }\n", exporters=[down])
    acked = buffer.send(relay, 40)
    buffer.wait_spilled(relay)
    rewrite(relay, (down, exporter(backend.port)))
    assert f"endpoint: http://127.0.0.1:{nobody} -> http://127.0.0.1:{backend.port}" in reload(relay)
    buffer.wait_drained(relay)
    assert buffer.arrived(backend) == sorted(acked)
    check_ledger(relay.status())


def test_an_exporter_that_comes_back_finds_its_outbox(start, backend):
    away = peers.HttpBackend(answer=lambda n: (503, {}))
    two = [exporter(away.port), exporter(backend.port, "b")]
    relay = start("journal: { limit: 16MiB }\noutbox: { limit: 64MiB }\n", exporters=two)
    acked = buffer.send(relay, 40)
    buffer.wait_spilled(relay)
    rewrite(relay, (f"  - {two[0]}\n", ""))
    reload(relay)
    boxed = len(relay.files("outbox"))
    assert boxed and relay.status()["removed_exporters"][0]["dropped"]["exporter_removed"] == len(acked)
    away.answer = lambda n: (200, {})
    rewrite(relay, ("exporters:\n", f"exporters:\n  - {two[0]}\n"))
    reload(relay)
    settled(relay, 30)
    assert set(buffer.arrived(away)) <= set(acked) and len(buffer.arrived(away)) > len(acked) // 2
    assert relay.files("outbox") == [] or relay.exporter()["outbox"] == 0
    away.close()


def test_a_mended_credential_is_tried_at_once(start, backend):
    backend.answer = lambda n: (401, {})
    relay = start(exporters=[exporter(backend.port, more=", headers: { x-key: bad }").replace("max: 200ms", "max: 60s")])
    send(relay, trace("calm")[0])
    relay.wait_until(lambda: relay.exporter()["state"] == "held_auth")
    backend.answer = lambda n: (200, {})
    rewrite(relay, ("x-key: bad", "x-key: good"))
    begun = time.monotonic()
    reload(relay)
    settled(relay, 5)
    assert time.monotonic() - begun < 3 and backend.headers[-1]["x-key"] == "good"


def test_a_new_deadline_binds_the_keeper_too(start, backend):
    """Else it would kill a worker that only does what the new file allows."""
    relay = start("shutdown: { deadline: 100ms }\n")
    rewrite(relay, ("deadline: 100ms", "deadline: 20s"))
    reload(relay)
    client = peers.Http2(relay.grpc)
    body = peers.grpc_message(otlp.request(trace("calm")[0]))
    client.start(body[:20], end=False, te="trailers")
    relay.process.send_signal(signal.SIGTERM)
    time.sleep(5.5)
    assert relay.process.poll() is None
    client.close()
    assert relay.process.wait(20) == 0 and "is killed" not in relay.text()


def test_a_stop_in_mid_reload_is_a_stop(start, backend):
    relay = start("redaction: { packs: [] }\n")
    send(relay, trace("calm")[0])
    rewrite(relay, ("packs: []", "packs: [secrets, secrets-context]"))
    relay.process.send_signal(signal.SIGHUP)
    time.sleep(0.1)
    assert relay.stop() == 0
    assert names(backend) == ["calm"]


def test_a_kill_in_mid_reload_loses_nothing(start, backend):
    relay = start(rules(wait="5s"))
    traces = [trace("loud") for _ in range(20)]
    for i in range(5):
        send(relay, *[s for root, children in traces[4 * i : 4 * i + 4] for s in children])
        rewrite(relay, (re.search("rest, keep: [0-9]+%", open(relay.config).read())[0], f"rest, keep: {90 - i}%"))
        relay.process.send_signal(signal.SIGHUP)
        time.sleep(0.003 * i)
        os.kill(relay.worker_pid(), signal.SIGKILL)
        relay.wait_ready(i + 2)
    send(relay, *[root for root, _ in traces])
    settled(relay, 20)
    assert names(backend) == ["child"] * 40 + ["loud"] * 20


def test_what_came_out_of_the_environment_is_still_there(start, backend):
    """It was wiped there when it was first read."""
    env = {**os.environ, "TOKEN_A": "alpha-secret-token", "TOKEN_B": "bravo-secret-token"}
    headers = ', headers: { authorization: "Bearer ${env:TOKEN_A}" }'
    relay = start(rules(), exporters=[exporter(backend.port, more=headers)], env=env)
    rewrite(relay, ("wait: 1s", "wait: 700ms"), ("linger: 10ms", "linger: 20ms"))
    reload(relay)
    send(relay, trace("loud")[0])
    settled(relay)
    assert backend.headers[-1]["authorization"] == "Bearer alpha-secret-token"
    rewrite(relay, ("TOKEN_A", "TOKEN_C"), ("wait: 700ms", "wait: 900ms"))
    told = reload(relay, code=78)
    assert "TOKEN_C is not known to the running relay" in told
    send(relay, trace("loud")[0])
    settled(relay)
    assert backend.headers[-1]["authorization"] == "Bearer alpha-secret-token"
    rewrite(relay, ("TOKEN_C", "TOKEN_B"))
    told += reload(relay)
    relay.wait_for("state=canary")
    for _ in range(2):
        send(relay, trace("loud")[0])
        settled(relay)
    assert backend.headers[-1]["authorization"] == "Bearer bravo-secret-token"
    assert "secret-token" not in told + relay.text() + relay.get("/status")[1]
    os.kill(relay.worker_pid(), signal.SIGKILL)  # the keeper has it for the next one
    relay.wait_ready(2)
    for pid in (relay.process.pid, relay.worker_pid()):
        with open(f"/proc/{pid}/environ", "rb") as f:
            assert b"secret-token" not in f.read()
    send(relay, trace("loud")[0])
    settled(relay)
    assert backend.headers[-1]["authorization"] == "Bearer bravo-secret-token"
