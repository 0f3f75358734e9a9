# Included by the Makefile: installing, and everything that distributions and other languages need.

##@ Install

CMAKE_FILES  := esker-config.cmake esker-config-version.cmake esker-targets.cmake

.PHONY: install
install: all ## copies header, libraries, esker.pc and CMake package under PREFIX (DESTDIR, LIBDIR, INCLUDEDIR)
	$(INSTALL) -d "$(DESTDIR)$(INCLUDEDIR)" "$(DESTDIR)$(LIBDIR)" "$(DESTDIR)$(PKGCONFIGDIR)" "$(DESTDIR)$(CMAKEDIR)"
	$(INSTALL) -m 644 $(HEADER) "$(DESTDIR)$(INCLUDEDIR)/esker.h"
	$(INSTALL) -m 755 $(SHARED_FULL) "$(DESTDIR)$(LIBDIR)/$(notdir $(SHARED_FULL))"
	ln -sf $(notdir $(SHARED_FULL)) "$(DESTDIR)$(LIBDIR)/$(notdir $(SHARED_ABI))"
	ln -sf $(notdir $(SHARED_ABI)) "$(DESTDIR)$(LIBDIR)/$(notdir $(SHARED))"
	$(INSTALL) -m 644 $(ARCHIVE) "$(DESTDIR)$(LIBDIR)/$(notdir $(ARCHIVE))"
	scripts/pkg-config.sh "$(PREFIX)" "$(LIBDIR)" "$(INCLUDEDIR)" "$(VERSION)" > "$(DESTDIR)$(PKGCONFIGDIR)/esker.pc"
	scripts/cmake-package.sh "$(DESTDIR)$(CMAKEDIR)" "$(CMAKEDIR)" "$(LIBDIR)" "$(INCLUDEDIR)" $(VERSION) $(ABI)

.PHONY: install-tools
install-tools: tools man ## copies the program esker and the manual pages (BINDIR, MANDIR)
	$(INSTALL) -d "$(DESTDIR)$(BINDIR)" "$(DESTDIR)$(MANDIR)/man1" "$(DESTDIR)$(MANDIR)/man3"
	$(INSTALL) -m 755 $(BUILD)/tools/esker "$(DESTDIR)$(BINDIR)/esker"
	$(INSTALL) -m 644 $(BUILD)/man/man1/*.1 "$(DESTDIR)$(MANDIR)/man1"
	$(INSTALL) -m 644 $(BUILD)/man/man3/*.3 "$(DESTDIR)$(MANDIR)/man3"

.PHONY: uninstall
uninstall: ## removes what `make install` and `make install-tools` copied
	rm -f "$(DESTDIR)$(BINDIR)/esker" "$(DESTDIR)$(MANDIR)/man1/esker.1" "$(DESTDIR)$(MANDIR)/man3/esker.3" \
	  $$(sed 's|.*|$(DESTDIR)$(MANDIR)/man3/&.3|' abi/symbols.txt) "$(DESTDIR)$(MANDIR)/man3/esker_types.3"
	rm -f "$(DESTDIR)$(INCLUDEDIR)/esker.h" "$(DESTDIR)$(PKGCONFIGDIR)/esker.pc" \
	  $(foreach file,$(SHARED) $(SHARED_ABI) $(SHARED_FULL) $(ARCHIVE),"$(DESTDIR)$(LIBDIR)/$(notdir $(file))") \
	  $(foreach file,$(CMAKE_FILES),"$(DESTDIR)$(CMAKEDIR)/$(file)")

.PHONY: install-test
install-test: all ## every example built from empty prefixes by pkg-config and CMake, shared and static
	scripts/test-install.sh

##@ Tools

# Without a run path: installed, it finds the library as every program does. Only what runs it from build/ says where.
$(BUILD)/tools/esker: tools/esker.c $(HEADER) $(SHARED)
	@mkdir -p $(@D)
	$(CC) -std=c99 -O2 $(WARNINGS) $(CPPFLAGS) $(CFLAGS) -Iinclude $< -o $@ $(LDFLAGS) -L$(BUILD) -lesker

.PHONY: tools
tools: $(BUILD)/tools/esker ## the program esker: get, put, delete, scan, stats, compact from the command line

.PHONY: test-tools
test-tools: tools ## the program esker: what it prints, and its exit status
	scripts/test-tools.sh $(BUILD)

##@ Memory

# Flags of the compiler that stable Rust has but does not promise; with --target they leave build scripts alone.
SANITIZED    := $(TARGET_DIR)/sanitize/x86_64-unknown-linux-gnu/release/libesker.so

.PHONY: sanitize
sanitize: ## C tests and examples under AddressSanitizer and LeakSanitizer, the library included (x86-64)
	RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer" \
	  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
	  CARGO_PROFILE_RELEASE_DEBUG=1 $(CARGO) rustc --locked --release --lib --crate-type cdylib \
	  --target x86_64-unknown-linux-gnu --target-dir $(TARGET_DIR)/sanitize
	@mkdir -p $(BUILD)/sanitize
	cp $(SANITIZED) $(BUILD)/sanitize/libesker.so
	ln -sf libesker.so $(BUILD)/sanitize/libesker.so.$(ABI)
	scripts/test-sanitize.sh asan $(BUILD)/sanitize

.PHONY: valgrind
valgrind: all ## the examples under valgrind
	scripts/test-sanitize.sh valgrind $(BUILD)

##@ Other languages

.PHONY: test-ffi
test-ffi: all ## one scenario from C++, Go, Zig, Python, LuaJIT and Node; skips what is not installed
	scripts/test-ffi.sh $(BUILD)

##@ Other machines

.PHONY: cross-toolchain
cross-toolchain: ## fetches what test-cross needs of Rust into build/cross, from Debian's archive
	scripts/cross-toolchain.sh $(BUILD)/cross/s390x s390x

.PHONY: test-cross
test-cross: all ## databases to and fro between this machine and an emulated big-endian s390x
	scripts/test-cross.sh $(BUILD) $(TARGET_DIR)

##@ Reference and ABI

REFERENCE    := $(BUILD)/esker-reference
PAGES_DATE   = $(shell date -u -d @$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || stat -c %Y include/esker.h)} '+%B %-d, %Y')

$(REFERENCE): $(wildcard tools/reference/src/*.rs) tools/reference/Cargo.toml
	$(CARGO) build -q --locked --manifest-path tools/reference/Cargo.toml --target-dir $(TARGET_DIR)/reference
	@mkdir -p $(@D)
	cp $(TARGET_DIR)/reference/debug/esker-reference $@

.PHONY: man
man: $(REFERENCE) ## manual pages out of the header's comments: build/man
	rm -rf $(BUILD)/man
	LC_ALL=C; $(REFERENCE) man $(BUILD)/man/man3 "$(PAGES_DATE)"
	@mkdir -p $(BUILD)/man/man1
	cp tools/esker.1 $(BUILD)/man/man1/

.PHONY: doc
doc: $(REFERENCE) ## the API reference out of the header's comments: build/doc/API.md
	$(REFERENCE) doc $(BUILD)/doc/API.md

.PHONY: doc-test
doc-test: man doc ## every exported function is documented, with threads and parameters; pages pass mandoc
	$(CARGO) test -q --locked --manifest-path tools/reference/Cargo.toml --target-dir $(TARGET_DIR)/reference
	$(REFERENCE) check
	scripts/test-doc.sh $(BUILD)

.PHONY: abi
abi: all $(REFERENCE) ## names, types and the stored tests of earlier releases, against this library
	scripts/abi.sh check $(BUILD)

.PHONY: abi-store
abi-store: $(REFERENCE) ## rewrites abi/esker.abi and abi/tests-MAJOR.MINOR: before a release only
	@mkdir -p $(BUILD)
	scripts/abi.sh store $(BUILD)

##@ Release

.PHONY: dist
dist: ## the source tarball with every crate in it: build/dist/esker-VERSION.tar.gz
	@mkdir -p $(BUILD)/dist
	scripts/dist.sh $(BUILD)/dist $(VERSION)

.PHONY: dist-test
dist-test: dist ## builds and tests the tarball without a network and without cargo's cache
	scripts/test-dist.sh $(BUILD) $(VERSION)

.PHONY: deb
deb: dist ## Debian packages out of the tarball: build/deb/*.deb
	scripts/deb.sh $(BUILD) $(VERSION)

.PHONY: deb-test
deb-test: deb ## unpacks and uses the Debian packages, and asks lintian
	scripts/test-deb.sh $(BUILD)
