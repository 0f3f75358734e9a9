-- LuaJIT: see README.md. Arguments: library, header as the C preprocessor leaves it, directory.
local ffi, bit = require("ffi"), require("bit")
ffi.cdef(assert(io.open(arg[2])):read("*a"))
local esker, path = ffi.load(arg[1]), arg[3]

local err = ffi.new("esker_error", { struct_size = ffi.sizeof("esker_error") })
local function call(expected, name, ...)
  local status = esker["esker_" .. name](...)
  if status ~= expected then
    error(("%s: %d, not %d: %s"):format(name, status, expected, ffi.string(err.message)))
  end
end
local function out(ctype) return ffi.new(ctype .. "[1]") end

local function field(data)
  local size, text = #data, ""
  while size >= 128 do
    text, size = text .. string.char(bit.bor(bit.band(size, 127), 128)), bit.rshift(size, 7)
  end
  return text .. string.char(size) .. data
end

local db, second = out("esker_db *"), out("esker_db *")
call(esker.ESKER_OK, "open", path, nil, esker.ESKER_OPEN_CREATE, db, err)

local operations, keys = {}, {}
for i = 0, 99 do
  operations[#operations + 1] = "\1\0" .. field(("k%04d"):format(i)) .. field(("v%04d"):format(i))
  if i ~= 7 then keys[#keys + 1] = ("k%04d"):format(i) end
end
operations[#operations + 1] = "\1\0" .. field("long") .. field(("x"):rep(300))
operations[#operations + 1] = "\2\0" .. field("k0007")
keys[#keys + 1] = "long"
local packed = "\1\0\0\0" .. string.char(#operations) .. "\0\0\0" .. table.concat(operations)

local batch = out("esker_batch *")
call(esker.ESKER_OK, "batch_new", batch)
call(esker.ESKER_OK, "batch_from_bytes", batch[0], packed, #packed)
call(esker.ESKER_CORRUPT, "batch_from_bytes", batch[0], packed, 50)
call(esker.ESKER_OK, "write", db[0], nil, batch[0], nil)
call(esker.ESKER_OK, "batch_free", batch[0])

local value, size = ffi.new("char[16]"), out("size_t")
call(esker.ESKER_OK, "get", db[0], nil, "k0042", 5, value, 16, size)
assert(ffi.string(value, size[0]) == "v0042")
call(esker.ESKER_NOT_FOUND, "get", db[0], nil, "k0007", 5, value, 16, size)

local iter, snapshot, row = out("esker_iter *"), out("esker_snapshot *"), out("const esker_row *")
call(esker.ESKER_OK, "snapshot_new", db[0], snapshot)
call(esker.ESKER_OK, "iter_new", db[0], nil, iter)
call(esker.ESKER_OK, "iter_row", iter[0], row)
local rows = 0
while esker.esker_iter_next(iter[0]) == esker.ESKER_OK do
  rows = rows + 1
  assert(ffi.string(row[0].key, row[0].key_len) == keys[rows])
end
assert(rows == 100, rows)

call(esker.ESKER_LOCKED, "open", path, nil, 0, second, err)
assert(ffi.string(err.message):find(path, 1, true), ffi.string(err.message))
call(esker.ESKER_OK, "close", db[0], esker.ESKER_CLOSE_DETACH, err)
call(esker.ESKER_CLOSED, "iter_next", iter[0])
call(esker.ESKER_OK, "snapshot_free", snapshot[0])
call(esker.ESKER_OK, "iter_free", iter[0])
call(esker.ESKER_MISUSE, "iter_free", iter[0])
call(esker.ESKER_MISUSE, "close", db[0], 0, err)
