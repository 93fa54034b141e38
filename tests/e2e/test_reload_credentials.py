# SPDX-License-Identifier: Apache-2.0
"""Where credentials come from changes while everything goes on: by a reload, as their values change in their
files. A token goes to no place but the one it was meant for."""
import hashlib
import os
import re
import subprocess
import threading
import time

import otlp
import peers
import pytest
from lightstep import lightstep, replace, write  # noqa: F401
from relay import BINARY, check_ledger, is_sanitized
from test_credential_sources import hung  # noqa: F401
from test_oauth2 import TokenServer
from test_reload import exporter, names, reload, rewrite, send, settled, trace

QUICK = "credentials: { overlap: 10s, retry: 100ms, give_up: 5s, poll: 30s }\n"


@pytest.fixture
def other():
    b = peers.HttpBackend()
    yield b
    b.close()


@pytest.fixture
def files(tmp_path):
    """Paths of two files with tokens."""
    for name in "ab":
        write(str(tmp_path / name), f"token-{name}\n")
    return str(tmp_path / "a"), str(tmp_path / "b")


def by_file(path, header="x-api-key"):
    return f", headers: {{ {header}: {{ file: '{path}' }} }}"


def tokens(backend, header="x-api-key"):
    return [h.get(header) for h in list(backend.headers)]


def credential(relay, name="main"):
    return relay.exporter(name)["credential"]


def fingerprint(token):
    return hashlib.sha256(token.encode()).hexdigest()[:12]


def wait_current(relay, token, name="main"):
    """The exporter has it; one request may still have to try it."""
    relay.wait_until(lambda: ((credential(relay, name) or {}).get("current") or {}).get("fingerprint") == fingerprint(token))


def deliver(relay, n=1):
    for _ in range(n):
        send(relay, trace("calm")[0])
        settled(relay)


def add(relay, item):
    rewrite(relay, ("exporters:\n", f"exporters:\n  - {item}\n"))
    return reload(relay)


def connects(relay, name="main"):
    return relay.metric(f'spanrelay_exporter_connects_total{{exporter="{name}"}}')


def test_an_exporter_with_a_credential_comes_and_goes(start, backend, other, files):
    relay = start(exporters=[exporter(backend.port)])
    item = exporter(other.port, "b", by_file(files[0]))
    for _ in range(2):
        assert "exporters[b]: added" in add(relay, item)
        deliver(relay)
        assert set(tokens(other)) == {"token-a"} and set(tokens(backend)) == {None}
        assert credential(relay, "b")["sources"][0]["path"] == files[0]
        assert credential(relay, "b")["current"]["generation"] == 1
        assert relay.metric('spanrelay_credential_reload_total{exporter="b",result="changed"}') == 1
        rewrite(relay, (f"  - {item}\n", ""))
        reload(relay)
        assert 'exporter="b"' not in "".join(re.findall(r"spanrelay_credential.*", relay.get("/metrics")[1]))
    add(relay, item)
    deliver(relay)
    replace(files[0], "second-of-a")  # it is watched too
    wait_current(relay, "second-of-a", "b")
    deliver(relay, 2)
    assert tokens(other)[-1] == "second-of-a"
    subprocess.run([BINARY, "credentials", "drop-previous", "b", "--admin", f"127.0.0.1:{relay.admin}"], check=True)
    relay.wait_until(lambda: credential(relay, "b")["previous"] is None)


def test_one_that_has_no_token_yet_is_no_fault(start, backend, other, files):
    os.remove(files[0])
    relay = start(exporters=[exporter(backend.port)])
    add(relay, exporter(other.port, "b", by_file(files[0])))
    send(relay, trace("late")[0])
    relay.wait_until(lambda: names(backend) == ["late"])
    assert relay.exporter("b")["state"] == "no_credential" and tokens(other) == []
    relay.wait_until(lambda: credential(relay, "b")["last_read"] == "missing")
    write(files[0], "token-a")
    settled(relay)
    assert set(tokens(other)) == {"token-a"} and names(other)[-1] == "late"


def test_another_file_is_a_rotation(start, backend, files):
    """In place: the old token goes on as long as the new file has none, and stands by after that."""
    os.remove(files[1])
    relay = start(exporters=[exporter(backend.port, more=by_file(files[0]))])
    deliver(relay)
    rewrite(relay, (files[0], files[1]))
    assert "exporters[main].headers: changed" in reload(relay)
    relay.wait_until(lambda: credential(relay)["last_read"] == "missing")
    deliver(relay)
    write(files[0], "nobody looks there any more")
    write(files[1], "token-b")
    wait_current(relay, "token-b")
    deliver(relay, 2)
    assert tokens(backend) == ["token-a", "token-a", "token-b", "token-b"]
    assert credential(relay)["previous"]["fingerprint"] == fingerprint("token-a")
    assert credential(relay)["sources"][0]["path"] == files[1]
    assert relay.metric('spanrelay_credential_reload_total{exporter="main",result="changed"}') == 2  # it counts on
    assert connects(relay) == 1


def test_a_new_source_whose_token_is_refused_costs_nothing(start, lightstep, files):  # noqa: F811
    lightstep.good_tokens = {"token-a"}
    item = exporter(lightstep.port, more=by_file(files[0], "lightstep-access-token")).replace("http/protobuf", "grpc")
    relay = start(QUICK, exporters=[item])
    deliver(relay)
    rewrite(relay, (files[0], files[1]))
    reload(relay)
    wait_current(relay, "token-b")
    deliver(relay, 3)
    assert len(lightstep.spans()) == 4 and lightstep.count("token-b") > 0
    assert credential(relay)["state"] == "pending"
    lightstep.good_tokens = {"token-b"}
    deliver(relay, 3)
    assert len(lightstep.spans()) == 7 and credential(relay)["state"] == "promoted"


def test_from_no_secret_to_one_and_back(start, backend, files):
    relay = start(exporters=[exporter(backend.port, more=", headers: { x-team: red }")])
    deliver(relay)
    rewrite(relay, ("headers: { x-team: red }", f"headers: {{ x-team: red, x-api-key: {{ file: '{files[0]}' }} }}"))
    reload(relay)
    deliver(relay)
    rewrite(relay, ("x-api-key", "x-other-key"))
    reload(relay)
    deliver(relay)
    rewrite(relay, (f", x-other-key: {{ file: '{files[0]}' }}", ""))
    reload(relay)
    assert credential(relay) is None
    deliver(relay)
    assert tokens(backend) == [None, "token-a", None, None]
    assert tokens(backend, "x-other-key") == [None, None, "token-a", None]
    assert {h["x-team"] for h in backend.headers} == {"red"} and connects(relay) == 1


def test_how_long_the_old_token_stays_is_hot_too(start, backend, files):
    relay = start("credentials: { overlap: 1h }\n", exporters=[exporter(backend.port, more=by_file(files[0]))])
    deliver(relay)
    replace(files[0], "second-of-a")
    wait_current(relay, "second-of-a")
    deliver(relay)
    assert credential(relay)["previous"] is not None
    rewrite(relay, ("overlap: 1h", "overlap: 100ms"))
    assert "credentials.overlap: 1h -> 100ms" in reload(relay)
    relay.wait_until(lambda: credential(relay)["previous"] is None)


def test_who_may_read_a_file_is_judged_anew(start, backend, files):
    os.chmod(files[0], 0o644)
    relay = start(exporters=[exporter(backend.port, more=by_file(files[0]))])
    send(relay, trace("calm")[0])
    relay.wait_until(lambda: credential(relay)["last_read"] == "world_readable")
    rewrite(relay, ("exporters:", "credentials: { world_readable: allow }\nexporters:"))
    reload(relay)
    settled(relay)
    assert tokens(backend) == ["token-a"]


def test_fetched_tokens_come_from_elsewhere(start, backend, tmp_path):
    """Another client, another server of tokens, then a plain file."""
    first, second = TokenServer(), TokenServer()
    second.secret = "another"
    for name, text in (("id", "relay"), ("secret", first.secret), ("secret2", second.secret), ("file", "token-of-file")):
        write(str(tmp_path / name), text)
    oauth2 = f"oauth2: {{ token_url: 'http://127.0.0.1:{first.port}/t', client_id_file: {tmp_path}/id, client_secret_file: {tmp_path}/secret }}"
    relay = start(exporters=[exporter(backend.port)])
    rewrite(relay, ("linger: 10ms", f"linger: 10ms, {oauth2}"))
    assert "exporters[main].oauth2.token_url" in reload(relay)
    deliver(relay)
    rewrite(relay, (f":{first.port}/t", f":{second.port}/u"), (f"{tmp_path}/secret", f"{tmp_path}/secret2"))
    reload(relay)
    fetched = len(first.requests)
    relay.wait_until(lambda: len(second.requests) >= 1)
    relay.wait_until(lambda: credential(relay)["state"] == "canary" or credential(relay)["current"]["generation"] > 1)
    deliver(relay, 2)
    time.sleep(2)  # tokens live so long
    deliver(relay)
    assert len(first.requests) == fetched and relay.exporter()["buffered"] == 0
    with open(relay.config) as f:
        now = re.search(r"oauth2: \{.*?\}", f.read())[0]
    rewrite(relay, (now, f"headers: {{ authorization: {{ file: '{tmp_path}/file', prefix: 'Bearer ' }} }}"))
    reload(relay)
    wait_current(relay, "token-of-file")
    deliver(relay, 2)
    assert tokens(backend, "authorization")[-1] == "Bearer token-of-file"
    assert None not in tokens(backend, "authorization")
    assert "another" not in relay.text() + relay.get("/status")[1]
    first.close()
    second.close()


def test_a_fault_in_what_is_new_changes_nothing(start, backend, files):
    relay = start(exporters=[exporter(backend.port, more=by_file(files[0]))])
    deliver(relay)
    many = ", ".join(f"x-{i}: {{ file: '{files[1]}{i}' }}" for i in range(9))
    for before, after, told in (
        (f"file: '{files[0]}'", "env: NOT_THERE", "NOT_THERE is not known to the running relay"),
        (f"file: '{files[0]}'", "file_env: NOT_THERE_FILE", "NOT_THERE_FILE is not known to the running relay"),
        (f"x-api-key: {{ file: '{files[0]}' }}", many, "more than 8 files"),
    ):
        rewrite(relay, (before, after))
        assert told in reload(relay, code=78)
        rewrite(relay, (after, before))
    assert "nothing has changed" in reload(relay)
    deliver(relay)
    assert tokens(backend) == ["token-a", "token-a"]


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer has to be the first library")
def test_a_mount_that_hangs_holds_up_no_reload(start, backend, other, files, hung):  # noqa: F811
    """Nor the way out of it; what is on that mount comes when it is back."""
    relay = start(exporters=[exporter(backend.port)], env={**os.environ, **hung})
    path = hung["LS_ACCESS_TOKEN_FILE"]
    add(relay, exporter(other.port, "b", by_file(path)))
    for linger in (10, 11, 12):
        rewrite(relay, (f"linger: {linger}ms", f"linger: {linger + 1}ms"))
        assert "linger" in reload(relay)
    rewrite(relay, (path, files[0]))
    reload(relay)
    send(relay, trace("calm")[0])
    relay.wait_until(lambda: names(backend) == ["calm"])
    write(hung["HANGING_UNTIL"], "")
    settled(relay)
    assert set(tokens(other)) == {"token-a"}
