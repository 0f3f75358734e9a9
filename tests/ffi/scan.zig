//! Zig: see README.md. Argument: directory. esker.zig is what `zig translate-c` makes of the header.
const std = @import("std");
const c = @import("esker.zig");
var err: c.esker_error = std.mem.zeroInit(c.esker_error, .{ .struct_size = @sizeOf(c.esker_error) });

fn expect(what: []const u8, got: c.esker_status, wanted: c.esker_status) void {
    if (got != wanted)
        std.debug.panic("{s}: {d}, not {d}: {s}", .{ what, got, wanted, std.mem.sliceTo(&err.message, 0) });
}

const Batch = struct {
    bytes: [8192]u8 = undefined,
    len: usize = 0,

    fn raw(self: *Batch, data: []const u8) void {
        @memcpy(self.bytes[self.len..][0..data.len], data);
        self.len += data.len;
    }

    fn field(self: *Batch, data: []const u8) void {
        var size = data.len;
        while (size >= 128) : (size >>= 7) self.raw(&.{@intCast(size & 127 | 128)});
        self.raw(&.{@intCast(size)});
        self.raw(data);
    }

    fn operation(self: *Batch, kind: u8, fields: []const []const u8) void {
        self.raw(&.{ kind, 0 });
        for (fields) |text| self.field(text);
    }
};

pub export fn main(argc: c_int, argv: [*][*:0]const u8) c_int {
    if (argc != 2) return 2;
    const path = argv[1];
    var db, var second = [2]?*c.esker_db{ null, null };
    expect("open", c.esker_open(path, null, c.ESKER_OPEN_CREATE, &db, &err), 0);

    var b = Batch{};
    b.raw(&.{ 1, 0, 0, 0, 102, 0, 0, 0 });
    for (0..100) |i| {
        const key = [5]u8{ 'k', '0', '0', '0' + @as(u8, @intCast(i / 10)), '0' + @as(u8, @intCast(i % 10)) };
        b.operation(1, &.{ &key, &(.{'v'} ++ key[1..].*) });
    }
    b.operation(1, &.{ "long", &@as([300]u8, @splat('x')) });
    b.operation(2, &.{"k0007"});
    expect("cut", c.esker_write_bytes(db, null, &b.bytes, 50, null), c.ESKER_CORRUPT);
    expect("write", c.esker_write_bytes(db, null, &b.bytes, b.len, null), 0);

    var value: [16]u8, var size: usize = .{ undefined, 0 };
    expect("get", c.esker_get(db, null, "k0042", 5, &value, value.len, &size), 0);
    if (!std.mem.eql(u8, value[0..size], "v0042")) @panic("value");
    expect("deleted", c.esker_get(db, null, "k0007", 5, &value, value.len, &size), c.ESKER_NOT_FOUND);

    var buf: [1024]u8 = undefined;
    var resume_at: c.esker_slice = .{ .data = null, .size = 0 };
    var chunk: c.esker_chunk = .{ .struct_size = @sizeOf(c.esker_chunk), .buf = &buf, .cap = buf.len };
    var rows: usize, var status: c.esker_status = .{ 0, 0 };
    while (status == 0) {
        status = c.esker_scan(db, null, &chunk, &resume_at);
        var at: usize = 0;
        while (at < chunk.used) : (rows += 1)
            at += 8 + std.mem.readInt(u32, buf[at..][0..4], .little) + std.mem.readInt(u32, buf[at..][4..8], .little);
    }
    expect("scan", status, c.ESKER_DONE);
    expect("rows", @intCast(rows), 100);

    var iter: ?*c.esker_iter = null;
    var snapshot: ?*c.esker_snapshot = null;
    expect("snapshot", c.esker_snapshot_new(db, &snapshot), 0);
    expect("iterator", c.esker_iter_new(db, null, &iter), 0);
    expect("second open", c.esker_open(path, null, 0, &second, &err), c.ESKER_LOCKED);
    expect("close", c.esker_close(db, c.ESKER_CLOSE_DETACH, &err), 0);
    expect("after close", c.esker_iter_next(iter), c.ESKER_CLOSED);
    expect("snapshot free", c.esker_snapshot_free(snapshot), 0);
    expect("iterator free", c.esker_iter_free(iter), 0);
    expect("double free", c.esker_iter_free(iter), c.ESKER_MISUSE);
    expect("second close", c.esker_close(db, 0, &err), c.ESKER_MISUSE);
    return 0;
}
