# Included by the Makefile: campaigns, which look for what must never happen for as long as they are given time.
# docs/RELIABILITY.md says what each does and what came of it so far.

##@ Campaigns

TIME     ?= 60
CAMPAIGN ?= campaign:: model::
TARGETS  ?=
RECORD   ?= docs/reliability.csv

# One after the other, each on all processors; a campaign that fails names the case to run again.
CAMPAIGNS := $(SUITE) --test-threads=1 --nocapture

.PHONY: campaign
campaign: ## TIME seconds of each campaign (CAMPAIGN=name of tests), entered into docs/reliability.csv
	ESKER_TIME=$(TIME) ESKER_RECORD=$(RECORD) $(CAMPAIGNS) $(CAMPAIGN)

.PHONY: test-full
test-full: ## what every commit must pass: all campaigns in full, 200 rounds of torture, three power cuts on ext4
	ESKER_CAMPAIGN=full $(CAMPAIGNS) campaign:: model::
	$(MAKE) torture ROUNDS=200
	$(MAKE) file-systems FILE_SYSTEMS=ext4-ordered IMAGES=3 TIME=0 RECORD=

.PHONY: reliability
reliability: ## makes the figures of docs/RELIABILITY.md from docs/reliability.csv
	ESKER_RELIABILITY=write $(SUITE) campaign::page

ITERATIONS ?= 10000
KERNEL     ?=
SCHEDULES  := --locked --manifest-path tests/schedules/Cargo.toml --target-dir $(TARGET_DIR)/schedules

.PHONY: schedules
schedules: ## ITERATIONS schedules of each kernel of threads (KERNEL=name of tests; ESKER_SCHEDULE=number: that one only)
	ESKER_ITERATIONS=$(ITERATIONS) $(CARGO) test $(SCHEDULES) --test schedules -- --nocapture $(KERNEL)

.PHONY: coverage
coverage: ## lines and branches of each room that the Rust suite and the C tests run; needs nightly Rust with llvm-tools
	@mkdir -p $(BUILD)
	scripts/coverage.sh $(BUILD)

.PHONY: fuzz
fuzz: ## every decoder under libFuzzer for TIME seconds each (TARGETS="log table"); needs nightly Rust and a C++ compiler
	scripts/fuzz.sh $(TIME) $(TARGETS)

.PHONY: tsan
tsan: ## what works in threads under ThreadSanitizer, TIME seconds for each campaign; needs nightly Rust with rust-src
	scripts/test-tsan.sh $(TIME)

# Each image is what a power cut leaves. WORK=directory for the images, in memory or on a disk; SEED=n.
IMAGES       ?= 200
FILE_SYSTEMS ?= ext4-ordered ext4-writeback ext4-journal xfs btrfs

.PHONY: file-systems
file-systems: $(BUILD)/power_cut ## power cuts on ext4, XFS, btrfs: at least IMAGES and TIME seconds of each; root, loop devices, mkfs
	RECORD=$(RECORD) scripts/file-systems.sh $(BUILD) $(IMAGES) $(TIME) $(FILE_SYSTEMS)

# A library that can do wrong on purpose (src/planted.rs); each of these faults must be noticed.
PLANTED        := $(BUILD)/planted
PLANTED_FAULTS ?= EditNotSynced TableNotSynced OlderLogsNotSynced

.PHONY: file-systems-planted
file-systems-planted: $(BUILD)/power_cut ## the same with an engine that is wrong on purpose (PLANTED_FAULTS), which must be noticed
	$(CARGO) rustc --locked --release --lib --crate-type cdylib --features internals \
	  --target-dir $(TARGET_DIR)/planted
	@mkdir -p $(PLANTED)
	cp $(TARGET_DIR)/planted/release/libesker.so $(PLANTED)/libesker.so.$(ABI)
	@for fault in $(PLANTED_FAULTS); do \
	  LIBRARY=$(abspath $(PLANTED)) ESKER_PLANTED=$$fault KEEP=0 RECORD= \
	    scripts/file-systems.sh $(BUILD) 100 0 ext4-writeback >$(PLANTED)/$$fault.log; \
	  if grep SKIPPED $(PLANTED)/$$fault.log; then break; fi; \
	  grep ' images, [1-9][0-9]* bad' $(PLANTED)/$$fault.log || { echo "$$fault is not noticed"; exit 1; }; \
	  echo "$$fault is noticed"; \
	done

# A build without the checks of src/checks.rs, for this measurement only.
UNCHECKED := $(BUILD)/bench/unchecked
PAIRS     ?= 10

.PHONY: bench-checks
bench-checks: $(BUILD)/bench/bench ## what the checks cost that are always on: PAIRS interleaved runs of N keys; fails above 5 %
	$(CARGO) rustc --locked --release --lib --crate-type cdylib --features unchecked \
	  --target-dir $(TARGET_DIR)/unchecked
	@mkdir -p $(UNCHECKED)
	cp $(TARGET_DIR)/unchecked/release/libesker.so $(UNCHECKED)/libesker.so.$(ABI)
	scripts/bench-checks.py $(BUILD)/bench/bench $(BUILD) $(UNCHECKED) $(BENCH_DIR).checks $(N) $(PAIRS)
