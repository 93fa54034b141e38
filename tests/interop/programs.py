# SPDX-License-Identifier: Apache-2.0
"""Builds each client from the packages of its ecosystem, in build/interop/, one at a time.

Sources are copied there first: what a package manager writes (locks, sums, folders) stays out of the tree.
What cannot be built because its toolchain is missing skips its tests, and the run says how many."""
import filecmp
import os
import shutil
import subprocess

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("INTEROP_BUILD", os.path.join(HERE, "../../build/interop"))
BUILD = os.path.abspath(BUILD)
BIN = os.path.join(BUILD, "bin")
GO = shutil.which("go") or "/usr/local/go/bin/go"

# The first line of what --version says, where a manifest does not pin it already.
TOOLS = {
    "h2spec": "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible",
    "telemetrygen": "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen@v0.161.0",
    "ghz": "github.com/bojand/ghz/cmd/ghz@v0.93.0",
}


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not on this machine")


def run(command, folder=None, **env):
    done = subprocess.run(command, cwd=folder, env={**os.environ, **env}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}"


def copied(name):
    """build/interop/NAME with our sources in it, and whether they are as the last build left them."""
    folder, fresh = os.path.join(BUILD, name), True
    for path, _, files in os.walk(os.path.join(HERE, name)):
        to = os.path.join(folder, os.path.relpath(path, os.path.join(HERE, name)))
        os.makedirs(to, exist_ok=True)
        for f in files:
            # `go build -mod=mod` adds to go.mod: the copy beside it says what it was made from.
            source, mark = os.path.join(path, f), os.path.join(to, f + ".from")
            if not os.path.exists(mark) or not filecmp.cmp(source, mark, shallow=False):
                fresh = False
                shutil.copy(source, os.path.join(to, f))
                shutil.copy(source, mark)
    return folder, fresh


def go_program(name):
    need(GO)
    folder, fresh = copied(name)
    program = os.path.join(BIN, name)
    if not fresh or not os.path.exists(program):
        # Not `go mod tidy`: it would fetch what only tests of our dependencies need.
        run(["nice", "-n", "10", GO, "build", "-mod=mod", "-o", program, "."], folder)
    return program


def go_tool(name):
    need(GO)
    program = os.path.join(BIN, name)
    if not os.path.exists(program):
        run(["nice", "-n", "10", GO, "install", TOOLS[name]], GOBIN=BIN)
    return program


def python(name="python", script="client.py"):
    folder, fresh = copied(name)
    program = os.path.join(folder, "venv/bin/python")
    if not fresh or not os.path.exists(program):
        need("python3")
        run(["python3", "-m", "venv", "venv"], folder)
        run([program, "-m", "pip", "install", "-q", "-r", "requirements.txt"], folder)
    return [program, os.path.join(folder, script)]


def javascript(name="js", script="client.js"):
    need("node", "npm")
    folder, fresh = copied(name)
    if not fresh or not os.path.exists(os.path.join(folder, "node_modules")):
        run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], folder)
    return ["node", os.path.join(folder, script)]


def java(sender="okhttp.internal.OkHttp"):
    """`sender` of HTTP: OkHttp is the SDK's default, the JDK's asks for h2c on every request."""
    need("java", "mvn")
    folder, fresh = copied("java")
    jar = os.path.join(folder, "target/client.jar")
    if not fresh or not os.path.exists(jar):
        run(["nice", "-n", "10", "mvn", "-q", "-B", "package"], folder)
    choice = f"io.opentelemetry.sdk.common.export.HttpSenderProvider=io.opentelemetry.exporter.sender.{sender}HttpSenderProvider"
    return ["java", f"-D{choice}", "-cp", f"{jar}:{folder}/target/libs/*", "Client"]


def rust():
    need("cargo")
    folder, fresh = copied("rust")
    program = os.path.join(folder, "target/debug/client")
    if not fresh or not os.path.exists(program):
        run(["nice", "-n", "10", "cargo", "build", "-q"], folder)
    return [program]
