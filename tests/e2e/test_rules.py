# SPDX-License-Identifier: Apache-2.0
"""spanrelay test: rules are tried on sample traces, and what is wrong with a file is told by its place."""
import os
import re
import subprocess

import pytest
from relay import BINARY

ROOT = os.path.join(os.path.dirname(__file__), "../..")


def run(*args, cwd=None):
    return subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=60, cwd=cwd)


RULES = """sampling:
  rules:
    - { name: shadow, when: any(span.error), keep: 1%, dry_run: true }
    - { name: errors, when: any(span.error), keep: 100% }
    - { name: slow, when: trace.duration > 2s, keep: 50% }
    - { name: many, when: trace.span_count > 100, keep: 10% }
    - { name: array, when: 'any(span.tags == "b" and event.name == "retry" and event.n >= 2)', keep: 0 }
    - { name: types, when: 'any(span.b == true and span.i == 7 and span.d starts_with "0." and span.s =~ "^7$")', keep: 20% }
    - { name: headless, when: not trace.has_root, keep: { lightstep_satellite: 10% } }
    - { name: rest, keep: { spans_per_second: 1000, by: service.name } }
"""

ALL = RULES + """tests:
  - { name: t1, spans: [ { status: error } ], rule: errors, keep: true }
  - { name: t2, spans: [ { duration: 3s }, { duration: 9s } ], rule: slow, keep: 50% }
  - { name: t3, spans: [ { duration: 1s }, { duration: 9s } ], rule: rest }
  - { name: t4, spans: [ { root: false, duration: 1s }, { start: 2s, duration: 5ms } ], rule: slow }
  - { name: t5, spans: [ { name: a }, { count: 100 } ], rule: many, keep: 10% }
  - { name: t6, spans: [ { attributes: { tags: [a, b] }, events: [ { name: x }, { name: retry, attributes: { n: 2 } } ] } ], keep: false }
  - { name: t7, spans: [ { attributes: { b: true, i: 7, d: 5e-1, s: "7" } } ], rule: types }
  - { name: t8, spans: [ { attributes: { b: "tru", i: 7, d: 0.5, s: 7 } } ], rule: rest }
  - { name: t9, spans: [ { root: false } ], rule: headless, keep: 10% }
  - { name: t10, spans: [ { duration: 1s }, { root: true, duration: 9s } ], rule: rest }
"""


def write(tmp_path, text, name="t.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_the_example_passes_its_tests():
    done = run("test", "conf/rules.test.yaml", cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("10 passed, 0 failed\n")
    assert done.stderr == ""


def test_rules_in_the_test_file_itself(tmp_path):
    done = run("test", write(tmp_path, ALL))
    assert done.stdout.splitlines() == [f"ok t{i}" for i in range(1, 11)] + ["10 passed, 0 failed"]
    assert done.returncode == 0


def test_a_configuration_beside_the_test_file(tmp_path):
    write(tmp_path, RULES, "rules.yaml")
    tests = "config: rules.yaml\ntests: [ { name: a, spans: [ { name: x } ], rule: rest } ]\n"
    done = run("test", write(tmp_path, tests), cwd="/")
    assert done.stdout == "ok a\n1 passed, 0 failed\n"


@pytest.mark.parametrize(
    "test, said",
    [
        ("spans: [ { status: error } ], rule: slow",
         "expected rule slow, got errors because it comes first and takes any(span.error) (1 span, 1 error, 0ms, with a root)"),
        ("spans: [ { duration: 1500ms }, {} ], rule: slow",
         "expected rule slow, got rest because slow does not hold: trace.duration > 2s (2 spans, 0 errors, 1500ms, with a root)"),
        ("spans: [ { root: false, status: error } ], rule: shadow",
         "expected rule shadow, got errors because shadow is a dry run, which decides nothing (1 span, 1 error, 0ms, no root)"),
        ("spans: [ { duration: 3s } ], rule: slow, keep: true", "expected keep 100%, got 50% because rule slow decides"),
        ("spans: [ { duration: 3s } ], keep: 49.9%", "expected keep 49.9%, got 50% because rule slow decides"),
        ("spans: [ { name: x } ], keep: true",
         "expected keep 100%, got rule rest because no rule before it holds; it has no fixed share"),
    ],
)
def test_what_fails_says_why(tmp_path, test, said):
    text = RULES + f"tests: [ {{ name: good, spans: [ {{ name: x }} ], rule: rest }}, {{ name: bad, {test} }} ]\n"
    done = run("test", write(tmp_path, text))
    assert done.stdout.splitlines() == ["ok good", "FAILED bad: " + said, "1 passed, 1 failed"]
    assert done.returncode == 1


# What stands behind the rules, from line 11 on, and the findings without the file's name.
WRONG = [
    ("", "1:1: tests: wanted a list, each one a map: - { name: ... }"),
    ("tests: 5\n", "11:8: tests: wanted a list, each one a map: - { name: ... }"),
    ("tests: []\n", "11:8: tests: wanted a list, each one a map: - { name: ... }"),
    ("tets: []\n", '11:1: unknown key "tets" in the file; did you mean "tests"?'),
    ("zzzzz: []\n", '11:1: unknown key "zzzzz" in the file; known here: config sampling budgets tests'),
    ("config: x.yaml\n", "11:9: config: the file has rules of its own; keep one of them"),
    ("tests: [ 5 ]\n", "11:10: tests[]: wanted a map of keys and values"),
    ("tests: [ { name: a, spans: [ {} ] } ]\n", "11:10: tests[]: wanted what to expect: rule or keep"),
    ("tests: [ { spans: [ {} ], rule: rest } ]\n", "11:10: tests[].name is missing"),
    ("tests: [ { name: a, rule: rest } ]\n", "11:10: tests[].spans is missing"),
    ("tests: [ { name: a, span: [ {} ], rule: rest, spans: [] } ]\n",
     '11:21: unknown key "span" in tests[]; did you mean "spans"?',
     "11:54: tests[].spans: wanted a list, each one a map"),
    ("tests: [ { name: a, spans: [ 5 ], rule: rest } ]\n", "11:30: tests[].spans[]: wanted a map of keys and values"),
    ("tests: [ { name: a, spans: [ { knid: server } ], rule: rest } ]\n",
     '11:32: unknown key "knid" in tests[].spans[]; did you mean "kind"?'),
    ("tests: [ { name: a, spans: [ { kind: srever } ], rule: rest } ]\n",
     "11:38: kind: wanted one of unspecified, internal, server, client, producer, consumer"),
    ("tests: [ { name: a, spans: [ { status: bad } ], rule: rest } ]\n", "11:40: status: wanted one of unset, ok, error"),
    ("tests: [ { name: a, spans: [ { duration: 5 } ], rule: rest } ]\n",
     "11:42: duration: wanted a whole number and a unit, such as 150ms or 3s"),
    ("tests: [ { name: a, spans: [ { count: 0 } ], rule: rest } ]\n", "11:39: count: wanted from 1 to 10000"),
    ("tests: [ { name: a, spans: [ { root: yes } ], rule: rest } ]\n", "11:38: root: wanted true or false"),
    ("tests: [ { name: a, spans: [ { name: [] } ], rule: rest } ]\n", "11:38: name: wanted one value"),
    ("tests: [ { name: a, spans: [ { attributes: 5 } ], rule: rest } ]\n",
     "11:44: attributes: wanted a map of keys and values"),
    ("tests: [ { name: a, spans: [ { attributes: { a: { b: c } } } ], rule: rest } ]\n",
     "11:49: a: wanted a text, a number, true, false or a list"),
    ("tests: [ { name: a, spans: [ { attributes: { a: [ [] ] } } ], rule: rest } ]\n",
     "11:51: wanted a text, a number, true or false"),
    ("tests: [ { name: a, spans: [ { events: 5 } ], rule: rest } ]\n", "11:40: events: wanted a list, each one a map"),
    ("tests: [ { name: a, spans: [ { events: [ 5 ] } ], rule: rest } ]\n",
     "11:42: tests[].spans[].events[]: wanted a map of keys and values"),
    ("tests: [ { name: a, spans: [ {} ], rule: slwo } ]\n", '11:42: rule: no rule "slwo"; did you mean "slow"?'),
    ("tests: [ { name: a, spans: [ {} ], rule: zzzzzz } ]\n", '11:42: rule: no rule "zzzzzz" in the configuration'),
    ("tests: [ { name: a, spans: [ {} ], rule: [] } ]\n", "11:42: rule: wanted the name of a rule"),
    ("tests: [ { name: a, spans: [ {} ], keep: 5 } ]\n", "11:42: keep: wanted true, false or a percentage such as 50%"),
    ("tests: [ { name: a, spans: [ {} ], keep: [] } ]\n", "11:42: keep: wanted true, false or a percentage such as 50%"),
    ("tests: [ { name: a, spans: [ {} ], rule: rest, keep: 5% } ]\n",
     '11:54: keep: rule "rest" has no fixed share: its goal decides'),
    ("tests: [\n", "12:1: not YAML: did not find expected node content"),
]


@pytest.mark.parametrize("text, said", [(w[0], w[1:]) for w in WRONG])
def test_a_wrong_test_file_is_told_where_and_what(tmp_path, text, said):
    path = write(tmp_path, RULES + text)
    done = run("test", path)
    assert done.stderr.splitlines() == [f"{path}:{line}" for line in said]
    assert done.returncode == 65


def test_no_rules_at_all(tmp_path):
    path = write(tmp_path, "tests: [ { name: a, spans: [ {} ], rule: rest } ]\n")
    done = run("test", path)
    assert done.stderr == f"{path}:1:1: wanted the rules: config: FILE, or sampling and budgets\n"
    assert done.returncode == 65


def test_wrong_rules_are_those_of_a_configuration(tmp_path):
    rules = RULES.replace("trace.duration > 2s", "trace.duration > 2")
    done = run("test", write(tmp_path, rules + "tests: []\n"))
    assert done.returncode == 78
    assert ":5:44: sampling.rules[2].when: expected a duration such as `2s`" in done.stderr
    write(tmp_path, rules, "rules.yaml")
    done = run("test", write(tmp_path, "config: rules.yaml\ntests: []\n"))
    assert done.returncode == 78
    assert "rules.yaml:5:44: sampling.rules[2].when" in done.stderr
    assert run("test", write(tmp_path, "config: none.yaml\ntests: []\n")).returncode == 78


def test_usage(tmp_path):
    assert run("test").returncode == 64
    assert run("test", "a", "b").returncode == 64
    assert run("test", "--nonsense").returncode == 64
    assert run("test", "--help").returncode == 0
    assert run("test", str(tmp_path / "none.yaml")).returncode == 66
    assert run("test", write(tmp_path, "")).returncode == 65


def test_check_and_run_look_at_conditions(tmp_path):
    path = write(tmp_path, "sampling:\n  rules:\n    - { name: a, when: 'any(span.eror)', keep: 5% }\n    - { name: b, keep: 0 }\n")
    for command in ("check", "run"):
        done = run(command, "-c", path)
        assert done.returncode == 78
        assert f"{path}:3:29: sampling.rules[0].when: unknown field `span.eror`" in done.stderr


def test_check_warns_of_rules_that_get_nothing(tmp_path):
    path = write(tmp_path, "sampling:\n  rules:\n    - { name: a, keep: 5% }\n    - { name: b, keep: 0 }\n")
    done = run("check", "-c", path)
    assert done.returncode == 0
    assert f"{path}:4:7: warning: sampling.rules[1]: no trace comes here" in done.stderr


def examples():
    """The configurations in the documents; fragments of rules are left out."""
    for name in ("sampling.md", "budgets.md"):
        with open(os.path.join(ROOT, "docs", name)) as page:
            for i, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read(), re.S)):
                if re.match(r"(sampling|budgets):", block):
                    yield pytest.param(block, id=f"{name}-{i}")


@pytest.mark.parametrize("text", examples())
def test_what_the_documents_show_is_right(tmp_path, text):
    done = run("check", "-c", write(tmp_path, text))
    assert done.returncode == 0
    assert "warning" not in done.stderr


def test_the_documents_have_examples():
    assert len(list(examples())) >= 8
