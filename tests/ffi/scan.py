"""Python, ctypes: see README.md. Arguments: library, directory."""
import sys
from ctypes import (CDLL, POINTER, Structure, byref, c_char, c_char_p, c_int32, c_size_t, c_uint32, c_uint64,
                    c_void_p, create_string_buffer, sizeof, string_at)

OK, NOT_FOUND, MISUSE, CORRUPT, LOCKED, CLOSED, CREATE, DETACH = 0, 1, -2, -13, -18, -24, 1, 1


class Error(Structure):
    _fields_ = [("struct_size", c_uint32), ("status", c_int32), ("area", c_uint32), ("flags", c_uint32),
                ("os_errno", c_int32), ("reserved", c_uint32), ("number", c_uint64), ("file_number", c_uint64),
                ("offset", c_uint64), ("value", c_uint64), ("message", c_char * 200)]


class Row(Structure):
    _fields_ = [("key", c_void_p), ("key_len", c_size_t), ("value", c_void_p), ("value_len", c_size_t),
                ("seq", c_uint64), ("flags", c_uint32), ("reserved", c_uint32)]


esker = CDLL(sys.argv[1])
# Handles are 64-bit values; without argument types ctypes would cut them to int.
for name, arguments in {
    "open": [c_char_p, c_void_p, c_uint32, POINTER(c_void_p), POINTER(Error)],
    "close": [c_void_p, c_uint32, POINTER(Error)],
    "get": [c_void_p, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, POINTER(c_size_t)],
    "batch_new": [POINTER(c_void_p)], "batch_free": [c_void_p],
    "batch_from_bytes": [c_void_p, c_char_p, c_size_t],
    "write": [c_void_p, c_void_p, c_void_p, POINTER(c_uint64)],
    "iter_new": [c_void_p, c_void_p, POINTER(c_void_p)], "iter_free": [c_void_p], "iter_next": [c_void_p],
    "iter_row": [c_void_p, POINTER(POINTER(Row))],
    "snapshot_new": [c_void_p, POINTER(c_void_p)], "snapshot_free": [c_void_p],
}.items():
    getattr(esker, "esker_" + name).argtypes = arguments


def call(expected, name, *arguments):
    status = getattr(esker, "esker_" + name)(*arguments)
    assert status == expected, f"{name}: {status}, not {expected}: {err.message.decode()}"


def field(data):
    size, out = len(data), b""
    while size >= 128:
        out, size = out + bytes([size & 127 | 128]), size >> 7
    return out + bytes([size]) + data


path = sys.argv[2].encode()
err, db, second, batch = Error(sizeof(Error)), c_void_p(), c_void_p(), c_void_p()
call(OK, "open", path, None, CREATE, byref(db), byref(err))

pairs = [(b"k%04d" % i, b"v%04d" % i) for i in range(100)] + [(b"long", b"x" * 300)]
packed = b"\1\0\0\0" + (len(pairs) + 1).to_bytes(4, "little")
packed += b"".join(b"\1\0" + field(key) + field(value) for key, value in pairs) + b"\2\0" + field(b"k0007")
call(OK, "batch_new", byref(batch))
call(OK, "batch_from_bytes", batch, packed, len(packed))
call(CORRUPT, "batch_from_bytes", batch, packed[:50], 50)
call(OK, "write", db, None, batch, None)
call(OK, "batch_free", batch)

value, size = create_string_buffer(16), c_size_t()
call(OK, "get", db, None, b"k0042", 5, value, 16, byref(size))
assert value.raw[:size.value] == b"v0042"
call(NOT_FOUND, "get", db, None, b"k0007", 5, value, 16, byref(size))

iterator, snapshot, row, keys = c_void_p(), c_void_p(), POINTER(Row)(), []
call(OK, "snapshot_new", db, byref(snapshot))
call(OK, "iter_new", db, None, byref(iterator))
call(OK, "iter_row", iterator, byref(row))
while esker.esker_iter_next(iterator) == OK:
    keys.append(string_at(row.contents.key, row.contents.key_len))
assert keys == sorted(key for key, _ in pairs if key != b"k0007"), keys

call(LOCKED, "open", path, None, 0, byref(second), byref(err))
assert path in err.message, err.message
call(OK, "close", db, DETACH, byref(err))
call(CLOSED, "iter_next", iterator)
for expected, name, handle in [(OK, "snapshot_free", snapshot), (OK, "iter_free", iterator), (MISUSE, "iter_free", iterator)]:
    call(expected, name, handle)
call(MISUSE, "close", db, 0, byref(err))
