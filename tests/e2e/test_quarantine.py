# SPDX-License-Identifier: Apache-2.0
"""A few spans that the backend calls bad: they are found, kept apart, and do not hold up the rest."""
import re

import pytest

import buffer
import otlp
import peers
from relay import check_ledger

BAD = [f"poisoned-{i}" for i in range(3)]
MARKS = tuple(name.encode() for name in BAD)


@pytest.fixture(params=[peers.HttpBackend, peers.GrpcBackend], ids=["http", "grpc"])
def judge(request):
    b = request.param(bad=MARKS)
    yield b
    b.close()


def thousand():
    """(all, bad ones), the bad ones somewhere in the middle."""
    spans = [otlp.span() for _ in range(997)]
    bad = [otlp.span(name=name) for name in BAD]
    for place, span in zip((100, 480, 900), bad):
        spans.insert(place, span)
    return spans, bad


def send(relay, spans):
    assert peers.post(relay.http, otlp.request(*spans))[0] == 200


def start_with(start, judge, name="relay", extra=""):
    relay = start(extra=extra, exporters=[buffer.exporter(judge, extra="compression: gzip")], name=name)
    return relay


def quarantined(start, judge):
    relay = start_with(start, judge)
    spans, bad = thousand()
    send(relay, spans)
    relay.wait_until(lambda: relay.exporter()["quarantine"] == 3, seconds=4)
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0, seconds=2)
    return relay, spans, bad


def test_bad_spans_are_found_and_kept_apart(start, judge, tmp_path):
    relay, spans, bad = quarantined(start, judge)
    assert buffer.arrived(judge) == sorted(set(spans) - set(bad))
    assert judge.requests <= 60
    e = relay.exporter()
    assert e["sent"] == 997 and sum(e["dropped"].values()) == 0 and e["quarantined_spans"] == 3, e
    check_ledger(relay.status())
    status = "3" if isinstance(judge, peers.GrpcBackend) else "400"
    relay.wait_until(lambda: len(buffer.run(relay, "quarantine").stdout.splitlines()) == 4, seconds=2)
    for line in buffer.run(relay, "quarantine", "list").stdout.splitlines()[1:]:
        assert re.match(rf"main +\d+ +{status} +[\d.]+ (B|KiB) +\d+s ago$", line), line
    assert buffer.exported(relay, "quarantine", tmp_path / "beside") == sorted(bad)
    assert relay.stop() == 0
    assert buffer.exported(relay, "quarantine", tmp_path / "after") == sorted(bad)
    assert buffer.listed(relay)[0]["main"]["quarantine"] == (3, 3)


def test_a_mended_backend_gets_them(start, judge):
    relay, spans, bad = quarantined(start, judge)
    assert buffer.run(relay, "quarantine", "send").returncode == 0
    relay.wait_until(lambda: relay.exporter()["quarantined_spans"] == 6, seconds=3)  # bad again, and kept again
    assert relay.exporter()["quarantine"] == 3
    check_ledger(relay.status())
    judge.bad = ()
    assert buffer.run(relay, "quarantine", "send").returncode == 0
    relay.wait_until(lambda: relay.exporter()["quarantine"] == 0, seconds=4)
    assert buffer.arrived(judge) == sorted(spans)
    assert relay.exporter()["sent"] == 1000
    check_ledger(relay.status())
    relay.wait_until(lambda: relay.files("quarantine") == [], seconds=3)


def test_given_up_ones_are_counted_as_refused(start, judge):
    relay, spans, bad = quarantined(start, judge)
    assert buffer.run(relay, "quarantine", "clear", "--exporter", "main").returncode == 0
    relay.wait_until(lambda: relay.exporter()["quarantine"] == 0, seconds=2)
    assert relay.exporter()["dropped"] == {**dict.fromkeys(relay.exporter()["dropped"], 0), "refused": 3}
    check_ledger(relay.status())
    relay.wait_until(lambda: relay.files("quarantine") == [], seconds=3)
    assert buffer.run(relay, "quarantine", "clear", "--exporter", "nobody").returncode != 0


def test_they_outlive_a_kill(start, judge):
    relay, spans, bad = quarantined(start, judge)
    relay.kill()
    second = start_with(start, judge, name="second")
    second.wait_until(lambda: second.exporter()["quarantine"] == 3 and second.exporter()["buffered"] == 0)
    check_ledger(second.status())
    judge.bad = ()
    assert buffer.run(second, "quarantine", "send").returncode == 0
    second.wait_until(lambda: second.exporter()["quarantine"] == 0, seconds=4)
    # What the kill found under way may have come twice.
    assert set(buffer.arrived(judge)) == set(spans)
    check_ledger(second.status())


def test_what_was_spilled_is_searched_too(start, judge):
    away = 14 if isinstance(judge, peers.GrpcBackend) else 503
    well = judge.answer
    judge.answer = lambda n: (away, {})
    extra = "compression: none"
    relay = start(extra="journal: { limit: 16MiB }", exporters=[buffer.exporter(judge, extra=extra)])
    spans, bad = thousand()
    send(relay, spans)
    rest = buffer.send(relay, 30)
    buffer.wait_spilled(relay)
    before = judge.requests
    judge.answer = well
    relay.wait_until(lambda: relay.exporter()["quarantine"] == 3, seconds=4)
    buffer.wait_drained(relay)
    assert buffer.arrived(judge) == sorted(set(spans + rest) - set(bad))
    assert judge.requests - before <= 100
    status = relay.status()
    check_ledger(status)
    assert sum(status["exporters"][0]["dropped"].values()) == 0
    assert relay.stop() == 0
    assert buffer.verified(relay) == ((3, 3, 0), 0)
