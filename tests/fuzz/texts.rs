//! Targets without files: batches, options, compressed bodies, names.

use super::input::{Input, either};
use esker::internals::batch::{BatchReader, WriteBatch, check, count_of};
use esker::internals::compress::{Packer, unpack};
use esker::internals::env::path::FileKind;
use esker::internals::key::EntryKind;
use esker::internals::options::{OPTION_TABLE, OptionKind, Options};

pub fn batch(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let keyspaces = u32::from(input.u8());
    let bytes = input.rest();
    either(BatchReader::at(bytes, keyspaces as usize));
    let checked = check(bytes, keyspaces);
    let copied = WriteBatch::from_bytes(bytes);
    let (mut ops, mut again) = (0u32, WriteBatch::new());
    let walked = BatchReader::new(bytes).and_then(|mut reader| {
        while let Some(op) = reader.next_op()? {
            ops += 1;
            match op.kind {
                EntryKind::Put => again.put(op.keyspace, op.key, op.value)?,
                EntryKind::Delete => again.delete(op.keyspace, op.key)?,
            }
        }
        Ok(())
    });
    let Ok(count) = checked else { return false };
    assert!(walked.is_ok() && copied.is_ok(), "what was checked can be read and kept");
    assert_eq!((ops, count_of(bytes)), (count, Some(count)));
    // Lengths may have had longer forms than needed; what they meant is the same.
    assert_eq!(check(again.as_bytes(), keyspaces).expect("what was written"), count);
    assert!(again.as_bytes().len() <= bytes.len());
    true
}

pub fn options(data: &[u8]) -> bool {
    let mut options = Options::default();
    if options.parse(data).is_err() {
        assert!(options == Options::default(), "a text that is refused changes nothing");
        return false;
    }
    either(options.check());
    let mut again = Options::default();
    for spec in OPTION_TABLE.iter().filter(|spec| spec.kind() != OptionKind::Object) {
        let text = options.get_text(spec.id).expect("an option of the table");
        again.set_text(spec.id, text.as_bytes()).expect("what get_text gave");
    }
    assert!(again == options, "what is shown is what is set");
    true
}

pub fn lz4(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let mode = input.u8();
    let body = match mode & 3 {
        // The lengths as they come.
        0 => input.rest().to_vec(),
        // A raw length that may be right, and the packed length that is.
        1 => {
            let raw_len = input.u32();
            let packed = input.rest();
            let lengths = [raw_len.to_le_bytes(), (packed.len() as u32).to_le_bytes()];
            [&lengths.concat()[..], packed].concat()
        }
        _ => {
            // A pattern, so that it is worth packing; then one byte of the outcome is changed.
            let (times, at, byte) = (usize::from(input.u8()), input.u16(), input.u8());
            let raw = input.take(2048).repeat(times % 64 + 1);
            let mut body = raw.clone();
            if !Packer::default().pack(&mut body, 0).expect("there is memory") {
                assert!(body == raw, "what is not packed is not touched");
                return false;
            }
            assert!(unpack(&body).is_ok_and(|back| back == raw), "what was packed comes back");
            if let Some(place) = body.get_mut(usize::from(at)).filter(|_| mode & 3 == 3) {
                *place = byte;
            }
            body
        }
    };
    match unpack(&body) {
        Ok(raw) => {
            assert_eq!(Some(raw.len() as u32), Input::new(&body).take(4).first_chunk().map(le));
            true
        }
        Err(_) => false,
    }
}

fn le(bytes: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*bytes)
}

pub fn path(data: &[u8]) -> bool {
    let Some(kind) = FileKind::parse(data) else { return false };
    assert_eq!(kind.name().as_bytes(), data, "a name has one spelling");
    true
}
