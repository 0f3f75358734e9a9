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

call(esker.ESKER_CORRUPT, "write_bytes", db[0], nil, packed, 50, nil)
call(esker.ESKER_OK, "write_bytes", db[0], nil, packed, #packed, nil)

local value, size = ffi.new("char[16]"), out("size_t")
call(esker.ESKER_OK, "get", db[0], nil, "k0042", 5, value, 16, size)
assert(ffi.string(value, size[0]) == "v0042")
call(esker.ESKER_NOT_FOUND, "get", db[0], nil, "k0007", 5, value, 16, size)

local buf, resume = ffi.new("char[1024]"), ffi.new("esker_slice")
local chunk = ffi.new("esker_chunk", { struct_size = ffi.sizeof("esker_chunk"), buf = buf, cap = 1024 })
local rows, status = 0, esker.ESKER_OK
while status == esker.ESKER_OK do
  status = esker.esker_scan(db[0], nil, chunk, resume)
  local at = 0
  while at < tonumber(chunk.used) do
    local sizes = ffi.cast("const uint32_t *", buf + at)
    rows = rows + 1
    assert(ffi.string(buf + at + 8, sizes[0]) == keys[rows])
    at = at + 8 + sizes[0] + sizes[1]
  end
end
assert(status == esker.ESKER_DONE and rows == 100, rows)

local iter, snapshot = out("esker_iter *"), out("esker_snapshot *")
call(esker.ESKER_OK, "snapshot_new", db[0], snapshot)
call(esker.ESKER_OK, "iter_new", db[0], nil, iter)
call(esker.ESKER_LOCKED, "open", path, nil, 0, second, err)
assert(ffi.string(err.message):find(path, 1, true), ffi.string(err.message))
call(esker.ESKER_OK, "close", db[0], esker.ESKER_CLOSE_DETACH, err)
call(esker.ESKER_CLOSED, "iter_next", iter[0])
call(esker.ESKER_OK, "snapshot_free", snapshot[0])
call(esker.ESKER_OK, "iter_free", iter[0])
call(esker.ESKER_MISUSE, "iter_free", iter[0])
call(esker.ESKER_MISUSE, "close", db[0], 0, err)
