# Esker: build, test and install. Needs GNU make, Rust, gcc and binutils; nothing else to build.
# `make help` lists the targets. Every test target can be run alone, and all of them with -j.

CARGO        ?= cargo
CC           ?= gcc
STRIP        ?= strip
INSTALL      ?= install

# The lower-case names of the GNU standards are understood too.
PREFIX       ?= $(or $(prefix),/usr/local)
LIBDIR       ?= $(or $(libdir),$(PREFIX)/lib)
INCLUDEDIR   ?= $(or $(includedir),$(PREFIX)/include)
PKGCONFIGDIR ?= $(LIBDIR)/pkgconfig
CMAKEDIR     ?= $(LIBDIR)/cmake/esker
BINDIR       ?= $(or $(bindir),$(PREFIX)/bin)
MANDIR       ?= $(or $(mandir),$(PREFIX)/share/man)
DESTDIR      ?=

BUILD        := build
TARGET_DIR   := $(or $(CARGO_TARGET_DIR),target)
RAW          := $(TARGET_DIR)/release
VERSION      := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
ABI          := $(shell sed -n 's/^\#define ESKER_ABI \([0-9]*\)$$/\1/p' include/esker.h)

SHARED       := $(BUILD)/libesker.so
SHARED_ABI   := $(SHARED).$(ABI)
SHARED_FULL  := $(SHARED).$(VERSION)
ARCHIVE      := $(BUILD)/libesker.a
HEADER       := include/esker.h

EXAMPLES     := $(patsubst examples-c/%.c,$(BUILD)/examples/%,$(wildcard examples-c/*.c))
WARNINGS     := -Wall -Wextra -Wpedantic -Werror
C_FLAGS      := -std=c99 -O1 -g $(WARNINGS) -Iinclude
C_LINK        = -L$(BUILD) -lesker -lpthread -Wl,-rpath,$(abspath $(BUILD))

SUITE        := $(CARGO) test --locked --features internals --test suite --
ROUNDS       ?= 200
SEED         ?= 1

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:

##@ Build

.PHONY: all
all: $(SHARED) $(ARCHIVE) ## the libraries: build/libesker.so and build/libesker.a

# Cargo decides what is stale. The crate types are named because cargo drops link-time optimisation
# as soon as the rlib of the test suite is among them. After the call the two files are as new as
# their contents, so nothing below is remade in vain.
.PHONY: cargo-release
cargo-release:
	$(CARGO) rustc --locked --release --lib --crate-type cdylib,staticlib

$(RAW)/libesker.so $(RAW)/libesker.a: cargo-release
	@:

$(SHARED_FULL): $(RAW)/libesker.so
	@mkdir -p $(BUILD)
	$(STRIP) --strip-unneeded -o $@ $<

$(SHARED_ABI): $(SHARED_FULL)
	ln -sf $(notdir $<) $@

$(SHARED): $(SHARED_ABI)
	ln -sf $(notdir $<) $@

# The exported names come from the shared library, whose list of them a test compares with abi/symbols.txt.
$(ARCHIVE): $(RAW)/libesker.a $(SHARED_FULL) scripts/clean-archive.sh
	scripts/clean-archive.sh $< $@ $$(nm -D --defined-only $(SHARED_FULL) | awk '{print $$3}')

.PHONY: header
header: ## rewrites include/esker.h from src/ffi
	ESKER_HEADER=write $(SUITE) header::

.PHONY: clean
clean: ## removes what was built
	rm -rf $(BUILD)
	$(CARGO) clean

##@ Examples

.PHONY: examples
examples: $(EXAMPLES) ## compiles examples-c/*.c to build/examples

$(BUILD)/examples/%: examples-c/%.c $(HEADER) $(SHARED)
	@mkdir -p $(@D)
	$(CC) $(C_FLAGS) $< -o $@ $(C_LINK)

.PHONY: demo
demo: $(BUILD)/examples/unicode ## stores 32,646 Unicode names, reads them in every way, reopens and checks
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && $< "$$dir/db" examples-c/data/unicode-names.tsv

##@ Test

# A quick build that panics on request: the link test and tests/c/lifetimes.c see the panics contained.
PANICKING := $(BUILD)/forced_panic/libesker.a
$(PANICKING): $(RAW)/libesker.a $(SHARED_FULL) scripts/clean-archive.sh
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
	  $(CARGO) rustc --locked --release --lib --crate-type staticlib --features forced_panic \
	  --target-dir $(TARGET_DIR)/forced_panic
	@mkdir -p $(@D)
	scripts/clean-archive.sh $(TARGET_DIR)/forced_panic/release/libesker.a $@ \
	  $$(nm -D --defined-only $(SHARED_FULL) | awk '{print $$3}')

.PHONY: test
test: all $(PANICKING) ## the Rust suite, then every C test, C++ test and example
	$(CARGO) test --locked --features internals
	scripts/test-c.sh $(BUILD)

.PHONY: test-c
test-c: all $(PANICKING) ## only the second half: C and C++ tests, examples, README program, install
	scripts/test-c.sh $(BUILD)

.PHONY: test-link
test-link: all $(PANICKING) ## exported names, needed libraries, size, and two Rust archives in one program
	ESKER_ALL=1 $(SUITE) --nocapture link::

.PHONY: test-header
test-header: ## the header in every C and C++ mode, gcc and clang, against src/ffi
	ESKER_ALL=1 $(SUITE) --nocapture header::

.PHONY: torture
torture: $(BUILD)/torture ## kills a writer ROUNDS times (SEED=n) and looks for lost writes
	@scripts/torture.sh $< $(ROUNDS) $(SEED)

$(BUILD)/torture $(BUILD)/power_cut: $(BUILD)/%: tests/torture/%.c $(HEADER) $(SHARED)
	$(CC) $(C_FLAGS) $< -o $@ $(C_LINK)

##@ Measure

# A benchmark, never a test of time. LevelDB is fetched and built for this target only.
N            ?= 2000000
VALUE        ?= 100
READS        ?= $(N)
BENCH_ROUNDS ?= 3
ROWS         ?=
BENCH_DIR    ?= $(BUILD)/bench/data
LEVELDB      := $(BUILD)/bench/leveldb

.PHONY: bench
bench: $(BUILD)/bench/bench ## Esker beside LevelDB: N, VALUE, READS, BENCH_ROUNDS, ROWS=a,b; table and CSV
	$< $(BENCH_DIR) idle
	$< $(BENCH_DIR) n=$(N) value=$(VALUE) reads=$(READS) rounds=$(BENCH_ROUNDS) rows=$(ROWS) \
	  csv=$(BUILD)/bench/bench.csv > $(BUILD)/bench/bench.md
	@cat $(BUILD)/bench/bench.md

$(LEVELDB)/libleveldb.a: benches/compare/leveldb.sh benches/compare/Cargo.lock
	benches/compare/leveldb.sh $(LEVELDB)

BENCH_SOURCES := $(wildcard benches/*.h) benches/bench.c benches/rows.c benches/measure.c \
  benches/engine_esker.c benches/engine_leveldb.c

$(BUILD)/bench/bench: $(BENCH_SOURCES) $(LEVELDB)/libleveldb.a $(HEADER) $(SHARED)
	$(CC) -std=gnu99 -O2 -g $(WARNINGS) -Iinclude -I$(LEVELDB)/include $(filter %.c,$^) -o $@ \
	  -L$(LEVELDB) -lleveldb $(C_LINK) -lstdc++ -lm

# More stores, for those who have the time: RocksDB takes half an hour of processor time to build; LMDB,
# WiredTiger and SQLite are the system's (Debian: liblmdb-dev, libwiredtiger-dev, libsqlite3-dev).
ROCKSDB      := $(BUILD)/bench/rocksdb
ENGINES      ?=

.PHONY: bench-compare
bench-compare: $(BUILD)/bench/bench-compare ## Esker beside LevelDB, RocksDB, LMDB, WiredTiger, SQLite: as bench, and ENGINES=a,b
	$< $(BENCH_DIR) n=$(N) value=$(VALUE) reads=$(READS) rounds=$(BENCH_ROUNDS) rows=$(ROWS) engines=$(ENGINES) \
	  csv=$(BUILD)/bench/compare.csv > $(BUILD)/bench/compare.md
	@cat $(BUILD)/bench/compare.md

$(ROCKSDB)/librocksdb.a: benches/compare/rocksdb.sh benches/compare/Cargo.lock
	benches/compare/rocksdb.sh $(ROCKSDB)

$(BUILD)/bench/bench-compare: $(wildcard benches/*.[ch]) $(LEVELDB)/libleveldb.a $(ROCKSDB)/librocksdb.a $(HEADER) $(SHARED)
	$(CC) -std=gnu99 -O2 -g $(WARNINGS) -DALL_ENGINES -Iinclude -I$(LEVELDB)/include -I$(ROCKSDB)/include \
	  $(filter %.c,$^) -o $@ -L$(LEVELDB) -lleveldb -L$(ROCKSDB) -lrocksdb -llmdb -lsqlite3 -lwiredtiger \
	  $(C_LINK) -lstdc++ -lm -ldl

.PHONY: bench-ffi
bench-ffi: $(SHARED) ## what the C boundary costs beside the same work inside Rust; fails when a limit is passed
	@mkdir -p $(BUILD)/bench && dir=$$(mktemp -d -p $(BUILD)/bench) && trap 'rm -rf "$$dir"' EXIT && \
	  $(CARGO) bench --locked --features internals --bench ffi -- $(abspath $(SHARED)) "$(abspath $(BUILD))/bench/$$(basename "$$dir")"

MICRO := --locked --manifest-path benches/micro/Cargo.toml --target-dir $(TARGET_DIR)/micro
STEPS ?=

.PHONY: bench-micro
bench-micro: ## what single steps of the engine cost (STEPS=memtable: only those with this in their name)
	$(CARGO) run --release $(MICRO) -- --bench $(STEPS)

.PHONY: soak
soak: $(BUILD)/soak ## loads N keys, counts, reopens, finds all; fails above 1.2 times the memory that the options allow
	@dir=$$(mktemp -d -p $(BUILD)); $< "$$dir/db" $(N); status=$$?; rm -rf "$$dir"; exit $$status

$(BUILD)/soak: tests/soak/soak.c $(HEADER) $(SHARED)
	$(CC) $(C_FLAGS) $< -o $@ $(C_LINK)

##@ Check

.PHONY: check
check: ## formatting, lints, layering, tidiness, header, vectors, documentation
	$(CARGO) fmt --check
	$(CARGO) fmt --check -p esker-leveldb
	$(CARGO) fmt --check --manifest-path tools/reference/Cargo.toml
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --locked -- -D warnings
	$(CARGO) clippy --locked --all-targets --features internals -- -D warnings
	$(CARGO) fmt --check --manifest-path tests/schedules/Cargo.toml
	$(CARGO) fmt --check --manifest-path benches/micro/Cargo.toml
	$(CARGO) clippy -q $(MICRO) -- -D warnings
	$(CARGO) clippy -q $(SCHEDULES) --all-targets -- -D warnings
	$(CARGO) clippy -q --locked -p esker-leveldb --target-dir $(TARGET_DIR)/leveldb -- -D warnings
	$(CARGO) clippy -q --locked --manifest-path tools/reference/Cargo.toml --target-dir $(TARGET_DIR)/reference --all-targets -- -D warnings
	$(SUITE) layering:: tidy:: header:: vectors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

include scripts/package.mk
include scripts/leveldb.mk
include scripts/campaigns.mk


.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {print "\n" substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
