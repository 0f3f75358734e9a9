// Node, koffi: see README.md. Arguments: library, directory. koffi is found through NODE_PATH.
const assert = require("node:assert");
const koffi = require("koffi");
const lib = koffi.load(process.argv[2]);
const path = process.argv[3];

const OK = 0, NOT_FOUND = 1, MISUSE = -2, CORRUPT = -13, LOCKED = -18, CLOSED = -24, CREATE = 1, DETACH = 1;
koffi.struct("esker_error", {
  struct_size: "uint32_t", status: "int32_t", area: "uint32_t", flags: "uint32_t", os_errno: "int32_t",
  reserved: "uint32_t", number: "uint64_t", file_number: "uint64_t", offset: "uint64_t", value: "uint64_t",
  message: koffi.array("char", 200, "String"),
});
const Row = koffi.struct("esker_row", {
  key: "void *", key_len: "size_t", value: "void *", value_len: "size_t", seq: "uint64_t", flags: "uint32_t",
  reserved: "uint32_t",
});
const f = {};
for (const signature of [
  "open(const char *path, void *options, uint32_t flags, _Out_ void **db, _Inout_ esker_error *err)",
  "close(void *db, uint32_t flags, _Inout_ esker_error *err)",
  "get(void *db, void *options, const char *key, size_t klen, void *buf, size_t cap, _Out_ size_t *vlen)",
  "batch_new(_Out_ void **batch)", "batch_free(void *batch)",
  "batch_from_bytes(void *batch, const void *bytes, size_t len)",
  "write(void *db, void *options, void *batch, void *seq)",
  "iter_new(void *db, void *options, _Out_ void **iter)", "iter_row(void *iter, _Out_ void **row)",
  "iter_next(void *iter)", "iter_free(void *iter)",
  "snapshot_new(void *db, _Out_ void **snapshot)", "snapshot_free(void *snapshot)",
]) f[signature.split("(")[0]] = lib.func("int32_t esker_" + signature);

const err = { struct_size: koffi.sizeof("esker_error"), message: "" };
function call(expected, name, ...parameters) {
  const status = f[name](...parameters);
  assert.strictEqual(status, expected, `${name}: ${status}, not ${expected}: ${err.message}`);
}

function field(text) {
  const size = [];
  let n = text.length;
  for (; n >= 128; n >>= 7) size.push((n & 127) | 128);
  return Buffer.concat([Buffer.from([...size, n]), Buffer.from(text)]);
}

const name = (kind, i) => kind + String(i).padStart(4, "0");
const pairs = [...Array(100).keys()].map((i) => [name("k", i), name("v", i)]);
pairs.push(["long", "x".repeat(300)]);
const packed = Buffer.concat([Buffer.from([1, 0, 0, 0, pairs.length + 1, 0, 0, 0]),
  ...pairs.map(([key, value]) => Buffer.concat([Buffer.from([1, 0]), field(key), field(value)])),
  Buffer.from([2, 0]), field("k0007")]);

const db = [null], second = [null], batch = [null], iter = [null], snapshot = [null], row = [null], size = [0];
call(OK, "open", path, null, CREATE, db, err);
call(OK, "batch_new", batch);
call(OK, "batch_from_bytes", batch[0], packed, packed.length);
call(CORRUPT, "batch_from_bytes", batch[0], packed, 50);
call(OK, "write", db[0], null, batch[0], null);
call(OK, "batch_free", batch[0]);

const value = Buffer.alloc(16);
call(OK, "get", db[0], null, "k0042", 5, value, 16, size);
assert.strictEqual(value.toString("latin1", 0, Number(size[0])), "v0042");
call(NOT_FOUND, "get", db[0], null, "k0007", 5, value, 16, size);

call(OK, "snapshot_new", db[0], snapshot);
call(OK, "iter_new", db[0], null, iter);
call(OK, "iter_row", iter[0], row);
const keys = [];
while (f.iter_next(iter[0]) === OK) {
  const { key, key_len } = koffi.decode(row[0], Row);
  keys.push(koffi.decode(key, "char", Number(key_len)));
}
assert.deepStrictEqual(keys, pairs.map(([key]) => key).filter((key) => key !== "k0007"));

call(LOCKED, "open", path, null, 0, second, err);
assert(err.message.includes(path), err.message);
call(OK, "close", db[0], DETACH, err);
call(CLOSED, "iter_next", iter[0]);
call(OK, "snapshot_free", snapshot[0]);
call(OK, "iter_free", iter[0]);
call(MISUSE, "iter_free", iter[0]);
call(MISUSE, "close", db[0], 0, err);
