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
test-full: ## what every commit must pass: all campaigns in full, and 200 rounds of torture
	ESKER_CAMPAIGN=full $(CAMPAIGNS) campaign:: model::
	$(MAKE) torture ROUNDS=200

.PHONY: reliability
reliability: ## makes the figures of docs/RELIABILITY.md from docs/reliability.csv
	ESKER_RELIABILITY=write $(SUITE) campaign::page

.PHONY: fuzz
fuzz: ## every decoder under libFuzzer for TIME seconds each (TARGETS="log table"); needs nightly Rust and a C++ compiler
	scripts/fuzz.sh $(TIME) $(TARGETS)

.PHONY: tsan
tsan: ## what works in threads under ThreadSanitizer, TIME seconds for each campaign; needs nightly Rust with rust-src
	scripts/test-tsan.sh $(TIME)

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
