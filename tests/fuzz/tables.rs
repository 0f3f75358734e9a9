//! Targets over tables: whole files, blocks, filters.

use super::fix;
use super::input::{Input, dir_of, disk, either};
use esker::internals::block::format::{Block, checksum_ok};
use esker::internals::block::iter::BlockIter;
use esker::internals::compress::Packer;
use esker::internals::env::path::FileKind;
use esker::internals::error::{Area, Result};
use esker::internals::filter::kind::{Filter, FilterBuilder, FilterKind};
use esker::internals::hash::hash64;
use esker::internals::iter::internal::InternalIterator;
use esker::internals::key::{TAG_MAX, Tag};
use esker::internals::order::Order;
use esker::internals::sync::Arc;
use esker::internals::table::cache::BlockCache;
use esker::internals::table::check::{Step, check_identity, check_table};
use esker::internals::table::meta::TableMeta;
use esker::internals::table::reader::{Access, TableReader};
use esker::internals::types::FileNum;

const FILE: FileNum = FileNum(1);
/// Rows that are looked up one by one; more would only take time.
const LOOKED_UP: usize = 24;
/// Key bytes that a walk may show: shared prefixes make small inputs long.
const WALKED: usize = 8 << 20;

/// Bits of the mode of `block`; `FIX` is 1 in all targets.
pub const FIX: u8 = 1;
pub const PACKED: u8 = 2;
pub const BARE: u8 = 32;

/// The order that three bits of a mode name.
pub fn order_of(bits: u8) -> Order {
    match bits & 7 {
        1 => Order::Reverse,
        2 => Order::U64Be,
        3 => Order::U64Le,
        4 => Order::I64Le,
        _ => Order::Bytewise,
    }
}

/// Mode: bit 0 for right checksums, bits 2 to 4 the order; the file.
pub fn table(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let mode = input.u8();
    let mut file = input.rest().to_vec();
    if mode & FIX != 0 {
        fix::table(&mut file);
    }
    let order = order_of(mode >> 2);
    let meta = fix::meta_of(&file, FILE);
    let dir = dir_of(&disk(&[(FileKind::Table(FILE).name(), file)]));
    either(check_identity(&dir, &meta));
    let mut findings = 0;
    let checked = check_table(&dir, &order, &meta, true, &mut |step| {
        findings += u32::from(matches!(step, Step::Found(_)));
        Ok(())
    });
    let opens = checked.expect("nobody cancels").is_ok();
    let opened = dir
        .open_read(&FileKind::Table(FILE).name(), Area::Table)
        .and_then(|file| TableReader::open(file, &order, &meta, BlockCache::new(1 << 20)));
    assert_eq!(opens, opened.is_ok(), "a check and a reader agree on what can be opened");
    let Ok(reader) = opened.map(Arc::new) else { return false };
    let sound = findings == 0;
    let read = read_table(&reader, &order, &meta, sound);
    assert!(!sound || read.is_ok(), "a sound table can be read: {:?}", read.err());
    sound
}

type Row = (Vec<u8>, Tag, Vec<u8>);

/// Every way to read a table. Of one that is said to be sound the answers must be right.
fn read_table(
    reader: &Arc<TableReader>,
    order: &Order,
    meta: &TableMeta,
    sound: bool,
) -> Result<()> {
    let mut iter = TableReader::iter(reader.clone(), Access::Cached);
    let (mut rows, mut count, mut bytes): (Vec<Row>, u64, usize) = (Vec::new(), 0, 0);
    let whole = (|| {
        iter.seek_to_first()?;
        while iter.valid() && bytes < WALKED {
            if rows.len() < LOOKED_UP {
                rows.push((iter.key().to_vec(), iter.tag(), iter.value().to_vec()));
            }
            count += 1;
            bytes += iter.key().len() + 16;
            iter.next()?;
        }
        Ok(())
    })();
    let backward = (|| {
        let (mut count, mut bytes) = (0, 0);
        iter.seek_to_last()?;
        while iter.valid() && bytes < WALKED {
            count += 1;
            bytes += iter.key().len() + 16;
            iter.prev()?;
        }
        Ok::<u64, esker::internals::error::Error>(count)
    })();
    assert!(!sound || bytes >= WALKED || count == meta.entries, "forward: {count} rows");
    let same = backward.as_ref().is_ok_and(|backward| *backward == count);
    assert!(!sound || bytes >= WALKED || same, "backward: {backward:?} of {count} rows");
    for (key, tag, value) in &rows {
        let got = reader.get(key, hash64(key, 0), *tag, true)?;
        let got = got.map(|(tag, value)| (tag, value.as_slice().to_vec()));
        assert!(!sound || got.as_ref() == Some(&(*tag, value.clone())), "get {key:?}");
        let found = iter.seek(key, *tag).map(|()| iter.valid());
        assert!(!sound || found.is_ok_and(|valid| valid && iter.key() == key), "seek {key:?}");
        let longer = [key, &b"\0"[..]].concat();
        either(reader.get(&longer, hash64(&longer, 0), TAG_MAX, false));
        either(iter.seek(&longer, TAG_MAX));
        assert!(!sound || !iter.valid() || order.compare(iter.key(), &longer).is_ge());
    }
    backward.and(whole)
}

/// Mode; the block, or with `BARE` only its body. With `FIX` also the prefixes are made right.
pub fn block(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let mode = input.u8();
    let order = order_of(mode >> 2);
    let mut bytes = input.rest().to_vec();
    if mode & BARE != 0 {
        if mode & FIX != 0 {
            fix::columns(&mut bytes, &order);
        }
        let packs = mode & PACKED != 0;
        let packed = packs && Packer::default().pack(&mut bytes, 0).expect("there is memory");
        bytes.extend_from_slice(&[0, 0, 0, 0, u8::from(packed), 0, 0, 0]);
    }
    if mode & FIX != 0 {
        fix::block(&mut bytes, 7);
        assert_eq!(checksum_ok(&bytes, 7), bytes.len() >= 8, "the checksum is right");
    } else {
        checksum_ok(&bytes, 7);
    }
    let Ok(block) = Block::parse(bytes, &order, 1, 0) else { return false };
    read_block(block, &order);
    true
}

/// A block that was taken shows its entries in order, in both directions, and finds them.
fn read_block(block: Block, order: &Order) {
    let (count, mut iter) = (block.count(), BlockIter::default());
    iter.set_block(Arc::new(block)).unwrap();
    iter.first();
    let (mut rows, mut bytes): (Vec<(Vec<u8>, Tag)>, usize) = (Vec::new(), 0);
    let mut last: Option<(Vec<u8>, Tag)> = None;
    let mut seen = 0;
    while iter.valid() && bytes < WALKED {
        if let Some((key, tag)) = &last {
            let ascends = order.compare_internal(key, *tag, iter.key(), iter.tag()).is_lt();
            assert!(ascends, "entry {seen} is not behind the one before");
        }
        let (key, tag) = last.get_or_insert_default();
        key.clear();
        key.extend_from_slice(iter.key());
        *tag = iter.tag();
        if rows.len() < LOOKED_UP {
            rows.push((key.clone(), *tag));
        }
        bytes += key.len() + 16;
        seen += 1;
        iter.next();
    }
    assert!(seen == count || bytes >= WALKED, "{seen} entries of {count}");
    iter.last();
    let mut back = 0;
    while iter.valid() && back < seen {
        back += 1;
        iter.prev();
    }
    assert!(back == seen, "{back} entries back, {seen} forth");
    for (key, tag) in &rows {
        iter.seek(order, key, *tag).unwrap();
        assert!(iter.valid() && (iter.key(), iter.tag()) == (&key[..], *tag), "seek {key:?}");
        iter.seek_before(order, key, *tag).unwrap();
        let before = |iter: &BlockIter| order.compare_internal(iter.key(), iter.tag(), key, *tag);
        assert!(!iter.valid() || before(&iter).is_lt(), "before {key:?}");
        let longer = [key, &b"\0"[..]].concat();
        iter.seek(order, &longer, TAG_MAX).unwrap();
        assert!(!iter.valid() || order.compare(iter.key(), &longer).is_ge());
        iter.seek(order, &key[..key.len() / 2], TAG_MAX).unwrap();
    }
}

/// Mode, bits per key; a filter block, or with bit 0 keys of eight bytes to make one of.
pub fn filter(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (mode, bits) = (input.u8(), input.u8() % 65);
    let bytes = input.rest();
    let hashes: Vec<(&[u8], u64)> = bytes.chunks(8).map(|key| (key, hash64(key, 0))).collect();
    if mode & FIX == 0 {
        let filter = Filter::open(bytes.to_vec());
        for (key, hash) in hashes.iter().take(64) {
            let may = filter.may_contain(key, *hash);
            assert!(may || filter.is_some(), "only a filter denies");
        }
        assert!(filter.charge() <= bytes.len() + 64);
        return filter.is_some();
    }
    let kind = if mode & 2 == 0 { FilterKind::Blocked } else { FilterKind::Classic };
    let mut builder = FilterBuilder::new(kind, u32::from(bits));
    hashes.iter().for_each(|(_, hash)| builder.add(*hash).expect("memory"));
    let filter = Filter::open(builder.finish().expect("there is memory"));
    assert_eq!(filter.is_some(), bits > 0, "what was built opens");
    assert!(hashes.iter().all(|(key, hash)| filter.may_contain(key, *hash)));
    true
}
