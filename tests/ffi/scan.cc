// C++: see README.md. Exceptions for errors, destructors for handles.
#include <cstdio>
#include <cstring>
#include <esker.h>
#include <stdexcept>
#include <string>

static void expect(bool truth, const char *what) { truth ? void() : throw std::runtime_error(what); }

static void varint(std::string &out, size_t n)
{
    for (; n >= 128; n >>= 7)
        out += char(n | 128);
    out += char(n);
}

static void bytes(std::string &out, const std::string &s) { varint(out, s.size()), out += s; }

static std::string name(char kind, int i)
{
    return kind + std::to_string(10000 + i).substr(1);
}

static std::string packed()
{
    std::string batch("\1\0\0\0\146\0\0\0", 8); // version 1, 102 operations
    for (int i = 0; i < 100; i++)
        batch += '\1', batch += '\0', bytes(batch, name('k', i)), bytes(batch, name('v', i));
    batch += '\1', batch += '\0', bytes(batch, "long"), bytes(batch, std::string(300, 'x'));
    return batch += '\2', batch += '\0', bytes(batch, "k0007"), batch;
}

static void scan(const std::string &directory)
{
    esker_error err = {};
    err.struct_size = sizeof err;
    esker_db *db, *second;
    expect(esker_open(directory.c_str(), nullptr, ESKER_OPEN_CREATE, &db, &err) == ESKER_OK, err.message);

    std::string batch = packed();
    expect(esker_write_bytes(db, nullptr, batch.data(), 50, nullptr) == ESKER_CORRUPT, "a cut batch");
    expect(esker_write_bytes(db, nullptr, batch.data(), batch.size(), nullptr) == ESKER_OK, "write");

    std::string value(16, '\0');
    size_t size = 0;
    expect(esker_get(db, nullptr, "k0042", 5, &value[0], value.size(), &size) == ESKER_OK, "get");
    expect(value.substr(0, size) == "v0042", "value");
    expect(esker_get(db, nullptr, "k0007", 5, &value[0], value.size(), &size) == ESKER_NOT_FOUND, "deleted");

    char buf[1024];
    esker_chunk chunk = {};
    chunk.struct_size = sizeof chunk, chunk.layout = ESKER_LAYOUT_PACKED, chunk.buf = buf, chunk.cap = sizeof buf;
    esker_slice resume = {};
    std::string last;
    int rows = 0, chunks = 0;
    for (esker_status status = ESKER_OK; status == ESKER_OK; chunks++) {
        status = esker_scan(db, nullptr, &chunk, &resume);
        expect(status == ESKER_OK || status == ESKER_DONE, "scan");
        for (const char *at = buf; at < buf + chunk.used; rows++) {
            uint32_t sizes[2];
            memcpy(sizes, at, 8);
            std::string key(at + 8, sizes[0]);
            expect(last < key, "order");
            last = key, at += 8 + sizes[0] + sizes[1];
        }
    }
    expect(rows == 100 && last == "long" && chunks > 1, "rows");

    esker_iter *iter = nullptr;
    esker_snapshot *snapshot = nullptr;
    expect(esker_snapshot_new(db, &snapshot) == ESKER_OK && esker_iter_new(db, nullptr, &iter) == ESKER_OK, "iterator");
    expect(esker_open(directory.c_str(), nullptr, 0, &second, &err) == ESKER_LOCKED, "second open");
    expect(std::string(err.message).find(directory) != std::string::npos, err.message);
    expect(esker_close(db, ESKER_CLOSE_DETACH, &err) == ESKER_OK, "close");
    expect(esker_iter_first(iter) == ESKER_CLOSED && esker_snapshot_free(snapshot) == ESKER_OK, "after close");
    expect(esker_iter_free(iter) == ESKER_OK && esker_iter_free(iter) == ESKER_MISUSE, "double free");
    expect(esker_close(db, 0, &err) == ESKER_MISUSE, "second close");
}

int main(int, char **argv) try { return scan(argv[1]), 0; } catch (const std::exception &e) { return puts(e.what()), 1; }
