#!/usr/bin/env bash
# Prints esker.pc. Written at install time: a file made earlier would keep an older PREFIX.
#
#   pkg-config.sh PREFIX LIBDIR INCLUDEDIR VERSION
set -euo pipefail

prefix=$1 libdir=$2 includedir=$3 version=$4
# The unwinder is not in the list: compilers add it themselves, libgcc_s or, with -static, libgcc_eh.
# Relative to ${prefix} where possible, so that the file also works inside a sysroot.
cat <<PC
prefix=$prefix
libdir=${libdir/#"$prefix"\//\$\{prefix\}/}
includedir=${includedir/#"$prefix"\//\$\{prefix\}/}

Name: esker
Description: An embedded, ordered key-value store
Version: $version
Libs: -L\${libdir} -lesker
Libs.private: -lutil -lrt -lpthread -lm -ldl -lc
Cflags: -I\${includedir}
PC
