# SPDX-License-Identifier: Apache-2.0
"""Other certificates by a reload: of listeners, for connections that come from then on, and of exporters, which end
what is in flight and connect anew."""
import os
import shutil
import time

import pytest

import certs
import otlp
import peers
from relay import check_ledger, is_sanitized
from test_credential_sources import hung  # noqa: F401
from test_reload import reload, rewrite, settled
from test_tls import CHANGED, HTTP_EXPIRY, TlsBackend, ca, exporter, files, replace  # noqa: F401


@pytest.fixture
def other(tmp_path):
    return certs.Authority(tmp_path, "other")


def post(relay, ca=None, cert=None):  # noqa: F811
    context = certs.client(ca.cert, cert) if ca else None
    assert peers.post(relay.http, otlp.request(otlp.span()), context=context)[0] == 200


@pytest.fixture
def guarded(ca):  # noqa: F811
    """A backend that lets in who has a certificate of `ca`."""
    b = TlsBackend([certs.server(ca.sign("backend"), ca.cert)])
    yield b
    b.close()


def test_an_exporter_gets_other_certificates(start, ca, other, guarded):  # noqa: F811
    """Another CA, another client certificate; a fault in them stops the reload, and the old ones go on."""
    mine = ca.sign("mine")
    tls = [f"ca_file: {ca.cert}", f"cert_file: {mine[0]}", f"key_file: {mine[1]}"]
    relay = start(exporters=[exporter(guarded, *tls)])
    post(relay)
    settled(relay)
    theirs = other.sign("theirs")
    for faulty, told in (
        (mine[1] + "x", "tls.key_file: cannot be read"),
        (theirs[1], "exporters\\[main\\].tls.key_file: "),
    ):
        rewrite(relay, (f"key_file: {mine[1]}", f"key_file: {faulty}"))
        assert "nothing was changed" in reload(relay, code=78)
        relay.wait_for(told)
        rewrite(relay, (f"key_file: {faulty}", f"key_file: {mine[1]}"))
    post(relay)
    settled(relay)
    assert len(set(guarded.shown)) == 1
    guarded.context[0] = certs.server(other.sign("backend"), other.cert)
    rewrite(relay, (ca.cert, other.cert), (mine[0], theirs[0]), (mine[1], theirs[1]))
    told = reload(relay)
    assert "exporters[main].tls.ca_file: changed" in told and theirs[1] not in told
    for _ in range(3):
        post(relay)
    settled(relay)
    assert len(guarded.spans()) == 5 and len(set(guarded.shown)) == 2
    assert relay.exporter()["retries"] == 0
    replace(theirs, other.sign("renewed"))  # the new files are watched, the old ones are not
    relay.wait_until(lambda: relay.metric(CHANGED) == 1)
    replace(mine, ca.sign("nobodys"))
    post(relay)
    settled(relay)
    time.sleep(0.5)
    assert len(set(guarded.shown)) == 3 and relay.metric(CHANGED) == 1


def test_an_exporter_with_certificates_comes_and_goes(start, backend, ca, guarded):  # noqa: F811
    relay = start()
    mine = ca.sign("mine")
    item = exporter(guarded, f"ca_file: {ca.cert}", f"cert_file: {mine[0]}", f"key_file: {mine[1]}").replace("main", "b")
    expiry = 'spanrelay_tls_certificate_expiry_timestamp_seconds{where="exporters.b"}'
    for n in (1, 2):
        rewrite(relay, ("exporters:\n", f"exporters:\n  - {item}\n"))
        reload(relay)
        post(relay)
        settled(relay)
        relay.wait_until(lambda: relay.metric(expiry) > time.time())
        assert relay.exporter("b")["tls"]["certificate_expires_unix"] == relay.metric(expiry)
        changed = relay.metric(CHANGED)
        replace(mine, ca.sign(f"mine-{n}"))
        relay.wait_until(lambda: relay.metric(CHANGED) == changed + 1)
        post(relay)
        settled(relay)
        rewrite(relay, (f"  - {item}\n", ""))
        reload(relay)
        assert expiry not in relay.get("/metrics")[1]
    assert len(set(guarded.shown)) == 3  # what was new is also what it began with when it came back
    check_ledger(relay.status())


def test_what_is_not_safe_is_said_when_a_reload_brings_it(start, ca, other, guarded):  # noqa: F811
    mine = ca.sign("mine")
    tls = [f"ca_file: {other.cert}", f"cert_file: {mine[0]}", f"key_file: {mine[1]}"]
    relay = start(exporters=[exporter(guarded, *tls)])
    post(relay)
    relay.wait_until(lambda: relay.exporter()["state"] == "retrying")
    rewrite(relay, (tls[0], "skip_verify: true"))
    reload(relay)
    settled(relay)
    relay.wait_for('warn msg="any certificate is believed" exporter=main')
    assert relay.exporter()["tls"]["mode"] == "skip_verify" and len(guarded.spans()) == 1


def test_a_listener_shows_another_certificate(start, backend, ca, other):  # noqa: F811
    """Connections that are there go on as they began."""
    leaf, next_leaf = ca.sign("leaf"), other.sign("next", days=90)
    relay = start(http_tls=files(leaf), grpc_tls=files(leaf))
    old = peers.Http2(relay.grpc, certs.client(ca.cert, alpn=["h2"]))
    body = peers.grpc_message(otlp.request(otlp.span()))
    assert old.request(body, te="trailers")[2]["grpc-status"] == "0"
    rewrite(relay, (files(leaf), files(next_leaf)))
    assert "receivers.otlp_grpc.tls.cert_file: changed" in reload(relay)
    post(relay, other)
    with pytest.raises(OSError):
        post(relay, ca)
    assert old.request(body, te="trailers")[2]["grpc-status"] == "0"
    relay.wait_until(lambda: relay.metric(HTTP_EXPIRY) > time.time() + 80 * 86400)
    replace(next_leaf, other.sign("renewed", days=200))
    relay.wait_until(lambda: relay.metric(HTTP_EXPIRY) > time.time() + 190 * 86400)
    replace(leaf, ca.sign("nobodys"))
    post(relay, other)
    assert relay.metric("spanrelay_connections_closed_total{reason=\"tls_handshake\"}") == 1
    old.close()
    settled(relay)
    assert len(backend.spans()) == 4


def test_a_listener_begins_to_ask_for_certificates(start, backend, ca):  # noqa: F811
    leaf = ca.sign("leaf")
    relay = start(http_tls=files(leaf))
    post(relay, ca)
    rewrite(relay, (files(leaf), files(leaf, ca)))
    reload(relay)
    with pytest.raises(OSError):
        post(relay, ca)
    post(relay, ca, ca.sign("client"))
    assert relay.status()["listener_tls"]["otlp_http"]["client_certificates"] == "require"


def test_faulty_certificates_of_a_listener_change_nothing(start, backend, ca, tmp_path):  # noqa: F811
    leaf = ca.sign("leaf")
    relay = start(http_tls=files(leaf))
    (tmp_path / "rubbish.pem").write_text("rubbish")
    rewrite(relay, (leaf[0], str(tmp_path / "rubbish.pem")))
    assert "receivers.otlp_http.tls.cert_file" in reload(relay, code=78)
    post(relay, ca)
    assert relay.status()["configuration"]["generation"] == 1


def test_to_begin_with_tls_or_to_end_it_takes_a_restart(start, backend, ca):  # noqa: F811
    leaf = files(ca.sign("leaf"))
    relay = start(http_tls=leaf)
    rewrite(relay, (f", tls: {{ {leaf} }}", ""), ("otlp_grpc: { listen: 127.0.0.1:0", f"otlp_grpc: {{ listen: 127.0.0.1:0, tls: {{ {leaf} }}"))
    told = reload(relay)
    assert "needs a restart: receivers.otlp_grpc.tls.cert_file" in told
    assert "needs a restart: receivers.otlp_http.tls.cert_file" in told
    post(relay, ca)
    assert peers.export(relay.grpc, otlp.request(otlp.span()))[0] == 0


@pytest.mark.skipif(is_sanitized(), reason="a sanitizer has to be the first library")
def test_news_of_files_that_are_not_in_use_any_more_come_too_late(start, ca, other, guarded, hung):  # noqa: F811
    """They change on a mount that hangs; a reload names other files meanwhile."""
    folder, back = os.path.dirname(hung.pop("LS_ACCESS_TOKEN_FILE")), hung["HANGING_UNTIL"]
    open(back, "w").close()
    here = [shutil.copy(f, folder) for f in ca.sign("here")]
    there, leaf = ca.sign("there"), other.sign("leaf")
    item = [f"ca_file: {ca.cert}", f"cert_file: {here[0]}", f"key_file: {here[1]}"]
    relay = start(exporters=[exporter(guarded, *item)], http_tls=files(here), env={**os.environ, **hung})
    post(relay, ca)
    settled(relay)
    os.remove(back)
    replace(here, ca.sign("late"))
    time.sleep(0.5)
    rewrite(relay, (f"tls: {{ {files(here)} }}", f"tls: {{ {files(leaf)} }}"))
    rewrite(relay, (here[0], there[0]), (here[1], there[1]))
    reload(relay)
    post(relay, other)
    settled(relay)
    open(back, "w").close()
    relay.wait_for('msg="certificate changed" where=exporters')
    relay.wait_for('msg="certificate changed" where=receivers.otlp_http')
    time.sleep(0.2)
    post(relay, other)
    settled(relay)
    assert len(set(guarded.shown)) == 2
