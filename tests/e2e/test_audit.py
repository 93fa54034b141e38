# SPDX-License-Identifier: Apache-2.0
"""The audit log: who changed what and what became of every trace, in records that prove themselves."""
import json
import os
import re
import shutil
import signal
import subprocess
import time

import disks
import otlp
import peers
import pytest
from relay import BINARY, check_ledger

TOKEN = "hunter2-hunter2-hunter2-hunter2-"
KEY = "correct-horse-battery-staple-and-more"
QUICK = "audit: { interval: 1s%s }\n"


def audit(relay, *args, code=0, folder=None):
    done = subprocess.run(
        [BINARY, "audit", *args, "--data-dir", folder or relay.data], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == code, (done, relay.text()[-3000:])
    return done.stdout + done.stderr


def records(relay, kind=None):
    found = [json.loads(line) for line in audit(relay, "show", "--json").splitlines()]
    assert [r["seq"] for r in found] == list(range(found[0]["seq"], found[0]["seq"] + len(found)))
    return [r for r in found if kind in (None, r["kind"])]


def chain(relay):
    folder = os.path.join(relay.data, "audit")
    return [os.path.join(folder, f) for f in sorted(os.listdir(folder)) if f.startswith("chain-")]


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o600)


@pytest.fixture
def secret(tmp_path):
    write(tmp_path / "token", TOKEN + "\n")
    write(tmp_path / "key", KEY + "\n")
    return tmp_path


def with_token(secret, backend):
    return [
        f'{{ name: main, protocol: http/protobuf, linger: 10ms, endpoint: "http://127.0.0.1:{backend.port}", '
        f'headers: {{ authorization: {{ file: {secret}/token, prefix: "Bearer " }}, x-team: blue-team-9 }} }}'
    ]


def test_a_life_is_told_from_start_to_stop(start, backend, secret):
    relay = start(QUICK % f", key: {{ file: {secret}/key }}", with_token(secret, backend))
    with open(relay.config) as f:
        text = f.read()
    write(relay.config, text + "nonsense: 1\n")
    relay.process.send_signal(signal.SIGHUP)
    relay.wait_for('msg="reload" result=invalid')
    write(relay.config, text.replace("exporters:", "limits: { spans: 77 }\nexporters:"))
    write(secret / "token", "another-" + TOKEN)
    relay.process.send_signal(signal.SIGHUP)
    relay.wait_for('msg="reload" result=applied')
    relay.wait_for("trigger=(signal|change) result=changed")
    assert peers.post(relay.http, otlp.request(otlp.span()))[0] == 200
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0)
    worker = relay.worker_pid()
    assert relay.stop() == 0
    told = records(relay)
    assert told[0]["kind"] == "start" and told[0]["reason"] == "the log is new"
    assert told[0]["counts"]["pid"] == worker and re.fullmatch("[0-9a-f]{8}", told[0]["detail"]["key_id"])
    assert told[-1]["kind"] == "stop" and told[-1]["counts"] == {"code": 0}
    refused, applied = records(relay, "configuration")
    us = {"pid": os.getpid(), "uid": os.getuid()}
    assert refused["decision"] == "invalid" and refused["reason"] == "signal"
    assert {k: refused["counts"][k] for k in us} == us
    assert applied["decision"] == "applied" and applied["detail"]["old"] == refused["config_hash"]
    assert applied["detail"]["new"] == applied["config_hash"] == told[-1]["config_hash"] != refused["config_hash"]
    read = [r for r in records(relay, "credential") if "source" in r["detail"]]
    assert read[0]["reason"] == "start" and read[0]["counts"] == {"old_generation": 0, "new_generation": 1}
    changed = [r for r in read if r["decision"] == "changed"][-1]
    assert changed["detail"]["path"] == f"{secret}/token" and changed["subject"] == "main"
    assert changed["detail"]["old"] == read[0]["detail"]["new"] != changed["detail"]["new"]
    by_signal = [r for r in read if r["reason"] == "signal"]
    assert by_signal and all({k: r["counts"][k] for k in us} == us for r in by_signal)
    assert [r for r in records(relay, "credential") if r["decision"] == "promoted"]
    assert "whole: records 1 to %d" % told[-1]["seq"] in audit(relay, "verify", "--key-file", f"{secret}/key")
    assert "whole" in audit(relay, "verify", "-c", relay.config)
    assert "DAMAGED" in audit(relay, "verify", code=1)  # without the key it is not ours
    for folder, _, files in os.walk(os.path.join(relay.data, "audit")):
        for name in files:
            with open(os.path.join(folder, name), "rb") as f:
                found = f.read()
            assert TOKEN.encode() not in found and KEY.encode() not in found and b"blue-team-9" not in found


def test_a_torn_tail_is_cut_and_the_chain_goes_on(start, backend):
    relay = start(QUICK % "")
    relay.kill()
    with open(chain(relay)[-1], "a") as f:
        f.write('{"seq":7,"ts":"2026-0')
    assert "torn tail" in audit(relay, "verify", code=1)
    relay = start(QUICK % "", name="again")
    cut = records(relay, "chain")
    assert cut[0]["reason"] == "a torn tail was cut" and cut[0]["counts"]["torn_bytes"] == 21
    assert records(relay, "start")[-1]["reason"] == "a crash"
    audit(relay, "verify")  # while it runs
    assert relay.stop() == 0
    audit(relay, "verify")
    third = start(QUICK % "", name="third")
    assert records(third, "start")[-1]["reason"] == "a stop"


def test_a_checkpoint_shows_what_was_cut_off(start, backend):
    relay = start(QUICK % "")
    seq, mac = relay.wait_for('msg="audit checkpoint" seq=([0-9]+) mac=([0-9a-f]{64})', 3)[-1]
    name = [l for l in relay.get("/metrics")[1].splitlines() if l.startswith("spanrelay_audit_checkpoint_info")]
    assert re.fullmatch(r'spanrelay_audit_checkpoint_info{seq="\d+",mac="[0-9a-f]{64}"} 1', name[0])
    assert relay.stop() == 0
    audit(relay, "verify", "--checkpoint", f"{seq}:{mac[:16]}")
    with open(chain(relay)[0]) as f:
        lines = f.readlines()
    write(chain(relay)[0], lines[0])
    audit(relay, "verify")
    assert "truncated" in audit(relay, "verify", "--checkpoint", f"{seq}:{mac}", code=1)
    assert "re-chained" in audit(relay, "verify", "--checkpoint", f"1:{'0' * 16}", code=1)


def test_its_disk_is_full_and_the_relay_goes_on(start, backend, tmp_path):
    disk = disks.Disk("tmpfs", str(tmp_path / "small"), 1)
    try:
        os.makedirs(tmp_path / "data")
        os.symlink(disk.path, tmp_path / "data/audit")
        relay = start(QUICK % "")
        before = len(records(relay))
        disk.fill()
        for _ in range(3):
            relay.process.send_signal(signal.SIGHUP)
            assert peers.post(relay.http, otlp.request(otlp.span()))[0] == 200
            time.sleep(0.1)
        relay.wait_until(lambda: relay.metric('spanrelay_audit_lost_total{what="records"}') >= 2)
        assert relay.metric("spanrelay_audit_writes") == 0
        audit(relay, "verify")
        relay.wait_until(lambda: relay.exporter()["buffered"] == 0)
        disk.free()
        relay.wait_until(lambda: relay.metric("spanrelay_audit_writes") == 1)
        relay.wait_until(lambda: records(relay, "gap"))
        counted = relay.metric('spanrelay_audit_lost_total{what="records"}')
        assert relay.stop() == 0
        lost = sum(r["counts"]["records"] for r in records(relay, "gap"))
        assert lost == counted >= 2 and len(records(relay)) > before
        audit(relay, "verify")
    finally:
        disk.close()


def test_without_a_folder_the_relay_goes_on(start, backend, tmp_path):
    os.makedirs(tmp_path / "data")
    write(tmp_path / "data/audit", "a file is in the way")
    relay = start(QUICK % "")
    assert peers.post(relay.http, otlp.request(otlp.span()))[0] == 200
    os.unlink(tmp_path / "data/audit")
    relay.wait_until(lambda: relay.metric("spanrelay_audit_writes") == 1)
    relay.wait_until(lambda: records(relay, "gap"))
    audit(relay, "verify")


RULES = """
sampling:
  wait: 1s
  root_wait: 100ms
  rules: [{ name: half, keep: 50% }]
"""


def send_traces(relay, n, spans=10):
    ids = [os.urandom(16) for _ in range(n)]
    body = otlp.request(*[otlp.span(trace_id=i) for i in ids for _ in range(spans)])
    assert peers.post(relay.http, body)[0] == 200
    return ids


def settled(relay):
    relay.wait_until(lambda: relay.status()["ledger"]["pending"] == 0)
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0)
    check_ledger(relay.status())


def totals(relay):
    sums = {}
    for r in records(relay, "decisions"):
        for key, n in r["counts"].items():
            sums[key] = sums.get(key, 0) + n
    return sums


def test_every_decision_is_there_and_every_interval_balances(start, backend):
    relay = start(QUICK % "" + RULES)
    ids = [i for _ in range(6) for i in send_traces(relay, 100)]
    assert peers.post(relay.http, b"nonsense")[0] == 400
    settled(relay)
    relay.wait_until(lambda: any(r["counts"]["received"] for r in records(relay, "balance")))
    ledger = relay.status()["ledger"]
    assert relay.stop() == 0
    sums = totals(relay)
    assert sums["records"] == sums["traces_kept"] + sums["traces_rule"] == 600
    assert sums["spans_kept"] == ledger["judged"]["kept"] and sums["spans_rule"] == ledger["judged"]["rule"]
    assert "600 decisions" in audit(relay, "verify")
    said = audit(relay, "show", "--trace", ids[-1].hex())
    assert re.search("verdict=(kept|rule) rule=0 .* probability=0.5 .* spans=10 ", said), said
    balances = [r for r in records(relay, "balance") if r["subject"] == "relay"]
    assert all(r["decision"] == "balanced" for r in records(relay, "balance"))
    assert sum(r["counts"]["received"] for r in balances) == ledger["received"] == 6000
    assert sum(r["counts"].get("queued", 0) for r in balances) == 0
    exporter = [r["counts"] for r in records(relay, "balance") if r["subject"] == "main"]
    assert sum(c.get("forwarded", 0) for c in exporter) == sum(c["received"] for c in exporter) == sums["spans_kept"]
    dropped = {(r["subject"], r["reason"]): r["counts"] for r in records(relay, "drop")}
    assert ("relay", "rule") in dropped and dropped["requests", "malformed"] == {"requests": 1}


def test_a_crash_loses_no_decision(start, backend):
    relay = start(QUICK % "" + RULES)
    ids = []
    for _ in range(3):
        ids += send_traces(relay, 50)
        settled(relay)
        if not records(relay, "decisions"):
            relay.wait_until(lambda: records(relay, "decisions"), seconds=15)
    relay.kill()
    relay = start(QUICK % "" + RULES, name="again")
    settled(relay)
    assert relay.stop() == 0
    audit(relay, "verify")
    assert totals(relay)["records"] == len(ids)
    for i in (ids[0], ids[60], ids[-1]):
        assert audit(relay, "show", "--trace", i.hex()).count("verdict=") == 1


def test_a_block_that_is_cut_or_changed_is_found(start, backend):
    relay = start(QUICK % "" + RULES)
    send_traces(relay, 20)
    settled(relay)
    assert relay.stop() == 0
    folder = os.path.join(relay.data, "audit")
    blocks = os.path.join(folder, [f for f in os.listdir(folder) if f.startswith("decisions-")][0])
    shutil.copy(blocks, blocks + ".kept")
    with open(blocks, "r+b") as f:
        f.seek(100)
        f.write(b"X")
    assert "a block of decisions was edited" in audit(relay, "verify", code=1)
    os.unlink(blocks)
    assert "a block of decisions is missing" in audit(relay, "verify", code=1)
    os.rename(blocks + ".kept", blocks)
    audit(relay, "verify")


def test_masks_budgets_and_exporters_are_told_of(start, tmp_path):
    backend = peers.HttpBackend(answer=lambda n: (401, {}) if n < 2 else (200, {}))
    relay = start(
        QUICK % "" + "redaction: { packs: [], keys: { block: [pin] } }\n"
        "sampling: { wait: 500ms, root_wait: 100ms, trace_spans: 10 }\nbudgets: [{ name: tiny, spans_per_second: 1 }]\n",
        [
            "{ name: main, protocol: http/protobuf, linger: 10ms, retry: { initial: 10ms, max: 100ms }, "
            f'endpoint: "http://127.0.0.1:{backend.port}" }}'
        ],
    )
    for _ in range(20):
        body = otlp.request(*[otlp.span(extra=otlp.attribute(9, "pin", "12345678")) for _ in range(10)])
        assert peers.post(relay.http, body)[0] == 200
    relay.wait_until(lambda: records(relay, "budget"))
    relay.wait_until(lambda: len(records(relay, "exporter")) >= 2)
    assert relay.stop() == 0
    assert records(relay, "budget")[0]["decision"] == "over" and records(relay, "budget")[0]["subject"] == "tiny"
    states = [(r["detail"]["was"], r["decision"]) for r in records(relay, "exporter")]
    assert states[0] == ("ok", "held_auth") and states[-1][1] == "ok", states
    masked = records(relay, "redaction")
    assert {r["rule_id"] for r in masked} == {"key-blocked"} and sum(r["counts"]["values"] for r in masked) == 200
    audit(relay, "verify")
    backend.close()


def test_spans_of_nobody_known_are_told_of(start, backend):
    relay = start(QUICK % "" + "identity: { policy: require }\nclients: [{ name: bank, certificate: { subject: CN=bank } }]\n")
    peers.post(relay.http, otlp.request(otlp.span(), otlp.span()))
    relay.wait_until(lambda: records(relay, "identity"))
    refused = records(relay, "identity")[0]
    assert refused["decision"] == "refused" and refused["counts"] == {"spans": 2}
    assert relay.stop() == 0
    assert all(r["decision"] == "balanced" for r in records(relay, "balance"))


def test_an_upgrade_is_told_of(start, backend):
    relay = start(QUICK % "")
    was = relay.worker_pid()
    relay.process.send_signal(signal.SIGUSR2)
    relay.wait_for('msg="upgrade done"')
    relay.wait_until(lambda: records(relay, "upgrade"))
    told = records(relay)
    kinds = [r["kind"] for r in told if r["kind"] != "balance"]
    assert kinds == ["start", "stop", "start", "upgrade"]
    assert told[0]["counts"]["pid"] == was != records(relay, "upgrade")[0]["counts"]["pid"]
    audit(relay, "verify")


def test_what_is_no_audit_log_is_said(start, backend, tmp_path):
    relay = start("audit: { enabled: false }")
    assert not os.path.exists(os.path.join(relay.data, "audit"))
    audit(relay, "verify", code=66)
    audit(relay, "verify", "--checkpoint", "nonsense", code=64)
    audit(relay, "show", "--kind", "nonsense", code=64)
    audit(relay, "mend", code=64)
    assert "--checkpoint" in audit(relay, "--help")
    write(tmp_path / "short", "key")
    assert "32 bytes" in audit(relay, "verify", "--key-file", str(tmp_path / "short"), code=78)
