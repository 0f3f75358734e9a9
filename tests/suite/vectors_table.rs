//! The table vectors of docs/FORMAT.md, section 6, against what the code writes and reads.

use crate::vectors::vector;
use esker::internals::block::builder::BlockBuilder;
use esker::internals::block::format::{Block, EntryAt, checksum_ok};
use esker::internals::compress::Codec;
use esker::internals::env::api::{Dir, Fs};
use esker::internals::env::sim::SimKernel;
use esker::internals::error::Area;
use esker::internals::filter::blocked;
use esker::internals::filter::classic;
use esker::internals::filter::kind::Filter;
use esker::internals::hash::hash64;
use esker::internals::iter::internal::InternalIterator;
use esker::internals::key::{EntryKind, Tag, make_tag};
use esker::internals::order::Order;
use esker::internals::sync::Arc;
use esker::internals::table::builder::TableBuilder;
use esker::internals::table::cache::BlockCache;
use esker::internals::table::format::{FOOTER_LEN, Footer};
use esker::internals::table::index::Index;
use esker::internals::table::meta::{TableMeta, TableOptions};
use esker::internals::table::properties::TableProperties;
use esker::internals::table::reader::{Access, TableReader};
use esker::internals::types::FileNum;

const SECTIONS: [&str; 5] =
    ["table-block", "table-filter", "table-index", "table-properties", "table-footer"];

fn entries() -> [(&'static [u8], Tag, &'static [u8]); 3] {
    [
        (b"fruit:apple", make_tag(3, EntryKind::Put), b"red"),
        (b"fruit:fig", make_tag(5, EntryKind::Delete), b""),
        (b"fruit:fig", make_tag(4, EntryKind::Put), b"blue"),
    ]
}

fn directory() -> (Arc<SimKernel>, Dir) {
    let kernel = SimKernel::new(1);
    let fs = Fs::Sim(kernel.clone());
    fs.make_dir(b"/v", 0o755).unwrap();
    (kernel, fs.open_dir(b"/v", 0o644).unwrap())
}

/// The table of the page, as the code writes it.
fn build() -> (TableMeta, Vec<u8>) {
    let (kernel, dir) = directory();
    let file = dir.create("t", Area::Table).unwrap();
    let table_id = std::array::from_fn(|n| n as u8);
    let options = TableOptions {
        block_size: 4096,
        block_entries: 0,
        filter_bits: 10,
        ..TableOptions::default()
    };
    let mut builder = TableBuilder::new(file, FileNum(1), table_id, &options, 1_700_000_000);
    for (key, tag, value) in entries() {
        builder.add(key, tag, value).unwrap();
    }
    let meta = builder.finish().unwrap();
    (meta, kernel.read_file("/v", "t").unwrap())
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .chunks(16)
        .map(|row| row.iter().map(|b| format!("{b:02x} ")).collect::<String>() + "\n")
        .collect()
}

#[test]
fn the_page_and_the_code_write_the_same_table() {
    let page: Vec<u8> = SECTIONS.into_iter().flat_map(vector).collect();
    let (_, code) = build();
    assert_eq!(hex(&page), hex(&code));
}

#[test]
fn the_table_of_the_page_can_be_read() {
    let page: Vec<u8> = SECTIONS.into_iter().flat_map(vector).collect();
    let (kernel, dir) = directory();
    kernel.write_file("/v", "t", &page);
    let file = dir.open_read("t", Area::Table).unwrap();
    let meta = build().0;
    let reader = Arc::new(
        TableReader::open(file, &Order::Bytewise, &meta, BlockCache::new(1 << 20)).unwrap(),
    );
    let mut iter = TableReader::iter(reader, Access::Cached);
    iter.seek_to_first().unwrap();
    for (key, tag, value) in entries() {
        assert_eq!((iter.key(), iter.tag(), iter.value()), (key, tag, value));
        iter.next().unwrap();
    }
    assert!(!iter.valid());
}

#[test]
fn each_section_of_the_page_is_what_it_says() {
    let [block, filter, index, properties, footer] = SECTIONS.map(vector);
    assert!(checksum_ok(&block, 0x0302_0100), "block 0: low32(table_id) + 0 / 8");
    assert_eq!(Block::parse(block.clone(), &Order::Bytewise, 1, 0).unwrap().common(), b"fruit:");
    let hashes = [&b"fruit:apple"[..], b"fruit:fig"].map(|key| hash64(key, 0));
    assert_eq!(blocked::build(&hashes, 10).unwrap(), filter);
    let filter_len = filter.len();
    let filter = Filter::open(filter);
    assert!(filter.is_some() && filter.may_contain(b"fruit:fig", hashes[1]));
    assert!(!filter.may_contain(b"fruit:plum", hash64(b"fruit:plum", 0)));
    let index_len = index.len();
    let index = Index::open(index, &Order::Bytewise, block.len() as u64).unwrap();
    assert_eq!(
        (index.count(), index.find(b"fruit:fig").unwrap(), index.find(b"fruit:figs").unwrap()),
        (1, 0, 1)
    );
    let decoded = TableProperties::decode(&properties).unwrap();
    assert_eq!((decoded.entries, decoded.deletes, decoded.writer), (3, 1, &b"esker"[..]));
    let offset = block.len() + filter_len + index_len + properties.len();
    let bytes: [u8; FOOTER_LEN] = footer.try_into().unwrap();
    let footer = Footer::decode(&bytes, offset as u64, FileNum(1)).unwrap();
    assert_eq!((footer.entries, footer.blocks, footer.block_target), (3, 1, 4096));
    assert_eq!(footer.index.offset, (block.len() + filter_len) as u64);
}

#[test]
fn a_block_with_mixed_lengths_and_whole_tags_is_as_on_the_page() {
    let mut builder = BlockBuilder::new(Codec::None, Order::Bytewise);
    builder.add(b"", make_tag(1, EntryKind::Put), b"e").unwrap();
    builder.add(b"k", make_tag(1 << 40, EntryKind::Put), b"").unwrap();
    let mut out = Vec::new();
    builder.finish(&mut out, 0, |len| len.next_multiple_of(8)).unwrap();
    assert_eq!(hex(&vector("table-block-mixed")), hex(&out));
    let block = Block::parse(out, &Order::Bytewise, 1, 0).unwrap();
    assert_eq!(block.entry(1).tag, make_tag(1 << 40, EntryKind::Put));
    assert_eq!(block.entry(2), EntryAt::default(), "there is none");
}

#[test]
fn a_block_in_another_order_is_as_on_the_page() {
    let mut builder = BlockBuilder::new(Codec::None, Order::Reverse);
    let rows = [(&b"fruit"[..], b"1"), (b"fox", b"2"), (b"fog", b"3")];
    for (key, value) in rows {
        builder.add(key, make_tag(0, EntryKind::Put), value).unwrap();
    }
    let mut out = Vec::new();
    builder.finish(&mut out, 0, |len| len.next_multiple_of(8)).unwrap();
    assert_eq!(hex(&vector("table-block-reverse")), hex(&out));
    assert!(checksum_ok(&out, 0) && Block::parse(out.clone(), &Order::Bytewise, 1, 0).is_err());
    let block = Block::parse(out, &Order::Reverse, 1, 0).unwrap();
    let (found, _) = block.find(&Order::Reverse, b"fox", u64::MAX).unwrap();
    assert_eq!(found.map(|entry| block.slice(entry.value)), Some(&b"2"[..]));
}

#[test]
fn a_compressed_block_is_as_on_the_page() {
    let tag = make_tag(0, EntryKind::Put);
    let keys = [b"k00", b"k01", b"k02", b"k03", b"k04", b"k05"];
    let value = b"same value".repeat(3);
    let mut builder = BlockBuilder::new(Codec::Lz4, Order::Bytewise);
    keys.iter().for_each(|key| builder.add(*key, tag, &value).unwrap());
    let mut out = Vec::new();
    builder.finish(&mut out, 0, |len| len.next_multiple_of(8)).unwrap();
    let page = vector("table-block-lz4");
    // Another version of the LZ4 library may find a shorter form; what a reader gets must not change.
    for bytes in [page.clone(), out] {
        assert!(checksum_ok(&bytes, 0));
        assert_eq!(bytes[bytes.len() - 4], 1, "codec");
        let block = Block::parse(bytes, &Order::Bytewise, 1, 0).unwrap();
        assert_eq!(block.count(), keys.len());
        for (at, key) in keys.iter().enumerate() {
            let entry = block.entry(at);
            assert_eq!([block.common(), block.slice(entry.suffix)].concat(), *key);
            assert_eq!((block.slice(entry.value), entry.tag), (&value[..], tag));
        }
    }
    assert_eq!(u32::from_le_bytes(page[..4].try_into().unwrap()), 242, "{}", hex(&page));
}

#[test]
fn a_classic_filter_is_as_on_the_page() {
    let hashes = [&b"fruit:apple"[..], b"fruit:fig"].map(|key| hash64(key, 0));
    let page = vector("table-filter-classic");
    assert_eq!(hex(&page), hex(&classic::build(&hashes, 10).unwrap()));
    let filter = Filter::open(page);
    assert!(filter.is_some());
    assert!(filter.may_contain(b"fruit:apple", hashes[0]));
    assert!(filter.may_contain(b"fruit:fig", hashes[1]));
    assert!(!filter.may_contain(b"fruit:plum", hash64(b"fruit:plum", 0)));
}
