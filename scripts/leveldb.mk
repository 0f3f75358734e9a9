# Included by the Makefile: LevelDB's C interface over esker. docs/LEVELDB.md is about it.

##@ In place of LevelDB

COMPAT         := $(BUILD)/leveldb
COMPAT_SHARED  := $(COMPAT)/libesker_leveldb.so
COMPAT_ARCHIVE := $(COMPAT)/libesker_leveldb.a
COMPAT_RAW     := $(TARGET_DIR)/leveldb/release/libesker_leveldb.a
COMPAT_SONAME  := libleveldb.so.1
COMPAT_NAMES   := compat/leveldb/symbols.txt

# The real one, as a shared library: the oracle of the tests and the rival of the benchmark.
LEVELDB_SHARED := $(BUILD)/bench/leveldb-shared

.PHONY: leveldb
leveldb: $(COMPAT_SHARED) $(COMPAT_ARCHIVE) ## build/leveldb/libesker_leveldb.so and .a: LevelDB's 68 C functions over esker

# In a target directory of its own: as a dependency esker is built with its rlib, in files of the same names.
.PHONY: cargo-leveldb
cargo-leveldb:
	$(CARGO) rustc --locked --release -p esker-leveldb --lib --crate-type staticlib --target-dir $(TARGET_DIR)/leveldb

$(COMPAT_RAW): cargo-leveldb
	@:

$(COMPAT_ARCHIVE): $(COMPAT_RAW) $(COMPAT_NAMES) scripts/clean-archive.sh
	@mkdir -p $(@D)
	scripts/clean-archive.sh $< $@ $$(cat $(COMPAT_NAMES))

# From the archive, where only the 68 names are left to export. Debian's LevelDB is named libleveldb.so.1d.
$(COMPAT_SHARED): $(COMPAT_ARCHIVE)
	$(CC) -shared -Wl,-soname,$(COMPAT_SONAME) -Wl,-z,nodelete -Wl,--gc-sections -o $@ \
	  -Wl,--whole-archive $< -Wl,--no-whole-archive -lgcc_s -lpthread -lm -ldl
	$(STRIP) --strip-unneeded $@
	ln -sf $(notdir $@) $(COMPAT)/$(COMPAT_SONAME)
	ln -sf $(notdir $@) $(COMPAT)/$(COMPAT_SONAME)d

$(LEVELDB_SHARED)/libleveldb.so.1: benches/compare/leveldb.sh benches/compare/Cargo.lock
	benches/compare/leveldb.sh $(LEVELDB_SHARED) shared

.PHONY: test-leveldb
test-leveldb: leveldb $(LEVELDB_SHARED)/libleveldb.so.1 ## names, LevelDB's own C test, one contract on both libraries, the crate's tests
	scripts/test-leveldb.sh $(COMPAT) $(LEVELDB_SHARED)

$(BUILD)/bench/race: compat/leveldb/tests/race.c $(LEVELDB_SHARED)/libleveldb.so.1
	$(CC) -std=c99 -O2 -g $(WARNINGS) -I$(LEVELDB_SHARED)/include $< -o $@ -L$(LEVELDB_SHARED) -lleveldb

.PHONY: bench-leveldb
bench-leveldb: leveldb $(BUILD)/bench/race ## one program with either library underneath, in turns: N, BENCH_ROUNDS
	scripts/bench-leveldb.sh $(BUILD)/bench/race $(COMPAT) $(LEVELDB_SHARED) $(BENCH_DIR) $(N) $(BENCH_ROUNDS) \
	  > $(BUILD)/bench/leveldb.md
	@cat $(BUILD)/bench/leveldb.md

.PHONY: install-leveldb
install-leveldb: leveldb ## copies it to LIBDIR/esker-leveldb, out of the way of LevelDB itself (DESTDIR)
	$(INSTALL) -d "$(DESTDIR)$(LIBDIR)/esker-leveldb"
	$(INSTALL) -m 755 $(COMPAT_SHARED) "$(DESTDIR)$(LIBDIR)/esker-leveldb/libesker_leveldb.so"
	$(INSTALL) -m 644 $(COMPAT_ARCHIVE) "$(DESTDIR)$(LIBDIR)/esker-leveldb/libesker_leveldb.a"
	ln -sf libesker_leveldb.so "$(DESTDIR)$(LIBDIR)/esker-leveldb/$(COMPAT_SONAME)"
	ln -sf libesker_leveldb.so "$(DESTDIR)$(LIBDIR)/esker-leveldb/$(COMPAT_SONAME)d"
