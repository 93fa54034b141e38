# SPDX-License-Identifier: Apache-2.0
"""A disk that takes no writes, and folders in which something else lies: it says so, refuses, and loses nothing."""
import os
import shutil

import pytest

import buffer
import disks
import otlp
import peers
from relay import check_ledger

EXTRA = "journal: { limit: 16MiB }\noutbox: { limit: 64MiB }"


@pytest.fixture
def away(backend):
    backend.answer = lambda n: (503, {})
    return backend


@pytest.fixture
def disk(tmp_path):
    d = disks.Disk("ext4", str(tmp_path), 96)
    yield d
    d.close()


def spill(start, away):
    relay = start(extra=EXTRA, exporters=[buffer.exporter(away)])
    acked = buffer.send(relay, 20)
    buffer.wait_spilled(relay)
    return relay, acked


def drain(relay, away, acked):
    """`acked` once or more, for a place in the account that could not be written is sent from again."""
    away.answer = lambda n: (200, {})
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0, seconds=10)
    assert set(buffer.arrived(away)) == set(acked)
    check_ledger(relay.status())
    assert sum(relay.exporter()["dropped"].values()) == 0


def refuses(relay):
    status, headers, _ = peers.post(relay.http, otlp.request(otlp.span()))
    return status == 503 and int(headers["retry-after"]) >= 1


def start_fails(start, away, code, *messages):
    relay = start(extra=EXTRA, exporters=[buffer.exporter(away)], name=f"fails{code}", wait=False)
    assert relay.process.wait(10) == code, relay.text()
    for message in messages:
        assert message in relay.text()


def test_a_disk_that_becomes_read_only(disk, start, away, tmp_path):
    """As the kernel makes it after an error on the device."""
    relay, acked = spill(start, away)
    worker = relay.worker_pid()
    relay.wait_until(lambda: sum(buffer.listed(relay)[0]["main"][p][0] for p in ("journal", "outbox")) == len(acked))
    disk.fail()
    assert refuses(relay)
    # One request was enough: it finds out by itself that the journal stays as it is.
    relay.wait_until(lambda: relay.get("/_ready") == (503, "the journal cannot be written\n"), seconds=6)
    relay.wait_for('msg="journal commit failed" reason="Read-only file system"')
    assert "journal writes again" not in relay.text()
    assert relay.worker_pid() == worker
    # What is there can still be read, beside the relay and after it.
    assert buffer.exported(relay, "buffer", tmp_path / "beside") == sorted(acked)
    assert relay.stop() == 0
    assert buffer.exported(relay, "buffer", tmp_path / "after") == sorted(acked)
    start_fails(start, away, 73, f"cannot open {relay.data}/LOCK", "Read-only file system")
    disk.mount_again()
    second = start(extra=EXTRA, exporters=[buffer.exporter(away)], name="second")
    acked += buffer.send(second, 1)
    drain(second, away, acked)


@pytest.mark.parametrize("name", ["outbox", "outbox/main", "quarantine"])
def test_a_file_where_a_folder_should_be(start, away, name):
    relay, acked = spill(start, away)
    assert relay.stop() == 0
    path = os.path.join(relay.data, name)
    os.rename(path, path + ".moved")
    open(path, "w").close()
    start_fails(start, away, 74, f"{relay.data}/{name}", "Not a directory")
    os.unlink(path)
    os.rename(path + ".moved", path)
    drain(start(extra=EXTRA, exporters=[buffer.exporter(away)], name="second"), away, acked)


def test_a_folder_that_goes_while_it_works(start, away):
    """Somebody cleans up. What is in the journal is sent all the same, and what is lost is counted."""
    relay, acked = spill(start, away)
    worker = relay.worker_pid()
    shutil.rmtree(os.path.join(relay.data, "outbox"))
    for _ in range(15):  # until the file that is open, and there no more, is full
        acked += buffer.send(relay, 2)
        if "outbox cannot be written" in relay.text():
            break
    relay.wait_for("outbox cannot be written", seconds=2)
    away.answer = lambda n: (200, {})
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0, seconds=10)
    check_ledger(relay.status())
    e = relay.exporter()
    assert e["dropped"]["damaged"] == sum(e["dropped"].values()) == len(acked) - len(buffer.arrived(away)), e
    assert relay.worker_pid() == worker
