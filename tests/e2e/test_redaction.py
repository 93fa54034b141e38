# SPDX-License-Identifier: Apache-2.0
"""Secrets leave the spans before anything is stored: nothing of them is on disk, in a log, on a page or at a
backend, whatever way they came and whatever happens to the relay meanwhile."""
import base64
import gzip
import json
import os
import random
import signal
import string
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import otlp
import peers
import pytest
from otlp import attribute, field, request, span
from relay import BINARY

DEFAULTS = "redaction: { mask: keep_length }\n"
CANARIES = int(os.environ.get("CANARIES", "1000"))


def post(relay, body, path="/v1/traces", kind="application/x-protobuf", **headers):
    r = urllib.request.Request(
        f"http://127.0.0.1:{relay.http}{path}", body,
        {"Content-Type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}},
    )
    with urllib.request.urlopen(r, timeout=10) as answer:
        return answer.status


def run(*args, stdin=b"", cwd=None):
    return subprocess.run([BINARY, *args], input=stdin, capture_output=True, timeout=60, cwd=cwd)


def word(rng, n, letters=string.ascii_letters + string.digits):
    return "".join(rng.choice(letters) for _ in range(n))


def canary(rng, i):
    """An attribute with a secret of its own, and what must not be seen again."""
    kind = i % 10
    if kind == 0:
        secret = word(rng, 16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
        return attribute(9, "note", "key AKIA" + secret + " is old"), secret
    if kind == 1:
        secret = word(rng, 24)
        return attribute(9, "billing", "sk_live_" + secret), secret
    if kind == 2:
        secret = word(rng, 22)
        return attribute(9, "http.request.header.authorization", "Bearer " + secret), secret
    if kind == 3:
        secret = word(rng, 14)
        return attribute(9, "db.connection_string", f"postgres://shop:{secret}@db:5432/shop"), secret
    if kind == 4:
        secret = word(rng, 12)
        return attribute(9, "log.line", f"login failed: user=bob password={secret} retries=3"), secret
    if kind == 5:
        secret = word(rng, 30)
        return attribute(9, "url.full", f"https://s3/x?X-Amz-Signature={secret}&part=1"), secret
    if kind == 6:
        secret = word(rng, 18)
        return attribute(9, "app.db.password", secret), secret
    if kind == 7:
        secret = word(rng, 16)
        return attribute(9, "payload", json.dumps({"user": "bob", "client_secret": secret})), secret
    if kind == 8:
        secret = word(rng, 20)
        text = urllib.parse.quote("token=glpat-" + secret, safe="")
        return attribute(9, "url.query", text), secret
    secret = word(rng, 24)
    event = field(2, "exception") + attribute(3, "exception.message", f"401 from api: api_key=\"{secret}\"")
    return field(11, fixed_time() + event), secret


def fixed_time():
    return otlp.fixed64(1, 1_700_000_000_000_000_000)


def everything(relay, backend, folder):
    """(where, bytes) of all that the relay leaves behind."""
    for base, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(base, name), "rb") as f:
                yield os.path.join(base, name), f.read()
    for page in ("/metrics", "/status"):
        yield page, relay.get(page)[1].encode()
    with backend.lock:
        yield "backend", b"".join(backend.bodies)


def test_canaries_are_seen_nowhere_again(start, backend, tmp_path):
    """Under load, with the worker killed in the middle; what was not acknowledged is sent again."""
    rng = random.Random(7)
    relay = start(DEFAULTS + "log: { level: debug }\nsampling:\n  wait: 300ms\n  rules:\n    - { name: all, keep: 100% }\n")
    secrets, todo = [], []
    for first in range(0, CANARIES, 20):
        spans = []
        for i in range(first, first + 20):
            extra, secret = canary(rng, i)
            secrets.append(secret)
            spans.append(span(extra=extra + attribute(9, "n", f"canary-{i}")))
        todo.append(request(*spans))
    killed = threading.Timer(0.3, lambda: os.kill(relay.worker_pid(), signal.SIGKILL))
    killed.start()
    acked = 0
    while todo:
        body = todo[-1]
        try:
            head = {"Content_Encoding": "gzip"} if len(todo) % 2 else {}
            post(relay, gzip.compress(body) if head else body, **head)
            todo.pop()
            acked += 20
        except OSError:
            time.sleep(0.05)
        time.sleep(0.3 / (CANARIES / 20) * 2)
    killed.join()
    assert acked == CANARIES
    relay.wait_for(r'msg="ready"', 2)
    relay.wait_ready(2)
    relay.wait_until(lambda: len({s[2] for s in backend.spans()}) >= CANARIES)
    trace = otlp.fields(backend.spans()[0][2])
    relay.get("/explain/" + next(v for n, v in trace if n == 1).hex())
    needles = {s.encode() for s in secrets}
    for where, seen in everything(relay, backend, str(tmp_path)):
        assert not [n for n in needles if n in seen], where
    names = b"".join(backend.bodies)
    assert all(f"canary-{i}".encode() in names for i in range(CANARIES))


def test_other_protocols_are_cleaned_too(start, backend):
    relay = start(DEFAULTS)
    secret = "AKIAQ3EGRZL7MNOPQ2ST"
    body = request(span(name=f"rotate {secret}", extra=attribute(9, "a", secret)))
    peers.export(relay.grpc, body)
    text = {"resourceSpans": [{"scopeSpans": [{"spans": [
        {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "00f067aa0ba902b7", "name": "x",
         "status": {"message": "denied for " + secret}}]}]}]}
    post(relay, json.dumps(text).encode(), kind="application/json")
    relay.wait_until(lambda: len(backend.spans()) == 2)
    assert secret.encode() not in b"".join(backend.bodies)
    assert b"denied for " + b"*" * 20 in b"".join(backend.bodies)
    sample = 'spanrelay_redactions_total{rule="aws-access-key-id",position="%s"}'
    assert relay.metric(sample % "status_message") == 1
    assert relay.metric(sample % "span_name") == 1
    assert relay.metric("spanrelay_redacted_spans_total") == 2


@pytest.mark.parametrize(
    "mask, becomes",
    [("replace", b"[REDACTED]"), ("typed", b"[REDACTED:aws-access-key-id]"), ("keep_last_4", b"*" * 16 + b"Q2ST"),
     ("keep_length", b"*" * 20)],
)
def test_masks(start, backend, mask, becomes):
    relay = start(f"redaction: {{ packs: [secrets], mask: {mask} }}\n")
    post(relay, request(span(extra=attribute(9, "a", "id AKIAQ3EGRZL7MNOPQ2ST here"))))
    relay.wait_until(lambda: backend.spans())
    assert attribute(9, "a", b"id " + becomes + b" here") in backend.spans()[0][2]


def test_hashes_can_be_joined_and_not_guessed(start, backend, tmp_path):
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    relay = start(f"redaction: {{ packs: [secrets], mask: hmac, hmac_key: {{ file: {key} }} }}\n")
    for _ in range(2):
        post(relay, request(span(extra=attribute(9, "a", "AKIAQ3EGRZL7MNOPQ2ST"))))
    relay.wait_until(lambda: len(backend.spans()) == 2)
    values = {dict(otlp.fields(v))[2] for s in backend.spans() for n, v in otlp.fields(s[2]) if n == 9 and b"hmac:" in v}
    assert len(values) == 1


def test_keys_are_blocked_ignored_and_removed(start, backend):
    relay = start("redaction:\n  packs: [secrets]\n"
                  "  keys: { block: ['card.*'], allow_only: [n, 'card.*', raw, http.request.method], ignore: [raw] }\n")
    post(relay, request(span(extra=attribute(9, "card.holder", "Ada") + attribute(9, "gone", "x")
                             + attribute(9, "raw", "AKIAQ3EGRZL7MNOPQ2ST") + attribute(9, "n", "1"))))
    relay.wait_until(lambda: backend.spans())
    got = backend.spans()[0][2]
    assert attribute(9, "card.holder", "***") in got
    assert attribute(9, "raw", "AKIAQ3EGRZL7MNOPQ2ST") in got
    assert b"gone" not in got
    assert dict(otlp.fields(got))[10] == 1  # dropped_attributes_count


def test_a_rule_of_ones_own(start, backend, tmp_path):
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "own.yaml").write_text(
        "pack: own\nrules:\n  - id: badge\n    description: our badge numbers\n    keywords: [bdg]\n"
        "    regex: 'bdg-[0-9]{6}'\n    examples: { match: ['<<bdg-123456>>'], no_match: ['bdg-12'] }\n")
    relay = start(f"redaction: {{ packs: [], rules_dir: {rules} }}\n")
    post(relay, request(span(extra=attribute(9, "a", "bdg-654321 AKIAQ3EGRZL7MNOPQ2ST"))))
    relay.wait_until(lambda: backend.spans())
    assert attribute(9, "a", "********** AKIAQ3EGRZL7MNOPQ2ST") in backend.spans()[0][2]


@pytest.mark.parametrize(
    "rule, words",
    [
        ("regex: 'bdg-[0-9'", "own.yaml:6:"),
        ("regex: '(bdg)?'", "own.yaml:6:"),
        ("regex: '[a-z]+[0-9]+'", "own.yaml:"),
        ("regex: 'bdg-[0-9]{6}'\n    checksum: lun", "did you mean"),
    ],
)
def test_a_bad_rule_is_told_by_its_place(tmp_path, rule, words):
    (tmp_path / "own.yaml").write_text(
        f"pack: own\nrules:\n  - id: badge\n    description: d\n    examples: {{ match: ['bdg-123456'], no_match: ['x'] }}\n    {rule}\n")
    (tmp_path / "c.yaml").write_text(f"redaction: {{ packs: [], rules_dir: {tmp_path} }}\n".replace(str(tmp_path), str(tmp_path / "r")))
    (tmp_path / "r").mkdir()
    (tmp_path / "own.yaml").rename(tmp_path / "r" / "own.yaml")
    done = run("check", str(tmp_path / "c.yaml"))
    assert done.returncode == 78, done.stderr
    assert words in done.stderr.decode(), done.stderr
    started = run("run", "-c", str(tmp_path / "c.yaml"), cwd=str(tmp_path))
    assert started.returncode == 78
    assert words in started.stderr.decode()


def test_redact_command_masks_text_and_says_by_which_rule():
    done = run("redact", stdin=b"ok\nuser=x password=hunter2 AKIAQ3EGRZL7MNOPQ2ST\n")
    assert done.returncode == 0
    assert done.stdout == b"ok\nuser=x password=******* " + b"*" * 20 + b"\n"
    assert b"2:17: " in done.stderr and b", 7 bytes" in done.stderr
    assert b"2:25: aws-access-key-id, 20 bytes" in done.stderr
    assert b"hunter2" not in done.stderr
    assert run("redact", "--fail", stdin=b"token=ghp_" + b"x1Y2" * 9).returncode in (0, 1)
    assert run("redact", "--fail", stdin=b"nothing here").returncode == 0
    assert run("redact", "--key", "db.password", "--fail", stdin=b"tiger7").returncode == 1


def test_redact_command_reads_otlp():
    body = request(span(extra=attribute(9, "a", "AKIAQ3EGRZL7MNOPQ2ST")))
    done = run("redact", stdin=body)
    assert done.returncode == 0, done.stderr
    assert done.stdout == body.replace(b"AKIAQ3EGRZL7MNOPQ2ST", b"*" * 20)
    assert b"aws-access-key-id in span_attribute: 1\n" in done.stderr
    again = run("redact", "--fail", stdin=done.stdout)
    assert again.returncode == 0 and again.stdout == done.stdout


def test_base64_and_escapes_hide_nothing(start, backend):
    relay = start(DEFAULTS)
    secret = b"AKIAQ3EGRZL7MNOPQ2ST"
    hidden = [
        base64.b64encode(b"id=" + secret + b";").decode(),
        urllib.parse.quote(urllib.parse.quote("https://x/?k=" + secret.decode() + "&e=1", safe=""), safe=""),
        json.dumps({"a": json.dumps({"b": secret.decode()})}),
        "".join(f"\\u{c:04x}" for c in secret),
    ]
    post(relay, request(span(extra=b"".join(attribute(9, f"a{i}", h) for i, h in enumerate(hidden)))))
    relay.wait_until(lambda: backend.spans())
    got = backend.spans()[0][2]
    assert secret not in got
    for i, h in enumerate(hidden):
        assert h.encode() not in got, i


def test_rules_can_be_listed():
    done = run("rules", "list")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 200
    assert run("rules").returncode == 64
