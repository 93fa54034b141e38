# SPDX-License-Identifier: Apache-2.0
"""A start either works or says why not, with an exit code for scripts."""
import fcntl
import os
import socket
import subprocess
import time

import otlp
import peers
from relay import BINARY, Relay


def run(*args, **env):
    return subprocess.run(
        [BINARY, *args], capture_output=True, text=True, timeout=20, env={**os.environ, **env}
    )


def config(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return str(path)


OFF = "journal: { limit: 16MiB }\nreceivers: { otlp_grpc: { listen: 'off' }, otlp_http: { listen: '127.0.0.1:0' } }\nadmin: { listen: 'off' }\n"


def test_a_wrong_configuration_is_explained(tmp_path):
    path = config(tmp_path, "journal: { lingr: 5ms }\n")
    for command in ("check", "run"):
        done = run(command, "-c", path)
        assert done.returncode == 78
        assert f"{path}:1:" in done.stderr + done.stdout
        assert "linger" in done.stderr + done.stdout


def test_a_busy_port_is_explained(tmp_path, start):
    relay = start()
    text = OFF.replace("127.0.0.1:0", f"127.0.0.1:{relay.http}") + f"data_dir: {tmp_path}/other\n"
    done = run("run", "-c", config(tmp_path, text))
    assert done.returncode == 69
    assert str(relay.http) in done.stderr


def test_a_second_process_on_the_same_data_is_refused(tmp_path, start):
    relay = start()
    done = run("run", "-c", config(tmp_path, OFF + f"data_dir: {relay.data}\n"))
    assert done.returncode == 75
    assert "LOCK" in done.stderr


def test_a_start_outlives_a_relay_that_is_still_dying(tmp_path, backend):
    """The kernel lets go of a killed process's lock a moment after the next one began."""
    data = tmp_path / "data"
    data.mkdir()
    item = f'{{ name: main, protocol: http/protobuf, endpoint: "http://127.0.0.1:{backend.port}" }}'
    with open(data / "LOCK", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        relay = Relay(str(tmp_path), [item], wait=False)
        time.sleep(0.4)
        assert "ready" not in relay.text()
    relay.wait_ready()
    assert relay.stop() == 0


def test_an_unwritable_data_folder_is_explained(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    done = run("run", "-c", config(tmp_path, OFF + f"data_dir: {tmp_path}/file/data\n"))
    assert done.returncode == 73
    assert f"{tmp_path}/file/data" in done.stderr


def test_a_foreign_journal_is_moved_aside_loudly(tmp_path, backend):
    data = tmp_path / "data"
    data.mkdir()
    (data / "journal.mdb").write_bytes(os.urandom(100_000))
    item = f'{{ name: main, protocol: http/protobuf, linger: 10ms, endpoint: "http://127.0.0.1:{backend.port}" }}'
    relay = Relay(str(tmp_path), [item])
    assert any(".bad-" in name for name in os.listdir(data))
    assert "error" in relay.text()
    assert peers.post(relay.http, otlp.request(otlp.span()))[0] == 200
    relay.wait_until(lambda: backend.spans())
    assert relay.stop() == 0


def test_a_full_journal_refuses_honestly(start, backend):
    """16 MiB of journal and of outbox and a dead backend: refusals carry a delay, and nothing acked is lost."""
    backend.close()
    relay = start(extra="journal: { limit: 16MiB }\noutbox: { limit: 16MiB, when_full: refuse }")
    acked, refused = [], 0
    while refused < 3:
        batch = [otlp.span(extra=otlp.attribute(9, "x", os.urandom(2000).hex())) for _ in range(100)]
        code, _, trailers = peers.export(relay.grpc, otlp.request(*batch))
        if code == 0:
            acked += batch
        else:
            assert code == 14
            assert "google.rpc.retryinfo-bin" in trailers
            refused += 1
        assert len(acked) < 20_000
    assert relay.get("/_ready")[0] == 503
    assert relay.metric('spanrelay_refused_requests_total{reason="journal_full"}') == 3
    again = peers.HttpBackend(backend.port)
    relay.wait_until(lambda: len(again.spans()) >= len(acked))
    assert sorted({s[2] for s in again.spans()}) == sorted(acked)
    relay.wait_until(lambda: relay.get("/_ready")[0] == 200)
    again.close()


def test_every_command_has_help():
    for command in ("run", "check", "options", "send", "status", "buffer", "quarantine", "upgrade", "version"):
        done = run(command, "--help")
        assert done.returncode == 0, command
        assert "Usage: spanrelay " + command in done.stdout, command
        assert run(command, "--no-such-option").returncode == 64, command


def test_sockets_of_systemd_are_taken(tmp_path, backend):
    """Socket activation: descriptors from 3 on, their names, and the pid they are meant for."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    text = OFF.replace("'off'", "'127.0.0.1:0'").replace("admin: { listen: '127.0.0.1:0' }", "admin: { listen: 'off' }")
    item = f'  - {{ name: main, protocol: http/protobuf, linger: 10ms, endpoint: "http://127.0.0.1:{backend.port}" }}\n'
    path = config(tmp_path, f"{text}data_dir: {tmp_path}/data\nexporters:\n{item}")
    script = (
        f"exec 3<&{held[0].fileno()} 4<&{held[1].fileno()}; "
        f"LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:grpc exec {BINARY} run -c {path}"
    )
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(["bash", "-c", script], stderr=log, pass_fds=[s.fileno() for s in held])
    try:
        assert peers.post(held[0].getsockname()[1], otlp.request(otlp.span()))[0] == 200
        assert peers.export(held[1].getsockname()[1], otlp.request(otlp.span()))[0] == 0
    finally:
        process.terminate()
        assert process.wait(20) == 0
        for s in held:
            s.close()
