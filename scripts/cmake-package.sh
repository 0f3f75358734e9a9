#!/usr/bin/env bash
# Writes the CMake package into a directory. Written at install time, as esker.pc is.
#
#   cmake-package.sh DIRECTORY CMAKEDIR LIBDIR INCLUDEDIR VERSION ABI
#
# DIRECTORY is where the files go (with DESTDIR), CMAKEDIR where they will be found. Paths in the package are
# relative to CMAKEDIR, so that the installed tree may be moved as a whole.
set -euo pipefail

directory=$1 cmakedir=$2 libdir=$3 includedir=$4 version=$5 abi=$6
relative() { realpath --canonicalize-missing --no-symlinks --relative-to="$cmakedir" "$1"; }

cat >"$directory/esker-config.cmake" <<CMAKE
# find_package(esker) defines esker::esker, the shared library, and esker::esker_static, the archive.
include(CMakeFindDependencyMacro)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_dependency(Threads)
include("\${CMAKE_CURRENT_LIST_DIR}/esker-targets.cmake")
CMAKE

cat >"$directory/esker-targets.cmake" <<CMAKE
# Through /lib -> usr/lib the relative paths would lead astray: the real directory counts.
get_filename_component(_esker_here "\${CMAKE_CURRENT_LIST_DIR}" REALPATH)
get_filename_component(_esker_lib "\${_esker_here}/$(relative "$libdir")" ABSOLUTE)
get_filename_component(_esker_include "\${_esker_here}/$(relative "$includedir")" ABSOLUTE)

foreach(_esker_file "\${_esker_include}/esker.h" "\${_esker_lib}/libesker.so.$version" "\${_esker_lib}/libesker.a")
  if(NOT EXISTS "\${_esker_file}")
    message(FATAL_ERROR "The CMake package of esker names \${_esker_file}, which does not exist.")
  endif()
endforeach()

if(NOT TARGET esker::esker)
  add_library(esker::esker SHARED IMPORTED)
  set_target_properties(esker::esker PROPERTIES
    IMPORTED_LOCATION "\${_esker_lib}/libesker.so.$version"
    IMPORTED_SONAME "libesker.so.$abi"
    INTERFACE_INCLUDE_DIRECTORIES "\${_esker_include}")
endif()
if(NOT TARGET esker::esker_static)
  add_library(esker::esker_static STATIC IMPORTED)
  set_target_properties(esker::esker_static PROPERTIES
    IMPORTED_LOCATION "\${_esker_lib}/libesker.a"
    IMPORTED_LINK_INTERFACE_LANGUAGES "C"
    INTERFACE_INCLUDE_DIRECTORIES "\${_esker_include}"
    INTERFACE_COMPILE_DEFINITIONS "ESKER_STATIC"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;m;dl")
endif()
unset(_esker_here)
unset(_esker_lib)
unset(_esker_include)
CMAKE

# An ABI only gains functions, so a newer library serves whoever asks for an older one of the same major number.
cat >"$directory/esker-config-version.cmake" <<CMAKE
set(PACKAGE_VERSION "$version")
set(PACKAGE_VERSION_COMPATIBLE FALSE)
set(PACKAGE_VERSION_EXACT FALSE)
if(PACKAGE_FIND_VERSION_RANGE)
  if(PACKAGE_VERSION VERSION_GREATER_EQUAL PACKAGE_FIND_VERSION_MIN
     AND (PACKAGE_VERSION VERSION_LESS PACKAGE_FIND_VERSION_MAX
          OR (PACKAGE_FIND_VERSION_RANGE_MAX STREQUAL "INCLUDE"
              AND PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION_MAX)))
    set(PACKAGE_VERSION_COMPATIBLE TRUE)
  endif()
elseif(PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
  set(PACKAGE_VERSION_EXACT TRUE)
elseif(PACKAGE_FIND_VERSION_MAJOR EQUAL ${version%%.*} AND PACKAGE_VERSION VERSION_GREATER PACKAGE_FIND_VERSION)
  set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
if(CMAKE_SIZEOF_VOID_P AND NOT CMAKE_SIZEOF_VOID_P EQUAL 8)
  set(PACKAGE_VERSION "$version (64-bit)")
  set(PACKAGE_VERSION_UNSUITABLE TRUE)
endif()
CMAKE
