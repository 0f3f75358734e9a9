// The header in C++: flags combine, statuses compare, handles are distinct types.
#include "esker.h"

#include <cstdio>
#include <cstring>
#include <string>

namespace {

int failures = 0;

void check(bool holds, const char *what) {
  if (!holds) {
    failures++;
    std::printf("cxx.cc: not true: %s\n", what);
  }
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  const std::string path = std::string(argv[1]) + "/db";
  esker_error error{};
  error.struct_size = sizeof error;
  esker_db *db = nullptr;
  esker_status rc =
      esker_open(path.c_str(), nullptr, ESKER_OPEN_CREATE | ESKER_OPEN_EXCLUSIVE, &db, &error);
  check(rc == ESKER_OK, "open");
  if (rc < 0) {
    std::printf("%s: %s\n", esker_status_name(rc), error.message);
    return 1;
  }
  const std::string key("a\0b", 3);
  check(esker_put(db, nullptr, key.data(), key.size(), "value", 5) == ESKER_OK, "put");
  char buffer[16];
  size_t size = 0;
  check(esker_get(db, nullptr, key.data(), key.size(), buffer, sizeof buffer, &size) == ESKER_OK, "get");
  check(std::string(buffer, size) == "value", "the value");
  esker_read_opts read{};
  read.struct_size = sizeof read;
  read.flags = ESKER_READ_KEYS_ONLY | ESKER_READ_NO_FILL_CACHE;
  esker_iter *iter = nullptr;
  const esker_row *row = nullptr;
  check(esker_iter_new(db, &read, &iter) == ESKER_OK, "iter_new");
  check(esker_iter_row(iter, &row) == ESKER_OK, "iter_row");
  check(esker_iter_first(iter) == ESKER_OK, "first");
  check(row->key_len == 3 && std::memcmp(row->key, key.data(), 3) == 0, "the key of the row");
  check(row->value == nullptr && row->value_len == 5, "no value with KEYS_ONLY");
  check(esker_iter_next(iter) == ESKER_DONE, "next");
  check(esker_iter_free(iter) == ESKER_OK, "iter_free");
  check(esker_close(db, 0, &error) == ESKER_OK, "close");
  return failures != 0;
}
