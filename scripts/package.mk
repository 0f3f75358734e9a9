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

.PHONY: uninstall
uninstall: ## removes what `make install` copied
	rm -f "$(DESTDIR)$(INCLUDEDIR)/esker.h" "$(DESTDIR)$(PKGCONFIGDIR)/esker.pc" \
	  $(foreach file,$(SHARED) $(SHARED_ABI) $(SHARED_FULL) $(ARCHIVE),"$(DESTDIR)$(LIBDIR)/$(notdir $(file))") \
	  $(foreach file,$(CMAKE_FILES),"$(DESTDIR)$(CMAKEDIR)/$(file)")

.PHONY: install-test
install-test: all ## every example built from empty prefixes by pkg-config and CMake, shared and static
	scripts/test-install.sh

##@ Other languages

.PHONY: test-ffi
test-ffi: all ## one scenario from C++, Go, Zig, Python, LuaJIT and Node; skips what is not installed
	scripts/test-ffi.sh $(BUILD)
