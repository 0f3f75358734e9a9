// Node, koffi: see README.md. Arguments: library, directory. koffi is found through NODE_PATH.
const assert = require("node:assert");
const koffi = require("koffi");
const lib = koffi.load(process.argv[2]), path = process.argv[3];

const OK = 0, NOT_FOUND = 1, DONE = 2, MISUSE = -2, CORRUPT = -13, LOCKED = -18, CLOSED = -24, CREATE = 1, DETACH = 1;
koffi.struct("esker_error", {
  struct_size: "uint32_t", status: "int32_t", area: "uint32_t", flags: "uint32_t", os_errno: "int32_t",
  reserved: "uint32_t", number: "uint64_t", file_number: "uint64_t", offset: "uint64_t", value: "uint64_t",
  message: koffi.array("char", 200, "String") });
koffi.struct("esker_chunk", {
  struct_size: "uint32_t", layout: "uint32_t", flags: "uint32_t", reserved: "uint32_t", max_rows: "uint64_t",
  buf: "void *", cap: "size_t", used: "size_t", rows: "uint64_t", need: "size_t" });
koffi.struct("esker_slice", { data: "void *", size: "size_t" });
const f = {};
for (const signature of [
  "open(const char *path, void *options, uint32_t flags, _Out_ void **db, _Inout_ esker_error *err)",
  "close(void *db, uint32_t flags, _Inout_ esker_error *err)",
  "get(void *db, void *options, const char *key, size_t klen, void *buf, size_t cap, _Out_ size_t *vlen)",
  "write_bytes(void *db, void *options, const void *bytes, size_t len, void *seq)",
  "scan(void *db, void *options, _Inout_ esker_chunk *chunk, _Inout_ esker_slice *resume)",
  "iter_new(void *db, void *options, _Out_ void **iter)", "iter_next(void *iter)", "iter_free(void *iter)",
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

const db = [null], second = [null], iter = [null], snapshot = [null], size = [0];
call(OK, "open", path, null, CREATE, db, err);
call(CORRUPT, "write_bytes", db[0], null, packed, 50, null);
call(OK, "write_bytes", db[0], null, packed, packed.length, null);

const value = Buffer.alloc(16);
call(OK, "get", db[0], null, "k0042", 5, value, 16, size);
assert.strictEqual(value.toString("latin1", 0, Number(size[0])), "v0042");
call(NOT_FOUND, "get", db[0], null, "k0007", 5, value, 16, size);

const buf = koffi.alloc("uint8_t", 1024), keys = [], resume = { data: null, size: 0 };
const chunk = { struct_size: koffi.sizeof("esker_chunk"), buf, cap: 1024 };
let status = OK;
while (status === OK) {
  status = f.scan(db[0], null, chunk, resume);
  let data = Buffer.from(koffi.decode(buf, koffi.array("uint8_t", Number(chunk.used))));
  while (data.length > 0) {
    const key = data.readUInt32LE(0), value = data.readUInt32LE(4);
    keys.push(data.toString("latin1", 8, 8 + key));
    data = data.subarray(8 + key + value);
  }
}
assert.strictEqual(status, DONE);
assert.deepStrictEqual(keys, pairs.map(([key]) => key).filter((key) => key !== "k0007"));

call(OK, "snapshot_new", db[0], snapshot);
call(OK, "iter_new", db[0], null, iter);
call(LOCKED, "open", path, null, 0, second, err);
assert(err.message.includes(path), err.message);
call(OK, "close", db[0], DETACH, err);
call(CLOSED, "iter_next", iter[0]);
call(OK, "snapshot_free", snapshot[0]);
call(OK, "iter_free", iter[0]);
call(MISUSE, "iter_free", iter[0]);
call(MISUSE, "close", db[0], 0, err);
