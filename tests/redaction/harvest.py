#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Collects what other scanners test themselves with, for recall.py --corpus. Nothing of it is kept
in this repository: it comes as Go modules through the ordinary client, and
goes to the folder that is named.

    harvest.py FOLDER

A third, by the hash of each value, is marked as held aside: rules are not to be written for it.
Writes FOLDER/corpus.jsonl and prints what came from where."""
import collections
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

GITLEAKS = "github.com/zricethezav/gitleaks/v8"
SCALIBR = "github.com/google/osv-scalibr"

# In place of gitleaks' check of its own rules: each value, and what the rule's group holds in it.
DUMP = """package utils

import (
	"encoding/json"
	"os"
	"strings"

	"github.com/zricethezav/gitleaks/v8/cmd/generate/config/base"
	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/logging"
)

var out = func() *json.Encoder { f, _ := os.Create(os.Getenv("DUMP")); return json.NewEncoder(f) }()

func dump(r *config.Rule, value, path string) {
	d := createSingleRuleDetector(r)
	for _, f := range d.Detect(detect.Fragment{Raw: value, FilePath: path}) {
		out.Encode(map[string]string{"rule": r.RuleID, "value": value, "secret": f.Secret})
		return
	}
}

func Validate(rule config.Rule, yes []string, no []string) *config.Rule {
	for _, v := range yes {
		dump(&rule, v, "")
	}
	return &rule
}

func ValidateWithPaths(rule config.Rule, yes map[string]string, no map[string]string) *config.Rule {
	for path, v := range yes {
		dump(&rule, v, path)
	}
	return &rule
}

"""


def module(name, folder):
    """Where a Go module lies, or None where it cannot be had."""
    done = subprocess.run(["go", "mod", "download", "-json", name + "@latest"], cwd=folder,
                          stdout=subprocess.PIPE, check=False)
    try:
        return json.loads(done.stdout).get("Dir")
    except ValueError:
        return None


def gitleaks(folder):
    came = module(GITLEAKS, folder)
    if came is None:
        return
    copy, dump = os.path.join(folder, "gitleaks"), os.path.join(folder, "gitleaks.jsonl")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(came, copy)
    subprocess.run(["chmod", "-R", "u+w", copy], check=True)
    check = os.path.join(copy, "cmd/generate/config/utils/validate.go")
    with open(check) as f:
        rest = f.read().split("func createSingleRuleDetector", 1)[1]
    with open(check, "w") as f:
        f.write(DUMP + "func createSingleRuleDetector" + rest)
    subprocess.run(["go", "run", ".", os.path.join(folder, "gitleaks.toml")], check=True,
                   cwd=os.path.join(copy, "cmd/generate/config"),
                   env=dict(os.environ, DUMP=os.path.abspath(dump), GOFLAGS="-mod=mod"))
    with open(dump) as f:
        for line in f:
            yield dict(json.loads(line), source="gitleaks")


def scalibr(folder):
    """Constants of its tests that are named for a key, a token or the like."""
    came = module(SCALIBR, folder)
    constant = re.compile(
        r'(?m)^\s*(?:const\s+|var\s+)?(\w*)\s*:?=\s*["`]([^"`\s\\]{16,3000})["`]\s*$')
    for name in sorted(glob.glob("%s/veles/secrets/**/*_test.go" % came, recursive=True)):
        with open(name) as f:
            for found in constant.finditer(f.read()):
                if (re.search("(?i)key|token|secret|pat|valid|cred", found[1]) and
                        not found[2].startswith("http")):
                    yield {"source": "veles", "rule": name.split("/")[-2], "value": found[2],
                           "secret": found[2]}


def main():
    folder = os.path.abspath(sys.argv[1])
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(os.path.join(folder, "go.mod")):
        subprocess.run(["go", "mod", "init", "harvest"], cwd=folder, check=True)
    seen, counts = set(), collections.Counter()
    with open(os.path.join(folder, "corpus.jsonl"), "w") as out:
        for source in (gitleaks, scalibr):
            for item in source(folder):
                digest = hashlib.sha256(item["value"].encode()).hexdigest()
                if digest in seen:
                    continue
                seen.add(digest)
                item["held"] = int(digest[:8], 16) % 3 == 0
                counts[item["source"], "held out" if item["held"] else "seen"] += 1
                out.write(json.dumps(item) + "\n")
    for key in sorted(counts):
        print("%-10s %-8s %6d" % (key + (counts[key],)))


if __name__ == "__main__":
    main()
