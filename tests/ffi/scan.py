"""Python, ctypes: see README.md. Arguments: library, directory."""
from sys import argv
from ctypes import (CDLL, POINTER, Structure, addressof, byref, c_char, c_char_p, c_int32, c_size_t, c_uint32,
                    c_uint64, c_void_p, create_string_buffer, sizeof)
from struct import unpack_from

OK, NOT_FOUND, DONE, MISUSE, CORRUPT, LOCKED, CLOSED, CREATE, DETACH = 0, 1, 2, -2, -13, -18, -24, 1, 1


class Error(Structure):
    _fields_ = [("struct_size", c_uint32), ("status", c_int32), ("area", c_uint32), ("flags", c_uint32),
                ("os_errno", c_int32), ("reserved", c_uint32), ("numbers", c_uint64 * 4), ("message", c_char * 200)]


class Chunk(Structure):
    _fields_ = [("struct_size", c_uint32), ("layout", c_uint32), ("unused", c_uint64), ("max_rows", c_uint64),
                ("buf", c_void_p), ("cap", c_size_t), ("used", c_size_t), ("rows", c_uint64), ("need", c_size_t)]


class Slice(Structure):
    _fields_ = [("data", c_void_p), ("size", c_size_t)]


esker = CDLL(argv[1])
# Handles are 64-bit values; without argument types ctypes would cut them to int.
for name, arguments in {
    "open": [c_char_p, c_void_p, c_uint32, POINTER(c_void_p), POINTER(Error)],
    "close": [c_void_p, c_uint32, POINTER(Error)],
    "get": [c_void_p, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t, POINTER(c_size_t)],
    "write_bytes": [c_void_p, c_void_p, c_char_p, c_size_t, POINTER(c_uint64)],
    "scan": [c_void_p, c_void_p, POINTER(Chunk), POINTER(Slice)],
    "iter_new": [c_void_p, c_void_p, POINTER(c_void_p)], "iter_free": [c_void_p], "iter_next": [c_void_p],
    "snapshot_new": [c_void_p, POINTER(c_void_p)], "snapshot_free": [c_void_p]}.items():
    getattr(esker, "esker_" + name).argtypes = arguments


def call(expected, name, *arguments):
    status = getattr(esker, "esker_" + name)(*arguments)
    assert status == expected, f"{name}: {status}, not {expected}: {err.message.decode()}"


def field(data):
    size = len(data)  # below 2 ** 14: at most two bytes of varint
    return (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + data


path = argv[2].encode()
err, db, second, iterator, snapshot = Error(sizeof(Error)), *(c_void_p() for _ in range(4))
call(OK, "open", path, None, CREATE, byref(db), byref(err))

pairs = [(b"k%04d" % i, b"v%04d" % i) for i in range(100)] + [(b"long", b"x" * 300)]
packed = b"\1\0\0\0" + (len(pairs) + 1).to_bytes(4, "little")
packed += b"".join(b"\1\0" + field(key) + field(value) for key, value in pairs) + b"\2\0" + field(b"k0007")
call(CORRUPT, "write_bytes", db, None, packed, 50, None)
call(OK, "write_bytes", db, None, packed, len(packed), None)

value, size, buf = create_string_buffer(16), c_size_t(), create_string_buffer(1024)
call(OK, "get", db, None, b"k0042", 5, value, 16, byref(size))
assert value.raw[:size.value] == b"v0042"
call(NOT_FOUND, "get", db, None, b"k0007", 5, value, 16, byref(size))

resume, status, keys, chunk = Slice(), OK, [], Chunk(sizeof(Chunk), buf=addressof(buf), cap=1024)
while status == OK:
    status, at = esker.esker_scan(db, None, byref(chunk), byref(resume)), 0
    while at < chunk.used:
        key_size, value_size = unpack_from("<II", buf, at)
        keys.append(buf.raw[at + 8:at + 8 + key_size])
        at += 8 + key_size + value_size
assert status == DONE and keys == sorted(key for key, _ in pairs if key != b"k0007"), keys

call(OK, "snapshot_new", db, byref(snapshot))
call(OK, "iter_new", db, None, byref(iterator))
call(LOCKED, "open", path, None, 0, byref(second), byref(err))
assert path in err.message, err.message
call(OK, "close", db, DETACH, byref(err))
call(CLOSED, "iter_next", iterator)
call(OK, "snapshot_free", snapshot)
call(OK, "iter_free", iterator)
call(MISUSE, "iter_free", iterator)
call(MISUSE, "close", db, 0, byref(err))
