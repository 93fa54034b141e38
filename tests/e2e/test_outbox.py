# SPDX-License-Identifier: Apache-2.0
"""A backend is away for longer than the journal lasts: what it does not take waits in its outbox."""
import os
import shutil
import time

import pytest

import buffer
import peers
from relay import check_ledger

AWAY = (503, {})
SMALL = "journal: { limit: 16MiB }\noutbox: { limit: 64MiB }"


@pytest.fixture
def away(backend):
    backend.answer = lambda n: AWAY
    return backend


def come_back(backend):
    backend.answer = lambda n: (200, {})


def spill(start, backend, requests=40, **kwargs):
    """A relay whose backend is away, and what it acknowledged: 400 KB a request."""
    relay = start(extra=kwargs.pop("extra", SMALL), exporters=[buffer.exporter(backend)], **kwargs)
    acked = buffer.send(relay, requests)
    buffer.wait_spilled(relay)
    return relay, acked


def check_account(relay, backend, acked):
    """Each span once, and an account that says so."""
    buffer.wait_drained(relay)
    assert buffer.arrived(backend) == sorted(acked)
    status = relay.status()
    check_ledger(status)
    for e in status["exporters"]:
        assert e["sent"] == len(acked) and sum(e["dropped"].values()) == 0, e


def held(relay):
    e = relay.exporter()
    return {place: e[place] for place in ("journal", "outbox", "quarantine")}


def spans_of(listing, name="main"):
    return {place: spans for place, (spans, _) in listing[0][name].items()}


def test_what_waits_is_shown_verified_exported_and_then_sent(start, away, tmp_path):
    relay, acked = spill(start, away)
    status = relay.exporter()
    check_ledger(relay.status())
    assert status["journal"] + status["outbox"] == len(acked)
    assert status["outbox_bytes"] > status["outbox"] * 4000
    # What is on disk is as of the last commit; with nothing to receive that is a second ago.
    relay.wait_until(lambda: spans_of(buffer.listed(relay)) == held(relay), seconds=5)
    places, why = buffer.listed(relay)
    assert why["main"] == "retrying, last status 503"
    assert " ago" in buffer.run(relay, "buffer").stdout
    requests = sum(n for _, n in places["main"].values())
    assert buffer.verified(relay) == ((len(acked), requests, 0), 0)
    assert buffer.exported(relay, "buffer", tmp_path / "beside") == sorted(acked)
    assert relay.stop() == 0
    places_after, why = buffer.listed(relay)
    assert sum(spans for spans, _ in places_after["main"].values()) == len(acked) and not why
    (spans, _, damaged), code = buffer.verified(relay)
    assert (spans, damaged, code) == (len(acked), 0, 0)
    assert buffer.exported(relay, "buffer", tmp_path / "after") == sorted(acked)
    assert "No relay works on this folder" in buffer.run(relay, "buffer").stdout
    come_back(away)
    check_account(start(extra=SMALL, exporters=[buffer.exporter(away)], name="second"), away, acked)


def test_spans_between_journal_and_outbox_are_shown_once(start, away, tmp_path):
    """A kill between a parcel's sync and the journal's commit leaves its spans in both."""
    relay = start(extra=SMALL, exporters=[buffer.exporter(away)])
    acked = buffer.send(relay, 9)
    assert relay.stop() == 0 and relay.files("outbox") == []
    journal = os.path.join(relay.data, "journal.mdb")
    shutil.copy(journal, tmp_path / "before")
    second = spill(start, away, requests=9, name="second")[0]
    buffer.send(second, 1)
    second.kill()
    shutil.copy(tmp_path / "before", journal)  # the commits are undone, the parcels are there
    assert relay.files("outbox")
    assert buffer.verified(relay) == ((len(acked), 9, 0), 0)
    assert buffer.exported(relay, "buffer", tmp_path / "out") == sorted(acked)


def test_a_kill_while_it_spills_loses_nothing(start, away, tmp_path):
    relay = start(extra=SMALL, exporters=[buffer.exporter(away)])
    acked = buffer.send(relay, 14)
    relay.wait_until(lambda: relay.files("outbox"), seconds=5)
    relay.kill()
    assert buffer.verified(relay)[0][0] == len(acked)
    assert buffer.exported(relay, "buffer", tmp_path / "out") == sorted(acked)
    come_back(away)
    check_account(start(extra=SMALL, exporters=[buffer.exporter(away)], name="second"), away, acked)


def test_looking_on_while_it_drains_finds_no_damage(start, away):
    relay, acked = spill(start, away, requests=120)
    away.answer = lambda n: time.sleep(0.02) or (200, {})
    codes = []
    while relay.exporter()["outbox"] > 0:
        codes.append(buffer.run(relay, "buffer", "verify"))
    assert len(codes) > 2 and {c.returncode for c in codes} == {0}, codes[-1]
    check_account(relay, away, acked)


def test_a_healthy_relay_does_not_touch_its_outbox(start, backend):
    relay = start(extra=SMALL, exporters=[buffer.exporter(backend)])
    acked = []
    for _ in range(8):
        acked += buffer.send(relay, 5, spans=200, bytes_each=500)
        assert relay.files("outbox") == [] and relay.files("quarantine") == []
    check_account(relay, backend, acked)
    assert os.listdir(os.path.join(relay.data, "outbox", "main")) == []
    assert relay.exporter()["spilled_spans"] == 0


def test_folders_that_cannot_be_read_are_explained(start, away, tmp_path):
    relay, acked = spill(start, away, requests=120)
    assert relay.stop() == 0
    spilled = buffer.listed(relay)[0]["main"]["outbox"][0]

    def fails(code, message, *args, data=relay.data):
        done = buffer.run(relay, *args, data=data)
        assert done.returncode == code, done
        assert message in done.stdout + done.stderr, done

    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        for verb in ("list", "verify"):
            fails(66, "there is no relay's data in", "buffer", verb, data=str(tmp_path / folder))
    assert not (tmp_path / "missing").exists()
    assert not os.listdir(tmp_path / "empty")
    fails(66, "there is no exporter nobody", "buffer", "list", "--exporter", "nobody")
    fails(64, "there is no dance here", "buffer", "dance")
    fails(64, "export wants a folder", "buffer", "export")
    fails(69, "", "quarantine", "send")
    (tmp_path / "file").write_text("")
    fails(73, "cannot", "buffer", "export", str(tmp_path / "file"))

    broken = str(tmp_path / "broken")
    shutil.copytree(relay.data, broken)
    first = [int(name[:16], 16) for name in relay.files("outbox")] + [1 + spilled]
    assert len(first) > 6
    lost = 0
    # Two side by side, one that is not there at all, and the last; whole ones between them, for a gap that
    # ends in a bad file is one with it.
    for i in (0, 1, 3, len(first) - 2):
        path = os.path.join(broken, "outbox/main", f"{first[i]:016x}.mdb")
        os.unlink(path) if i == 3 else os.truncate(path, 8192)
        spans = first[i + 1] - first[i]
        fails(65, f"damaged: outbox {first[i]}, {spans} spans", "buffer", "verify", data=broken)
        lost += spans
    os.unlink(path)
    fails(65, f"damaged: outbox {first[-2]}, {spans} spans", "buffer", "verify", data=broken)
    fails(65, "4 damaged", "buffer", "verify", data=broken)
    fails(65, "4 damaged places", "buffer", "export", str(tmp_path / "rest"), data=broken)
    fails(0, f"{lost:,} spans in DAMAGED places", "buffer", "list", data=broken)
    os.truncate(os.path.join(broken, "journal.mdb"), 8192)
    for verb in ("list", "verify"):
        fails(74, "is damaged", "buffer", verb, data=broken)


@pytest.mark.parametrize("which", [0, 1, -1], ids=["first", "middle", "last"])
def test_a_lost_file_costs_what_was_in_it_and_no_more(start, away, which):
    relay, acked = spill(start, away, requests=80)
    assert relay.stop() == 0
    names = relay.files("outbox")
    os.truncate(os.path.join(relay.data, "outbox/main", names[which]), 8192)
    come_back(away)
    second = start(extra=SMALL, exporters=[buffer.exporter(away)], name="second")
    buffer.wait_drained(second)
    status = second.status()
    check_ledger(status)
    e = status["exporters"][0]
    assert e["dropped"]["damaged"] == sum(e["dropped"].values()) == len(acked) - len(buffer.arrived(away)) > 0


def test_a_journal_that_was_deleted_leaves_the_outbox(start, away):
    """Its cursors are gone too; what the outbox holds is sent, and the account begins with it."""
    relay, acked = spill(start, away)
    come_back(away)
    buffer.wait_drained(relay)
    away.answer = lambda n: AWAY
    spilled = buffer.send(relay, 40)
    buffer.wait_spilled(relay)
    held = relay.exporter()["outbox"]
    assert relay.stop() == 0
    os.unlink(os.path.join(relay.data, "journal.mdb"))
    come_back(away)
    away.answer = lambda n: AWAY
    second = start(extra=SMALL, exporters=[buffer.exporter(away)], name="second")
    second.wait_until(lambda: spans_of(buffer.listed(second)) == {"journal": 0, "outbox": held, "quarantine": 0}, 3)
    assert buffer.verified(second)[0][0] == held
    come_back(away)
    buffer.wait_drained(second)
    check_ledger(second.status())
    e = second.exporter()
    assert e["sent"] == e["entered"] == held, e
    assert set(buffer.arrived(away)) <= set(acked + spilled)


def test_one_exporter_is_away_the_other_is_not(start, away):
    near = peers.HttpBackend()
    exporters = [buffer.exporter(away), buffer.exporter(near, "near")]
    relay = start(extra=SMALL, exporters=exporters)
    acked = []
    for _ in range(4):
        acked += buffer.send(relay, 10)
        relay.wait_until(lambda: len(near.spans()) == len(acked), seconds=2)
        assert relay.files("outbox", "near") == []
    buffer.wait_spilled(relay)
    assert relay.exporter("near")["spilled_spans"] == 0 and relay.files("outbox")
    come_back(away)
    check_account(relay, away, acked)
    near.close()


def test_each_exporter_has_limits_of_its_own(start, away):
    """The general ones would refuse at 64 MiB and keep for two days."""
    exporters = [
        buffer.exporter(away, "drops", "compression: none, outbox: { limit: 16MiB, when_full: drop_oldest }"),
        buffer.exporter(away, "forgets", "compression: none, outbox: { max_age: 1s }"),
        buffer.exporter(away, "keeps"),
    ]
    relay = start(extra="journal: { limit: 16MiB }\noutbox: { limit: 128MiB }", exporters=exporters)
    limits = [e["outbox_limit_bytes"] >> 20 for e in relay.status()["exporters"]]
    assert limits == [16, 128, 128]
    acked = buffer.send(relay, 80)
    relay.wait_until(lambda: relay.exporter("drops")["dropped"]["outbox_full"] > 0, seconds=3)
    relay.wait_until(lambda: relay.exporter("forgets")["dropped"]["expired"] == len(acked), seconds=4)
    kept = relay.exporter("keeps")
    assert kept["buffered"] == len(acked) and sum(kept["dropped"].values()) == 0
    assert relay.exporter("drops")["outbox_bytes"] <= 16 << 20
    check_ledger(relay.status())
    away.bodies.clear()
    come_back(away)
    for name in ("drops", "keeps"):
        buffer.wait_drained(relay, name)
    status = relay.status()
    check_ledger(status)
    dropped = relay.exporter("drops")["dropped"]
    assert dropped["outbox_full"] == sum(dropped.values())
    assert len(buffer.arrived(away)) == 2 * len(acked) - dropped["outbox_full"]


def test_an_exporter_that_is_removed_and_comes_back(start, away):
    near = peers.HttpBackend()
    both = [buffer.exporter(near, "near"), buffer.exporter(away)]
    relay = start(extra=SMALL, exporters=both)
    acked = buffer.send(relay, 40)
    buffer.wait_spilled(relay)
    assert relay.stop() == 0
    files, held = relay.files("outbox"), spans_of(buffer.listed(relay))["outbox"]
    without = start(extra=SMALL, exporters=both[:1], name="without")
    acked_without = buffer.send(without, 4)
    without.wait_until(lambda: len(near.spans()) == len(acked + acked_without))
    check_ledger(without.status())
    assert without.status()["removed_exporters"][0]["name"] == "main" and without.files("outbox") == files
    assert without.stop() == 0
    come_back(away)
    again = start(extra=SMALL, exporters=both, name="again")
    buffer.wait_drained(again)
    check_ledger(again.status())
    # It went with an account of all it held; what its outbox still has enters that account anew.
    e, came = again.exporter(), buffer.arrived(away)
    assert len(came) == held and set(came) <= set(acked)
    assert e["sent"] == held and e["dropped"]["exporter_removed"] == len(acked), e
    assert sum(e["dropped"].values()) == len(acked) and e["entered"] == len(acked) + e["sent"], e
    near.close()
