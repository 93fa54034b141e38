# SPDX-License-Identifier: Apache-2.0
"""Tokens that are fetched by OAuth 2.0 client credentials, live a few seconds, and are renewed in time."""
import base64
import http.server
import itertools
import json
import threading
import urllib.parse

import pytest

import peers
from lightstep import delivered, replace, send, write
from relay import check_ledger

LIFE_S = 2


class TokenServer:
    """Issues token-1, token-2, ... to a client that it knows."""

    def __init__(self):
        self.secret, self.requests, self.numbers, self.failing = "s3cret&more", [], itertools.count(1), False
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                server.requests.append(form)
                known = server.knows(self.headers.get("Authorization"), form)
                status = 503 if server.failing else 200 if known else 401
                answer = {"error": "invalid_client", "error_description": server.secret}
                if status == 200:
                    answer = {"access_token": f"token-{next(server.numbers)}", "token_type": "Bearer",
                              "expires_in": LIFE_S}
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = peers.listen(lambda: http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def knows(self, basic, form):
        if basic is not None:
            pair = base64.b64decode(basic.removeprefix("Basic ")).decode()
            client, _, secret = (urllib.parse.unquote(p) for p in pair.partition(":"))
        else:
            client, secret = form.get("client_id"), form.get("client_secret")
        return client == "relay" and secret == self.secret and form["grant_type"] == "client_credentials"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def tokens():
    server = TokenServer()
    yield server
    server.close()


@pytest.fixture
def run(start, tokens, backend, tmp_path):
    write(str(tmp_path / "id"), "relay\n")
    write(str(tmp_path / "secret"), "s3cret&more\n")

    def make(options=""):
        exporter = (
            f"{{ name: main, protocol: http/protobuf, endpoint: 'http://127.0.0.1:{backend.port}', linger: 5ms, "
            f"retry: {{ initial: 50ms, max: 200ms }}, oauth2: {{ token_url: 'http://127.0.0.1:{tokens.port}/t', "
            f"client_id_file: {tmp_path}/id, client_secret_file: {tmp_path}/secret, scopes: 'a b' {options} }} }}"
        )
        return start(exporters=[exporter])

    return make


def used(backend):
    return [h.get("authorization") for h in backend.headers]


@pytest.mark.parametrize("auth", ["basic", "post"])
def test_token_is_fetched_and_renewed_before_it_expires(run, backend, tokens, auth):
    relay = run(f", auth: {auth}")
    n = 0
    while "Bearer token-3" not in used(backend):
        send(relay)
        n += 1
        relay.wait_until(lambda: len(backend.spans()) == n)
    delivered(relay, backend, n)
    assert tokens.requests[0]["scope"] == "a b"
    assert None not in used(backend)
    assert "token-" not in relay.text() + relay.get("/metrics")[1]


def test_token_that_cannot_be_had_costs_nothing(run, backend, tokens):
    tokens.failing = True
    relay = run()
    send(relay, 3)
    relay.wait_for("credential not fetched")
    assert relay.exporter()["state"] == "no_credential" and backend.requests == 0
    tokens.failing = False
    delivered(relay, backend, 3)


def test_refused_token_is_fetched_anew(run, backend, tokens):
    relay = run()
    send(relay)
    delivered(relay, backend, 1)
    backend.answer = lambda n: (401, {}) if n < 3 else (200, {})
    send(relay)
    relay.wait_for('msg="credential read" exporter=main trigger=refused')
    delivered(relay, backend, 2)
    assert len(tokens.requests) >= 2
    check_ledger(relay.status())


def test_new_client_secret_is_used(run, backend, tokens, tmp_path):
    relay = run()
    send(relay)
    delivered(relay, backend, 1)
    tokens.secret = "another one"
    relay.wait_for("credential not fetched.*status=401")
    replace(str(tmp_path / "secret"), "another one")
    asked = len(tokens.requests)
    relay.wait_until(lambda: len(tokens.requests) > asked)
    send(relay)
    delivered(relay, backend, 2)
    assert "another one" not in relay.text() and "s3cret" not in relay.text()
