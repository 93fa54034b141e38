# SPDX-License-Identifier: Apache-2.0
"""Where a token comes from, what contradicts itself, where a token is never found, and what is shown of it."""
import hashlib
import os
import signal
import subprocess
import time

import pytest

from lightstep import A, B, REFUSALS, delivered, replace, send, write
from lightstep import lightstep, run, token_file  # noqa: F401
from relay import BINARY, check_ledger, is_sanitized


def test_relay_starts_without_a_token_and_sends_when_there_is_one(run, lightstep, token_file):
    os.remove(token_file)
    relay = run()
    send(relay, 5)
    assert relay.get("/_ready")[0] == 200
    e = relay.exporter()
    assert e["state"] == "no_credential" and e["buffered"] == 5 and e["requests"] == 0
    assert e["credential"]["last_read"] == "missing"
    write(token_file, A)
    delivered(relay, lightstep, 5)


def test_two_lines_are_two_tokens(run, lightstep, token_file):
    write(token_file, f"{B}\n{A}\n")
    relay = run(extra="credentials: { overlap: 0s, retry: 50ms, give_up: 300ms }")
    send(relay, 3)
    delivered(relay, lightstep, 3)
    assert lightstep.count(B) >= 1
    time.sleep(1.5)
    send(relay, 3)
    delivered(relay, lightstep, 6)


def test_environment_file_is_read_again(run, lightstep, tmp_path):
    path = str(tmp_path / "env")
    write(path, f"# ours\nOTHER=1\nLS_ACCESS_TOKEN={A}\n")
    relay = run(env={"SPANRELAY_ENV_FILE": path})
    send(relay)
    delivered(relay, lightstep, 1)
    lightstep.good_tokens.add(B)
    replace(path, f'LS_ACCESS_TOKEN="{B}"\n')
    relay.wait_until(lambda: lightstep.count(B) != 0 or send(relay), 2)


def test_systemd_credential_is_found(run, lightstep, tmp_path):
    write(str(tmp_path / "ls_access_token"), A)
    relay = run(env={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    send(relay)
    delivered(relay, lightstep, 1)
    assert relay.exporter()["credential"]["sources"][0]["variable"] == "CREDENTIALS_DIRECTORY"


WRONG = [
    ({"LS_ACCESS_TOKEN": A, "LS_ACCESS_TOKEN_FILE": "/x"}, "", ["LS_ACCESS_TOKEN ", "LS_ACCESS_TOKEN_FILE"]),
    ({"LS_ACCESS_TOKEN": A, "LS_TOKEN": B}, "", ["LS_ACCESS_TOKEN", "LS_TOKEN"]),
    ({"LS_ACCESS_TOKEN_FILE": "/x", "LIGHTSTEP_ACCESS_TOKEN_FILE": "/y"}, "", ["LIGHTSTEP_ACCESS_TOKEN_FILE"]),
    ({"T": A, "T_FILE": "/x"}, "headers: { a: { file_env: T_FILE } }", ["T ", "T_FILE"]),
    ({"T": A, "T_FILE": "/x"}, "headers: { a: { env: T } }", ["T ", "T_FILE"]),
    ({}, f"headers: {{ lightstep-access-token: {A} }}", ["LS_ACCESS_TOKEN"]),
    ({}, f"headers: {{ authorization: Bearer {A} }}", ["authorization"]),
]


@pytest.mark.parametrize("env, options, names", WRONG)
def test_what_contradicts_itself_stops_the_start(run, env, options, names):
    relay = run(env=env, options=", " + options if options else "", wait=False)
    assert relay.process.wait(10) == 78
    assert all(name in relay.text() for name in names), relay.text()
    assert A not in relay.text() and B not in relay.text()


# ---- secrecy ----


def environ(pid):
    with open(f"/proc/{pid}/environ", "rb") as f:
        return f.read()


def test_no_token_is_found_where_it_does_not_belong(run, lightstep):
    """With tokens of the environment: in the log, on any page, on disk, in what the kernel shows."""
    lightstep.refusal = REFUSALS[2]
    secret = "swordfish-" + "z" * 22
    relay = run(
        env={"LS_ACCESS_TOKEN": A, "MY_TOKEN": secret, "PLAIN": "7s"},
        options=", timeout: '${env:PLAIN}', headers: { x-mine: { env: MY_TOKEN }, x-too: 'a ${env:MY_TOKEN}' }",
    )
    send(relay, 3)
    delivered(relay, lightstep, 3)
    lightstep.good_tokens = set()
    send(relay)
    relay.wait_until(lambda: relay.exporter()["state"] == "held_auth")
    os.kill(relay.worker_pid(), signal.SIGKILL)  # the keeper has it for the next one
    relay.wait_for('msg="ready"', 2)
    lightstep.good_tokens = {A}
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0)
    found = environ(relay.process.pid) + environ(relay.worker_pid())
    found += relay.text().encode() + relay.get("/status")[1].encode() + relay.get("/metrics")[1].encode()
    for folder, _, files in os.walk(relay.data):
        for name in files:
            with open(os.path.join(folder, name), "rb") as f:
                found += f.read()
    for part in (A[:8].encode(), secret[:14].encode()):
        assert part not in found, found[max(0, found.index(part) - 200) :][:300]
    assert b"LS_ACCESS_TOKEN=" not in found.replace(b"LS_ACCESS_TOKEN=\0", b"")


def test_rotation_by_restart_loses_nothing(run, lightstep, tmp_path):
    lightstep.good_tokens = {A}
    relay = run(env={"LS_ACCESS_TOKEN": A})
    send(relay, 3)
    lightstep.good_tokens = {B}
    send(relay, 3)
    assert relay.stop() == 0
    relay = run(env={"LS_ACCESS_TOKEN": B}, name="second")
    send(relay, 3)
    relay.wait_until(lambda: relay.exporter()["buffered"] == 0)
    assert len({s[2] for s in lightstep.spans()}) == 9
    check_ledger(relay.status())


# ---- commands ----


def test_credentials_are_shown_and_the_previous_one_is_dropped(run, lightstep, token_file):
    lightstep.good_tokens = {A, B}
    relay = run()
    send(relay)
    delivered(relay, lightstep, 1)
    replace(token_file, B)
    relay.wait_until(lambda: lightstep.count(B) != 0 or send(relay), 2)

    def command(*words):
        return subprocess.run(
            [BINARY, "credentials", *words, "--admin", f"127.0.0.1:{relay.admin}"], capture_output=True, text=True
        )

    finger = {t: hashlib.sha256(t.encode()).hexdigest()[:12] for t in (A, B)}
    relay.wait_until(lambda: relay.exporter()["credential"]["state"] == "promoted")
    shown = command().stdout
    assert "promoted" in shown and token_file in shown and "LS_ACCESS_TOKEN_FILE" in shown
    assert finger[A] in shown and finger[B] in shown and A not in shown
    assert command("drop-previous", "other").returncode == 69
    assert command("drop-previous", "main").returncode == 0
    relay.wait_until(lambda: relay.exporter()["credential"]["previous"] is None)
    assert finger[A] not in command("--json").stdout


@pytest.fixture
def hung(tmp_path):
    """A folder on a mount that hangs until the file `back` is there."""
    library, folder = str(tmp_path / "hanging.so"), tmp_path / "hung"
    source = os.path.join(os.path.dirname(__file__), "hanging.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", library, source, "-ldl"], check=True)
    folder.mkdir()
    write(str(folder / "token"), A)
    return {
        "LS_ACCESS_TOKEN_FILE": str(folder / "token"),
        "LD_PRELOAD": library,
        "HANGING_UNTIL": str(tmp_path / "back"),
    }


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer has to be the first library")
def test_mount_that_hangs_holds_up_nobody(run, lightstep, hung):
    relay = run(env=hung)
    send(relay, 3)
    for _ in range(20):
        relay.process.send_signal(signal.SIGHUP)
    assert relay.get("/_ready")[0] == 200
    assert relay.exporter()["state"] == "no_credential"
    write(hung["HANGING_UNTIL"], "")
    delivered(relay, lightstep, 3)


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer has to be the first library")
def test_mount_that_hangs_does_not_hold_up_a_stop(run, hung):
    relay = run(env=hung)
    send(relay, 3)
    began = time.monotonic()
    assert relay.stop() == 0
    assert time.monotonic() - began < 3
