# SPDX-License-Identifier: Apache-2.0
# `make help` lists the targets. ./run and ./test install what is missing and call `make run`, `make test`.

VERSION := 0.1.0
PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= gcc
# Each kind of build has a folder of its own: make BUILD=build-asan SANITIZE=address,undefined
BUILD   ?= build
SANITIZE ?=
Q := $(if $(V),,@)
WERROR  ?= $(if $(CI),-Werror)

PACKAGES := libnghttp2 libzstd libdeflate libisal libprotobuf-c openssl yaml-0.1 libcares jansson libpcre2-8 libhs
FOLDERS  := base wire conf audit identity pipeline redaction storage exporters receivers relay

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef \
	-Wwrite-strings -Wcast-qual -Wformat=2 -Wimplicit-fallthrough $(WERROR)
HARDEN := -fPIE -fstack-protector-strong -fno-strict-aliasing $(if $(SANITIZE),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
OPT    ?= -O2 -g
CPPFLAGS += -I. -I$(BUILD) -I$(BUILD)/proto -D_GNU_SOURCE -DSPANRELAY_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PACKAGES))
CFLAGS   += -std=c17 $(OPT) -pthread $(HARDEN) -MMD -MP $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
LDFLAGS  += -pie -pthread -Wl,-z,relro,-z,now $(if $(SANITIZE),-fsanitize=$(SANITIZE))
LDLIBS   += -lm -lev -llmdb -lhttp_parser $(shell pkg-config --libs $(PACKAGES))

PROTOS   := $(shell cd wire/proto && find . -name '*.proto' | sed 's|^\./||')
PROTO_C  := $(PROTOS:%.proto=$(BUILD)/proto/%.pb-c.c)
PROTO_O  := $(PROTO_C:.c=.o)
PACKS    := $(patsubst conf/rules/%.yaml,$(BUILD)/rules/%.inc,$(wildcard conf/rules/*.yaml))
SOURCES  := $(wildcard $(FOLDERS:%=%/*.c))
OBJECTS  := $(SOURCES:%.c=$(BUILD)/%.o)
PARTS    := $(filter-out $(BUILD)/relay/main.o,$(OBJECTS)) $(PROTO_O)
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))

.DEFAULT_GOAL := all
.SECONDARY:
.PHONY: all help run test unit e2e asan tsan fuzz rules recall redact-truth redact-linear bench-redact tls-matrix crash judged reload rotation outage torture model powercut corrupt budget-truth identity-timing plan-truth sampler-truth audit-damage redact-matrix redact-again budget-live start interop bench bench-sampler bench-budget bench-peer layers tidy format docs check-docs install clean

all: $(BUILD)/spanrelay ## builds build/spanrelay

help: ## lists the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

$(BUILD)/spanrelay: $(OBJECTS) $(PROTO_O)
	@echo LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Generated: our warnings are not for it. It is made before anything else is compiled.
$(BUILD)/proto/%.pb-c.c: wire/proto/%.proto
	@mkdir -p $(BUILD)/proto
	$(Q)protoc-c --proto_path=wire/proto --c_out=$(BUILD)/proto $<
$(BUILD)/proto/%.o: $(BUILD)/proto/%.c
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -w -c -o $@ $<

$(BUILD)/%.o: %.c | $(PROTO_C)
	@mkdir -p $(@D)
	@echo CC $<
	$(Q)$(CC) $(CPPFLAGS) -include base/banned.h $(CFLAGS) $(WARNINGS) -c -o $@ $<

# Rules become part of the program (redaction/packs.c): a string literal for each of their lines.
$(BUILD)/rules/%.inc: conf/rules/%.yaml
	@mkdir -p $(@D)
	$(Q)sed 's/[\\"?]/\\&/g; s/^/"/; s/$$/\\n"/' $< >$@
$(BUILD)/redaction/packs.o: $(PACKS)

# All but main(), for tests: each links what it calls and no more.
$(BUILD)/parts.a: $(PARTS)
	$(Q)rm -f $@
	$(Q)$(AR) rcsT $@ $^

$(BUILD)/unit/%: tests/unit/%.c tests/check.h $(BUILD)/parts.a
	@mkdir -p $(@D)
	@echo CC $<
	$(Q)$(CC) $(CPPFLAGS) -Itests $(CFLAGS) $(WARNINGS) -o $@ $< $(BUILD)/parts.a $(LDFLAGS) $(LDLIBS)

# Programs that damage, cut and restart a store and know what must be in it.
$(BUILD)/disk/model $(BUILD)/disk/powercut: tests/disk/boxes.c tests/disk/boxes.h
$(BUILD)/disk/powercut: tests/disk/record.c tests/disk/record.h
$(BUILD)/disk/corrupt $(BUILD)/disk/corrupt_box: tests/disk/damage.h
$(BUILD)/disk/%: tests/disk/%.c tests/disk/world.c tests/disk/world.h $(BUILD)/parts.a
	@mkdir -p $(@D)
	@echo CC $<
	$(Q)$(CC) $(CPPFLAGS) -Itests $(CFLAGS) $(WARNINGS) -o $@ $(filter %.c,$^) $(BUILD)/parts.a $(LDFLAGS) $(LDLIBS)

MODEL    ?= 100000
POWERCUT ?= 10000
CORRUPT  ?= 6000
model: $(BUILD)/disk/model ## the store against a model of it: MODEL (100000) random sequences
	$(Q)$(BUILD)/disk/model $(MODEL)

powercut: $(BUILD)/disk/powercut ## what a power cut may leave: POWERCUT (10000) images
	$(Q)$(BUILD)/disk/powercut $(POWERCUT)

corrupt: $(BUILD)/disk/corrupt $(BUILD)/disk/corrupt_box ## damaged journals and outbox files: CORRUPT (6000) of each
	$(Q)$(BUILD)/disk/corrupt $(CORRUPT)
	$(Q)$(BUILD)/disk/corrupt_box $(CORRUPT)

# Budgets in simulated time, beside textbook samplers.
$(BUILD)/truth/budget_truth: $(filter-out tests/truth/identity_timing.c,$(wildcard tests/truth/*.[ch]))
$(BUILD)/truth/%: tests/truth/%.c $(BUILD)/parts.a
	@mkdir -p $(@D)
	@echo CC $<
	$(Q)$(CC) $(CPPFLAGS) -Itests $(CFLAGS) $(WARNINGS) -o $@ $(filter %.c,$^) $(BUILD)/parts.a $(LDFLAGS) $(LDLIBS)

budget-truth: $(BUILD)/truth/budget_truth ## how true budgets are, by shape of traffic: a table (SHAPE="10 keys")
	$(Q)$(BUILD)/truth/budget_truth $(if $(SHAPE),"$(SHAPE)")

identity-timing: $(BUILD)/truth/identity_timing ## whether looking up a token takes a time that tells: COMPARISONS (1000000) of each kind
	$(Q)$(BUILD)/truth/identity_timing $(COMPARISONS)

plan-truth: all $(BENCH_P) ## what `spanrelay plan` predicts and what a relay then keeps, 7 minutes (PLAN="--seconds 30")
	BUILD=$(BUILD) $(PYTHON) tests/truth/plan.py $(PLAN)

# Copies of an audit log, damaged in every way.
$(BUILD)/audit-test/%: tests/audit/%.c tests/unit/audit_fixture.h $(BUILD)/parts.a
	@mkdir -p $(@D)
	@echo CC $<
	$(Q)$(CC) $(CPPFLAGS) -Itests $(CFLAGS) $(WARNINGS) -o $@ $(filter %.c,$^) $(BUILD)/parts.a $(LDFLAGS) $(LDLIBS)

AUDIT ?= 1000
audit-damage: $(BUILD)/audit-test/damage ## AUDIT (1000) damaged copies of an audit log: each is found
	$(Q)$(BUILD)/audit-test/damage $(AUDIT)

# The sampler beside a model of it, and killed at random.
$(BUILD)/sampler/truth: tests/sampler/model.c tests/sampler/model.h tests/unit/sampler_fixture.h
$(BUILD)/sampler/%: tests/sampler/%.c $(BUILD)/parts.a
	@mkdir -p $(@D)
	@echo CC $<
	$(Q)$(CC) $(CPPFLAGS) -Itests $(CFLAGS) $(WARNINGS) -o $@ $(filter %.c,$^) $(BUILD)/parts.a $(LDFLAGS) $(LDLIBS)

SAMPLER ?= 1000000
sampler-truth: $(BUILD)/sampler/truth ## the sampler against a model of it: SAMPLER (1000000) random traces
	$(Q)$(BUILD)/sampler/truth $(SAMPLER)

start: $(BUILD)/disk/start ## how long a start takes: START ("1024 10240": MiB of journal, of outbox)
	$(Q)$(BUILD)/disk/start $(START)

# Rules beside a plain loop of PCRE2 over all of them.
$(BUILD)/redaction-test/%: tests/redaction/%.c tests/redaction/oracle.c $(wildcard tests/redaction/*.h) $(BUILD)/parts.a
	@mkdir -p $(@D)
	@echo CC $<
	$(Q)$(CC) $(CPPFLAGS) -Itests $(CFLAGS) $(WARNINGS) -o $@ $(filter %.c,$^) $(BUILD)/parts.a $(LDFLAGS) $(LDLIBS)

rules: $(BUILD)/redaction-test/examples ## each rule finds what its examples say, and no more
	$(Q)$(BUILD)/redaction-test/examples

redact-matrix: $(BUILD)/redaction-test/matrix ## every shape of secret, at every place, in every writing: gone, and nothing else
	$(Q)$(BUILD)/redaction-test/matrix $(MATRIX)

AGAIN ?= 100000
redact-again: $(BUILD)/redaction-test/again ## what redaction leaves, it leaves alone: AGAIN (100000) random values
	$(Q)$(BUILD)/redaction-test/again $(AGAIN)

recall: $(BUILD)/redaction-test/find ## what share of planted secrets the default rules find, and of clean values
	$(Q)$(PYTHON) tests/redaction/recall.py --find $(BUILD)/redaction-test/find $(RECALL)

REDACT ?= 1000000
redact-truth: $(BUILD)/redaction-test/differential ## the engine beside that loop: REDACT (1000000) random values
	$(Q)$(BUILD)/redaction-test/differential $(REDACT)

redact-linear: $(BUILD)/redaction-test/linear ## texts made to be slow: time grows as they do
	$(Q)$(BUILD)/redaction-test/linear

# Programs that measure: load, sink, disk.
BENCH_O := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/bench/*.c))
BENCH_P := $(patsubst %,$(BUILD)/bench/%,load sink disk sampler budget redact stage)
$(BUILD)/bench/load: $(BUILD)/tests/bench/client.o
$(BUILD)/bench/load $(BUILD)/bench/disk $(BUILD)/bench/stage: $(BUILD)/tests/bench/corpus.o
$(BUILD)/bench/%: $(BUILD)/tests/bench/%.o $(BUILD)/parts.a
	@mkdir -p $(@D)
	$(Q)$(CC) -o $@ $(filter %.o,$^) $(BUILD)/parts.a $(LDFLAGS) $(LDLIBS)

# BASELINE=PROGRAM, another build of the relay, is compared with this one.
bench: all $(BENCH_P) ## speed and memory, 6 minutes; BENCH=quick: two; BENCH=--write: docs/benchmarks.md
	BUILD=$(BUILD) BASELINE="$(BASELINE)" tests/bench/run $(BENCH)

bench-sampler: $(BUILD)/bench/sampler ## what judging a span costs, by how many traces wait
	$(Q)$(BUILD)/bench/sampler

bench-budget: $(BUILD)/bench/budget ## what a budget costs, by keys and by nodes on the way
	$(Q)$(BUILD)/bench/budget

bench-redact: $(BUILD)/bench/redact $(BUILD)/bench/stage ## what looking for secrets costs, and making a rule set; the stage by its parts
	$(Q)$(BUILD)/bench/redact
	$(Q)$(BUILD)/bench/stage

# The Collector comes from its Go modules, by its own builder; what they lock stays out of the tree.
PEER := $(BUILD)/peer/otelcol-peer
$(PEER): tests/bench/peer/builder.yaml
	@mkdir -p $(@D)
	sed 's|^dist:|&\n  output_path: .|' $< >$(@D)/builder.yaml
	cd $(@D) && go run go.opentelemetry.io/collector/cmd/builder@v0.155.0 --config builder.yaml

bench-peer: all $(BENCH_P) $(PEER) ## the same load through an OpenTelemetry Collector (wants Go and its modules)
	BUILD=$(BUILD) tests/bench/peer/run $(abspath $(PEER)) $(BENCH)

run: all ## builds and starts the relay with the sample configuration
	$(BUILD)/spanrelay run -c conf/spanrelay.yaml

test: unit rules e2e layers check-docs ## all tests of a change: unit, end to end, layers, docs

unit: $(UNIT) ## unit tests
	@tests/run-unit $(UNIT)

PYTHON ?= /usr/bin/python3
SCRATCH := $(or $(TMPDIR),/tmp)/spanrelay-test-$(BUILD)

e2e: $(BUILD)/spanrelay ## the real program, real sockets
	$(Q)SPANRELAY=$(abspath $(BUILD)/spanrelay) tests/run-e2e $(PYTHON) $(SCRATCH) tests/e2e e2e

ASAN := BUILD=build-asan SANITIZE=address,undefined
TSAN := BUILD=build-tsan SANITIZE=thread

asan: ## unit and end-to-end tests under AddressSanitizer and UBSan
	$(MAKE) $(ASAN) unit e2e

tsan: ## end-to-end tests under ThreadSanitizer
	TSAN_OPTIONS="suppressions=$(abspath tests/tsan.supp)" $(MAKE) $(TSAN) e2e

# Client programs go to build/interop/ and stay there; INTEROP=local is what needs no downloads.
interop: $(BUILD)/spanrelay ## against programs we did not write (INTEROP=local: those of the distribution)
	$(Q)SPANRELAY=$(abspath $(BUILD)/spanrelay) tests/run-e2e $(PYTHON) $(SCRATCH)-interop \
		tests/interop/$(if $(filter local,$(INTEROP)),test_local.py) interop

tls-matrix: $(BUILD)/spanrelay ## what the listeners agree to, by `openssl s_client` (TLS_MATRIX=--write: docs/tls.md)
	$(Q)SPANRELAY=$(abspath $(BUILD)/spanrelay) $(PYTHON) tests/tls/matrix.py $(TLS_MATRIX)

crash: $(BUILD)/spanrelay ## kills, upgrades and stops under load: 320 of them (CRASH="--worker 20 ...")
	$(Q)SPANRELAY=$(abspath $(BUILD)/spanrelay) $(PYTHON) tests/crash/crash.py $(CRASH)

judged: $(BUILD)/spanrelay ## kills of a relay with rules and a budget: 100 of them (JUDGED="--kills 20")
	$(Q)SPANRELAY=$(abspath $(BUILD)/spanrelay) $(PYTHON) tests/crash/judged.py $(JUDGED)

RELOADS ?= 200
reload: $(BUILD)/spanrelay ## RELOADS (200) reloads under load, one in three of a faulty file
	$(Q)SPANRELAY=$(abspath $(BUILD)/spanrelay) $(PYTHON) tests/reload/reload.py --reloads $(RELOADS)

ROTATIONS ?= 1000
rotation: $(BUILD)/spanrelay ## tokens that change under load, with kills between: ROTATIONS (1000) of them
	$(Q)SPANRELAY=$(abspath $(BUILD)/spanrelay) $(PYTHON) tests/crash/rotation.py --rotations $(ROTATIONS)

budget-live: $(BUILD)/spanrelay ## two shapes of budget-truth through the running relay, 6 minutes (LIVE="--windows 8")
	$(Q)SPANRELAY=$(abspath $(BUILD)/spanrelay) $(PYTHON) tests/truth/live.py $(LIVE)

outage: $(BUILD)/spanrelay ## a backend away for ten minutes at 20,000 spans a second (OUTAGE="--seconds 20 ...")
	$(Q)SPANRELAY=$(abspath $(BUILD)/spanrelay) $(PYTHON) tests/crash/outage.py $(OUTAGE)

# Twice: every allocation of the process, and, sanitized, those of our own objects.
TORN := BUILD=build-torture SANITIZE=address,undefined LDFLAGS_MORE="-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc"
$(BUILD)/failing.so: tests/torture/failing.c
	@mkdir -p $(@D)
	$(Q)$(CC) -shared -fPIC -O1 -w -o $@ $< -ldl

torture: $(BUILD)/spanrelay $(BUILD)/failing.so ## the n-th allocation and system call fail, for every n (TORTURE="--every 50")
	$(Q)SPANRELAY=$(abspath $(BUILD)/spanrelay) FAILING_LIBRARY=$(abspath $(BUILD)/failing.so) \
		$(PYTHON) tests/torture/torture.py $(TORTURE)
	$(MAKE) $(TORN) build-torture/spanrelay-torn
	$(Q)SPANRELAY=$(abspath build-torture/spanrelay-torn) \
		$(PYTHON) tests/torture/torture.py --kinds alloc-once,alloc-ever $(TORTURE)

$(BUILD)/failing-wrap.o: tests/torture/failing.c
	@mkdir -p $(@D)
	$(Q)$(CC) -DWRAP -O1 -w -c -o $@ $<
$(BUILD)/spanrelay-torn: $(OBJECTS) $(PROTO_O) $(BUILD)/failing-wrap.o
	@echo LD $@
	$(Q)$(CC) $(LDFLAGS) $(LDFLAGS_MORE) -o $@ $^ $(LDLIBS)

# Each target for FUZZ_SECONDS, from its corpus; what it finds is left in build-fuzz/.
FUZZ_SECONDS ?= 60
FUZZ_BUILD := build-fuzz
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz: ## fuzzes every parser for FUZZ_SECONDS (60) each
	$(MAKE) BUILD=$(FUZZ_BUILD) CC=clang SANITIZE=fuzzer-no-link,address,undefined WERROR= \
		$(FUZZERS:%=$(FUZZ_BUILD)/fuzz/%)
	$(Q)tests/run-fuzz $(FUZZ_BUILD) $(FUZZ_SECONDS) $(FUZZERS)

$(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/parts.a
	@mkdir -p $(@D)
	@echo CC $<
	$(Q)$(CC) $(CPPFLAGS) -Itests $(CFLAGS) -fsanitize=fuzzer -o $@ $< $(BUILD)/parts.a $(LDFLAGS) $(LDLIBS)

CLANG_FORMAT ?= $(firstword $(shell command -v clang-format-14 clang-format))
OWN_C := $(SOURCES) $(wildcard tests/*/*.c)
OWN_H := $(wildcard $(FOLDERS:%=%/*.h) tests/*.h tests/*/*.h)

layers: ## includes point one way
	@tests/layers

format: ## all sources are as clang-format 14 would write them
	$(Q)$(CLANG_FORMAT) --dry-run -Werror $(OWN_C) $(OWN_H)

# One by one: clang-tidy forgets the settings of a header between files.
tidy: $(PROTO_C) $(PACKS) ## clang-tidy finds nothing
	$(Q)printf '%s\n' $(SOURCES) | xargs -P 2 -I '{}' clang-tidy --quiet '{}' -- \
		$(CPPFLAGS) -include base/banned.h -std=c17 2>/dev/null

docs: $(BUILD)/spanrelay ## writes docs/configuration.md from the option table
	$(BUILD)/spanrelay options --markdown >docs/configuration.md

check-docs: $(BUILD)/spanrelay ## docs/configuration.md and conf/*.yaml are right
	@tests/docs $(BUILD)/spanrelay

SYSCONFDIR ?= /etc
DOCDIR     := $(PREFIX)/share/doc/spanrelay
UNITDIR    := $(PREFIX)/lib/systemd/system

install: all ## to PREFIX (/usr/local) under DESTDIR; an existing configuration stays
	install -D -m 0755 $(BUILD)/spanrelay $(DESTDIR)$(PREFIX)/bin/spanrelay
	install -d $(DESTDIR)$(DOCDIR) $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSCONFDIR)/spanrelay
	install -m 0644 README.md LICENSE $(wildcard docs/*.md) $(DESTDIR)$(DOCDIR)
	for unit in spanrelay.service spanrelay-grpc.socket spanrelay-http.socket; do \
		sed 's|@BINDIR@|$(PREFIX)/bin|; s|@DOCDIR@|$(DOCDIR)|' conf/systemd/$$unit \
			>$(DESTDIR)$(UNITDIR)/$$unit || exit 1; \
	done
	test -e $(DESTDIR)$(SYSCONFDIR)/spanrelay/spanrelay.yaml || \
		sed 's|^data_dir:.*|data_dir: /var/lib/spanrelay|' conf/spanrelay.yaml \
			>$(DESTDIR)$(SYSCONFDIR)/spanrelay/spanrelay.yaml

-include $(OBJECTS:.o=.d) $(PROTO_O:.o=.d) $(UNIT:=.d) $(BENCH_O:.o=.d)

clean: ## removes what was built
	rm -rf build build-*
