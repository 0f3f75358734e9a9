// Go, cgo: see README.md. Argument: directory.
package main

// #include <esker.h>
// #include <stdlib.h>
import "C"

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"unsafe"
)

var err = C.esker_error{struct_size: C.uint32_t(unsafe.Sizeof(C.esker_error{}))}

func expect(what string, got, wanted C.esker_status) {
	if got != wanted {
		panic(fmt.Sprintf("%s: %d, not %d: %s", what, got, wanted, C.GoString(&err.message[0])))
	}
}

func field(batch []byte, data string) []byte {
	return append(binary.AppendUvarint(batch, uint64(len(data))), data...)
}

func main() {
	path := C.CString(os.Args[1])
	defer C.free(unsafe.Pointer(path))
	var db, second *C.esker_db
	expect("open", C.esker_open(path, nil, C.ESKER_OPEN_CREATE, &db, &err), C.ESKER_OK)

	packed := binary.LittleEndian.AppendUint32([]byte{1, 0, 0, 0}, 102)
	for i := 0; i < 100; i++ {
		packed = field(field(append(packed, 1, 0), fmt.Sprintf("k%04d", i)), fmt.Sprintf("v%04d", i))
	}
	packed = field(field(append(packed, 1, 0), "long"), strings.Repeat("x", 300))
	packed = field(append(packed, 2, 0), "k0007")
	expect("cut", C.esker_write_bytes(db, nil, unsafe.Pointer(&packed[0]), 50, nil), C.ESKER_CORRUPT)
	expect("write", C.esker_write_bytes(db, nil, unsafe.Pointer(&packed[0]), C.size_t(len(packed)), nil), C.ESKER_OK)
	key, gone, value, size := []byte("k0042"), []byte("k0007"), make([]byte, 16), C.size_t(0)
	expect("get", C.esker_get(db, nil, unsafe.Pointer(&key[0]), 5, unsafe.Pointer(&value[0]), 16, &size), C.ESKER_OK)
	expect(string(value[:size]), C.esker_status(strings.Compare(string(value[:size]), "v0042")), 0)
	expect("deleted", C.esker_get(db, nil, unsafe.Pointer(&gone[0]), 5, unsafe.Pointer(&value[0]), 16, &size), C.ESKER_NOT_FOUND)

	// C memory: a Go pointer must not lie in the chunk.
	buf := C.malloc(1024)
	defer C.free(buf)
	chunk := C.esker_chunk{struct_size: C.uint32_t(unsafe.Sizeof(C.esker_chunk{})), buf: buf, cap: 1024}
	var resume C.esker_slice
	rows, last, status := 0, "", C.esker_status(C.ESKER_OK)
	for status == C.ESKER_OK {
		status = C.esker_scan(db, nil, &chunk, &resume)
		for data := C.GoBytes(buf, C.int(chunk.used)); len(data) > 0; rows++ {
			key, value := binary.LittleEndian.Uint32(data), binary.LittleEndian.Uint32(data[4:])
			next := string(data[8 : 8+key])
			expect(next+" after "+last, C.esker_status(strings.Compare(last, next)), -1)
			last, data = next, data[8+key+value:]
		}
	}
	expect("scan", status, C.ESKER_DONE)
	expect("rows", C.esker_status(rows), 100)

	var iter *C.esker_iter
	var snapshot *C.esker_snapshot
	expect("snapshot", C.esker_snapshot_new(db, &snapshot), C.ESKER_OK)
	expect("iterator", C.esker_iter_new(db, nil, &iter), C.ESKER_OK)
	expect("second open", C.esker_open(path, nil, 0, &second, &err), C.ESKER_LOCKED)
	if !strings.Contains(C.GoString(&err.message[0]), os.Args[1]) {
		panic(C.GoString(&err.message[0]))
	}
	expect("close", C.esker_close(db, C.ESKER_CLOSE_DETACH, &err), C.ESKER_OK)
	expect("after close", C.esker_iter_next(iter), C.ESKER_CLOSED)
	expect("snapshot free", C.esker_snapshot_free(snapshot), C.ESKER_OK)
	expect("iterator free", C.esker_iter_free(iter), C.ESKER_OK)
	expect("double free", C.esker_iter_free(iter), C.ESKER_MISUSE)
	expect("second close", C.esker_close(db, 0, &err), C.ESKER_MISUSE)
}
