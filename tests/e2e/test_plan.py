# SPDX-License-Identifier: Apache-2.0
"""`spanrelay plan` says what another configuration would keep of the traffic that a relay recorded, and a relay
with that configuration then does."""
import json
import os
import random
import subprocess
import time

import pytest

import disks
import otlp
from relay import BINARY
from test_sampling import Trace, send, settled

RULES = """
sampling:
  wait: 2s
  root_wait: 100ms
  trace_spans: 10
  {recent}
  rules:
    - {{ name: errors, when: "any(span.error)", keep: 100%{protected} }}
    {more}
    - {{ name: rest, keep: {rest} }}
"""
BUDGET = "budgets:\n  - { name: total, spans_per_second: 150, burst: 500ms, reserve: 20% }\n"
TRACES = 4000


def rules(rest="20%", more="", budgets="", recent="recent: 16MiB"):
    protected = ", protected: true" if budgets else ""
    return RULES.format(rest=rest, more=more, recent=recent, protected=protected) + budgets


def traffic(n=TRACES):
    """Of sixty kinds, each with its randomness spread evenly, so that what a share keeps is no matter of luck."""
    golden = 0.6180339887498949
    return [
        Trace(
            error=i % 20 == 0,
            path=("/", "/cart", "/search")[i % 3],
            children=i % 4,
            randomness=int((i // 60 * golden + i % 60 / 60) % 1 * 2**56),
        )
        for i in range(n)
    ]


def spans_of(traces):
    return [s for t in traces for s in t.spans()]


def plan(config, relay, *args, code=0):
    run = subprocess.run(
        [BINARY, "plan", "-c", config, "--data-dir", relay.data, *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )
    assert run.returncode == code, run.stdout + run.stderr
    assert "Sanitizer" not in run.stderr, run.stderr
    return json.loads(run.stdout) if "--json" in args else run.stdout + run.stderr


def candidate(relay, extra):
    """The relay's configuration with other rules, as a file of its own."""
    path = os.path.join(relay.folder, "candidate.yaml")
    with open(path, "w") as f:
        f.write(extra)
    return path


def wait_recorded(relay, traces):
    relay.wait_until(lambda: relay.metric("spanrelay_recent_traces_total") >= traces)
    time.sleep(2.5)  # and the last part is written


def recorded(start):
    """A relay that has recorded the traffic."""
    relay = start(extra=rules())
    send(relay, spans_of(traffic()))
    settled(relay)
    wait_recorded(relay, TRACES / 4)  # all, where sending takes a second
    return relay


def kept_by(start, name, extra):
    """Of the same traffic by a relay with that configuration."""
    relay = start(extra=extra, name=name)
    before = relay.status()["ledger"]["judged"]["kept"]
    send(relay, spans_of(traffic()))
    kept = settled(relay)["judged"]["kept"] - before
    assert relay.stop() == 0
    return kept


def near(predicted, real, part=0.05):
    print(f"predicted {predicted:g}, real {real:g}: {100 * (predicted / real - 1):+.2f} %")
    assert abs(predicted / real - 1) < part, (predicted, real)


def test_another_share_and_a_new_rule(start):
    relay = recorded(start)
    share = rules(rest="60%")
    new_rule = rules(more="- { name: carts, when: 'root.url.path == \"/cart\"', keep: 0 }")
    by_share = plan(candidate(relay, share), relay, "--json")  # beside the running relay
    kept = relay.status()["ledger"]["judged"]["kept"]
    assert by_share["now"]["offered"]["spans"] == len(spans_of(traffic()))
    assert by_share["now"]["kept"]["spans"] == kept
    assert by_share["recorded_share"] > 0.2
    assert relay.stop() == 0
    by_rule = plan(candidate(relay, new_rule), relay, "--json")  # and when it has ended
    moves = {(m["from"], m["to"]): m for m in by_rule["moves"]}
    carts = moves["rest", "carts"]
    near(carts["newly_dropped"]["spans"], 0.2 * carts["offered"]["spans"], 0.02)
    assert carts["newly_kept"]["spans"] == 0 and ("errors", "carts") not in moves
    near(by_share["planned"]["kept"]["spans"], kept_by(start, "share", share))
    near(by_rule["planned"]["kept"]["spans"], kept_by(start, "rule", new_rule))


def steady(relay, traces, per_second, seconds):
    """Sends evenly; gives the account of each second."""
    begun, ledgers, sent = time.monotonic(), [], 0
    while sent < per_second * seconds:
        due = int((time.monotonic() - begun) * per_second)
        send(relay, spans_of(traces[sent:due]))
        sent = due
        if len(ledgers) <= time.monotonic() - begun:
            ledgers.append(relay.status()["ledger"])
        time.sleep(0.05)
    return ledgers


def test_a_budget(start):
    relay = start(extra=rules(rest="100%"))
    steady(relay, traffic(3200), 200, 15)
    settled(relay)
    wait_recorded(relay, 2900)
    extra = rules(rest="100%", budgets=BUDGET)
    planned = plan(candidate(relay, extra), relay, "--json")
    assert relay.stop() == 0
    again = start(extra=extra, name="again")
    ledgers = steady(again, traffic(4200), 200, 20)
    first, last = ledgers[5], ledgers[-1]
    real = (last["judged"]["kept"] - first["judged"]["kept"]) / (last["accepted"] - first["accepted"])
    near(planned["planned"]["kept_share"], real)
    total = planned["budgets"][0]["spans"]
    assert total["goal_per_second"] == 150 and 300 < total["offered_per_second"] < 550
    errors = next(r for r in planned["rules"] if r["name"] == "errors")
    assert errors["planned"]["kept_share"] > 0.99  # protected


def test_a_recording_survives_a_kill(start):
    relay = start(extra=rules())
    traces = traffic(600)
    send(relay, spans_of(traces[:300]))
    wait_recorded(relay, 300)
    relay.kill()
    same = candidate(relay, rules())
    assert plan(same, relay, "--json")["recorded_traces"] == 300
    again = start(extra=rules(), name="again")
    send(again, spans_of(traces[300:]))
    wait_recorded(again, 300)
    assert plan(same, again, "--json")["recorded_traces"] == 600
    again.stop()
    files = [os.path.join(relay.data, "recent", f) for f in relay.files("recent", "")]
    assert len(files) == 2
    with open(files[0], "r+b") as f:
        f.seek(4096)
        f.write(os.urandom(4096 * 4))
    assert "damaged" in plan(same, again, code=65)
    third = start(extra=rules(), name="third")  # sets it aside
    assert plan(same, third, "--json")["recorded_traces"] == 300
    assert any(".bad-" in f for f in os.listdir(os.path.join(relay.data, "recent")))


def test_the_ring_has_a_limit(start):
    relay = start(extra=rules(recent="recent: 8MiB") + "journal: { limit: 256MiB }\n")
    for _ in range(40):
        junk = [os.urandom(500).hex() for _ in range(20)]
        traces = [Trace(children=0) for _ in range(200)]
        for t in traces:
            t.root += otlp.attribute(9, "junk", random.choice(junk) + os.urandom(1500).hex())
        send(relay, spans_of(traces))
    settled(relay)
    time.sleep(2.5)
    planned = plan(candidate(relay, rules()), relay, "--json")
    assert 50 < planned["recorded_traces"] < 8000 and planned["recorded_share"] < 1
    assert planned["now"]["offered"]["traces"] == 8000
    near(planned["planned"]["kept"]["traces"], 1600, 0.1)
    assert relay.metric("spanrelay_recent_bytes") <= 8 << 20
    assert sum(os.stat(os.path.join(relay.data, "recent", f)).st_blocks * 512 for f in relay.files("recent", "")) <= 8 << 20


@pytest.fixture
def disk(tmp_path):
    d = disks.Disk("ext4", str(tmp_path), 128)
    yield d
    d.close()


def test_a_full_disk_only_stops_the_recording(start, disk):
    relay = start(extra=rules())
    disk.fill()
    send(relay, spans_of(traffic(600)))
    relay.wait_until(lambda: relay.metric("spanrelay_recent_lost_parts_total") >= 1)
    assert settled(relay)["judged"]["damaged"] == 0 and "the disk is full" in relay.text()
    disk.free()
    send(relay, spans_of(traffic(600)))
    settled(relay)
    time.sleep(2.5)
    assert plan(candidate(relay, rules()), relay, "--json")["recorded_traces"] == 600


def test_nothing_is_recorded_where_it_is_off(start):
    relay = start(extra=rules(recent="recent: 0"))
    send(relay, spans_of(traffic(100)))
    settled(relay)
    assert not os.path.exists(os.path.join(relay.data, "recent"))
    assert "nothing is recorded" in plan(candidate(relay, rules()), relay, code=66)


def test_a_wrong_candidate_is_told_as_by_check(start):
    relay = start(extra=rules())
    wrong = candidate(relay, rules().replace("any(span.error)", "any(span.errr == )"))
    check = subprocess.run([BINARY, "check", "-c", wrong], capture_output=True, text=True, check=False)
    assert plan(wrong, relay, code=78).strip() in check.stdout + check.stderr


def test_prices(start):
    relay = start(extra=rules())
    send(relay, spans_of(traffic(100)))
    wait_recorded(relay, 100)
    same = candidate(relay, rules(rest="0"))
    text = plan(same, relay, "--price-per-million-spans", "2", "--price-per-gb", "0.5")
    assert "MONEY/MON" in text and "change" in text
    planned = plan(same, relay, "--json", "--price-per-million-spans", "2")
    month = planned["planned"]["kept_per_month"]["spans"]
    assert abs(planned["planned"]["money_per_month"] - 2 * month / 1e6) < 1e-6 * month
    assert "wants a number" in plan(same, relay, "--price-per-gb", "much", code=64)
