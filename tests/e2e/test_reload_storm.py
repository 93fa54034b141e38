# SPDX-License-Identifier: Apache-2.0
"""Reload after reload while spans come in and tokens change in their files: exporters swap where their tokens
come from, and what they send to. Each backend sees its own tokens only, and every span, once."""
import os
import threading
import time

import otlp
import peers
import pytest
from lightstep import replace, write
from relay import check_ledger
from test_reload import exporter, reload, settled
from test_reload_credentials import by_file, credential, fingerprint, tokens

SWAPS = 40


class Load(threading.Thread):
    """Sends spans until stop()."""

    def __init__(self, relay):
        super().__init__(daemon=True)
        self.relay, self.sent, self.done = relay, 0, False
        self.start()

    def run(self):
        while not self.done:
            assert peers.post(self.relay.http, otlp.request(otlp.span(name=f"s{self.sent}")))[0] == 200
            self.sent += 1
            time.sleep(0.002)

    def stop(self):
        self.done = True
        self.join()


class Rotation(threading.Thread):
    """Writes a new token to each file, as fast as it is read, until stop()."""

    def __init__(self, paths):
        super().__init__(daemon=True)
        self.paths, self.n, self.done = paths, 0, False
        self.start()

    def run(self):
        while not self.done:
            self.n += 1
            for who, path in self.paths.items():
                replace(path, f"token-of-{who}-{self.n:06}")
            time.sleep(0.05)

    def stop(self):
        self.done = True
        self.join()


@pytest.fixture
def world(tmp_path):
    """Two backends, each with a file that its tokens are in."""
    paths = {who: str(tmp_path / f"token-{who}") for who in "ab"}
    backends = {who: peers.HttpBackend() for who in "ab"}
    for who, path in paths.items():
        write(path, f"token-of-{who}-000000")
    yield paths, backends
    for b in backends.values():
        b.close()


def apply(relay, items):
    """Reloads with these exporters."""
    with open(relay.config) as f:
        head = f.read().split("exporters:\n")[0]
    with open(relay.config + ".new", "w") as f:
        f.write(head + "exporters:\n" + "".join(f"  - {i}\n" for i in items))
    os.rename(relay.config + ".new", relay.config)
    reload(relay)


def owners(backend):
    """Whose tokens a backend has seen."""
    return {t and t.split("-")[2] for t in tokens(backend)}


def test_tokens_go_where_they_belong_however_often_two_exporters_change_places(start, world):
    """By turns under the same header and under another one; a token is on its way in each of these moments."""
    paths, backends = world

    def items(i):
        header = ("x-api-key", "x-other")[i // 2 % 2]
        there = ("ab", "ba")[i % 2]
        return [exporter(backends[to].port, name, by_file(paths[to], header)) for name, to in zip(("one", "two"), there)]

    relay = start(exporters=items(0))
    load, rotation = Load(relay), Rotation(paths)
    for i in range(1, SWAPS):
        apply(relay, items(i))
        time.sleep(0.01 * (i % 4))
    load.stop()
    rotation.stop()
    settled(relay)
    for who, b in backends.items():
        seen = {t for t in tokens(b) + tokens(b, "x-other") if t}
        assert {t.split("-")[2] for t in seen} == {who} and len(seen) > 2
        assert not any((h.get("x-api-key") is None) == (h.get("x-other") is None) for h in b.headers)
    arrived = [s for b in backends.values() for s in b.spans()]
    assert len(arrived) == 2 * load.sent and all(e["sent"] == load.sent for e in relay.status()["exporters"])


def test_tokens_follow_their_sources(start, world):
    """The same two backends all the time: the token in use is the one that the last reload names."""
    paths, backends = world

    def items(i):
        sources = ("ab", "ba")[i % 2]
        return [exporter(backends[to].port, f"to-{to}", by_file(paths[by])) for to, by in zip("ab", sources)]

    relay = start(exporters=items(0))
    load = Load(relay)
    for i in range(1, SWAPS):
        apply(relay, items(i))
        if i % 8 != 7:
            continue
        for to, by in zip("ab", ("ab", "ba")[i % 2]):
            wanted = f"token-of-{by}-000000"
            relay.wait_until(lambda: credential(relay, f"to-{to}")["current"]["fingerprint"] == fingerprint(wanted))
            relay.wait_until(lambda: credential(relay, f"to-{to}")["state"] == "promoted")
            time.sleep(0.1)  # what was on its way with the previous one
            seen = len(backends[to].headers)
            relay.wait_until(lambda: len(backends[to].headers) > seen + 5)
            assert set(tokens(backends[to])[seen:]) == {wanted}
    load.stop()
    settled(relay)
    for to, b in backends.items():
        assert owners(b) == {"a", "b"} and len(b.spans()) == load.sent


def test_an_exporter_in_the_place_of_another_gets_none_of_its_tokens(start, world):
    """One goes with each reload, and another one takes its slot."""
    paths, backends = world
    relay = start(exporters=[exporter(backends["a"].port, "a0", by_file(paths["a"]))])
    load, rotation = Load(relay), Rotation(paths)
    for i in range(1, SWAPS):
        who = "ab"[i % 2]
        apply(relay, [exporter(backends[who].port, f"{who}{i}", by_file(paths[who]))])
    load.stop()
    rotation.stop()
    settled(relay)
    for who, b in backends.items():
        assert owners(b) == {who}
    status = relay.status()
    check_ledger(status)
    assert [e["name"] for e in status["exporters"]] == [f"b{SWAPS - 1}"]
