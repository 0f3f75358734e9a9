//! An open table: point look-ups, and the only way to its blocks.
//!
//! Index and filter stay in memory while the table is open. A data block comes from the block cache or is
//! read, verified and, the first time, checked as a whole. A block whose checksum fails is read a second time, because the
//! damage may have happened on the way from the disk; if it fails again that is `CORRUPT`.
//!
//! Invariants
//! 1. A reader is immutable and shared by threads.
//! 2. Footer, index, filter and properties are verified, and compared with the manifest's facts, before
//!    the first look-up; data blocks whenever they are read from disk. A table that is opened alone, to salvage what it
//!    has, is held to its footer and its index only.
//! 3. No length read from the file is allocated before it is known to lie inside the file.
//! 4. The filter is asked before the index, the index before any block.

use crate::block::format::{Block, checksum_ok};
use crate::buffer;
use crate::checksum::place;
use crate::env::api::File;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::filter::kind::Filter;
use crate::key::Tag;
use crate::order::Order;
use crate::retire::RetireList;
use crate::sync::{Arc, AtomicU64, Ordering};
use crate::table::ahead::Ahead;
use crate::table::cache::BlockCache;
use crate::table::format::{FOOTER_LEN, Footer, SectionHandle, salt_of};
use crate::table::index::{DESCENDING, Index, Refused};
use crate::table::meta::TableMeta;
use crate::table::properties::TableProperties;
use crate::types::{FileNum, TableId};
use std::ops::Range;

/// How a reading goes about the block cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Look there, and put what was read into it.
    Cached,
    /// Look there, but put nothing into it.
    NoFill,
    /// Do not touch it.
    Around,
}

/// A value inside a block that it keeps alive.
#[derive(Clone)]
pub struct BlockValue {
    block: Arc<Block>,
    range: Range<usize>,
}

impl BlockValue {
    pub fn as_slice(&self) -> &[u8] {
        self.block.slice(self.range.clone())
    }
}

/// An open table file.
pub struct TableReader {
    /// `None` only while the reader is dropped.
    parts: Option<Parts>,
    retire: Option<Arc<RetireList>>,
}

/// What a reader holds; dropping it closes the file and clears its blocks from the cache.
struct Parts {
    file: File,
    order: Order,
    number: FileNum,
    salt: u32,
    index: Index,
    filter: Filter,
    known: KnownBlocks,
    cache: Arc<BlockCache>,
    /// Of this reader in the block cache.
    cache_number: u64,
}

/// Blocks that were checked entry by entry since the table was opened, a bit each: one with the right checksum at that
/// place is the same block.
struct KnownBlocks(Vec<AtomicU64>);

impl KnownBlocks {
    fn new(blocks: usize) -> Result<KnownBlocks> {
        let mut words = Vec::new();
        buffer::reserve(&mut words, blocks.div_ceil(64), Area::Table)?;
        words.resize_with(blocks.div_ceil(64), AtomicU64::default);
        Ok(KnownBlocks(words))
    }

    fn has(&self, at: usize) -> bool {
        // The block's bytes are the reader's own: nothing is passed from thread to thread by this bit.
        let word = self.0.get(at / 64).map_or(0, |word| word.load(Ordering::Relaxed));
        word & (1 << (at % 64)) != 0
    }

    fn add(&self, at: usize) {
        if let Some(word) = self.0.get(at / 64) {
            word.fetch_or(1 << (at % 64), Ordering::Relaxed);
        }
    }
}

impl TableReader {
    /// Opens a table, whose keys are in `order`, and holds it to `meta`: `CORRUPT` with file and offset for
    /// damage, `FORMAT` for what a later version wrote.
    pub fn open(
        file: File,
        order: &Order,
        meta: &TableMeta,
        cache: Arc<BlockCache>,
    ) -> Result<TableReader> {
        check_supported(meta)?;
        let footer = read_footer(&file, meta)?;
        let salt = salt_of(&footer.table_id);
        let section = |section, what| read_section(&file, meta.file, section, salt, what);
        let corrupt = |offset: u64, what: &str| {
            Error::corrupt(Area::Table, meta.file.0, offset, format!("table {}: {what}", meta.file))
        };
        let properties = section(footer.properties, "properties")?;
        let properties = TableProperties::decode(&properties);
        check_properties(properties.as_ref(), meta)
            .map_err(|what| corrupt(footer.properties.offset, what))?;
        let index = read_index(&file, meta.file, &footer, order)?;
        if footer.entries != meta.entries || footer.blocks as usize != index.count() {
            return Err(corrupt(footer.index.offset, "entries or blocks do not add up"));
        }
        let filter = match footer.filter.len {
            0 => Filter::None,
            _ => Filter::open(section(footer.filter, "filter")?),
        };
        let cache_number = cache.reader_number();
        let known = KnownBlocks::new(index.count()).map_err(|e| e.with_file(meta.file.0))?;
        let (order, number) = (order.clone(), meta.file);
        let parts = Parts { file, order, number, salt, index, filter, known, cache, cache_number };
        Ok(TableReader { parts: Some(parts), retire: None })
    }

    /// Opens table `number` on its own word, without a filter: footer and index must be whole, and it must be the
    /// table `id` where that is known. Also answers how many entries it has.
    pub fn open_alone(
        file: File,
        order: &Order,
        number: FileNum,
        id: Option<TableId>,
    ) -> Result<(TableReader, u64)> {
        let size = file.size()?;
        let offset = size.saturating_sub(FOOTER_LEN as u64);
        let mut bytes = [0; FOOTER_LEN];
        file.read_at(&mut bytes, offset)?;
        let footer = Footer::decode(&bytes, offset, number)?;
        if id.is_some_and(|id| id != footer.table_id) {
            let message = format!("{}: is another table", file.name());
            return Err(Error::corrupt(Area::Table, number.0, offset, message));
        }
        let index = read_index(&file, number, &footer, order)?;
        let (salt, cache) = (salt_of(&footer.table_id), BlockCache::new(0));
        let cache_number = cache.reader_number();
        let known = KnownBlocks::new(index.count()).map_err(|e| e.with_file(number.0))?;
        let (order, filter) = (order.clone(), Filter::None);
        let parts = Parts { file, order, number, salt, index, filter, known, cache, cache_number };
        Ok((TableReader { parts: Some(parts), retire: None }, footer.entries))
    }

    /// Whether `file` is the table that `meta` speaks of, by its size and its footer.
    pub fn identify(file: &File, meta: &TableMeta) -> Result<()> {
        check_supported(meta)?;
        read_footer(file, meta).map(drop)
    }

    /// Has the reader's remains freed by the cleanup thread instead of whoever drops it last.
    pub fn retire_to(mut self, retire: Option<Arc<RetireList>>) -> TableReader {
        self.retire = retire;
        self
    }

    fn parts(&self) -> &Parts {
        self.parts.as_ref().expect("only drop takes the parts")
    }

    /// Whether the table can hold `key`; `hash` is `hash64(key, 0)`.
    pub fn may_contain(&self, key: &[u8], hash: u64) -> bool {
        let parts = self.parts();
        if !parts.filter.is_some() {
            return true;
        }
        let may = parts.filter.may_contain(key, hash);
        parts.cache.count_probe(!may);
        may
    }

    /// The newest entry of `key` whose tag is at most `seek_tag`; `hash` is `hash64(key, 0)`. With `fill`
    /// blocks read from disk go into the cache.
    pub fn get(
        &self,
        key: &[u8],
        hash: u64,
        seek_tag: Tag,
        fill: bool,
    ) -> Result<Option<(Tag, BlockValue)>> {
        if !self.may_contain(key, hash) {
            return Ok(None);
        }
        let access = if fill { Access::Cached } else { Access::NoFill };
        let index = self.index();
        for at in index.find(key)?..index.count() {
            let block = self.block(at, access)?;
            let (found, ran_off) = block.find(self.order(), key, seek_tag)?;
            if let Some(entry) = found {
                return Ok(Some((entry.tag, BlockValue { block, range: entry.value })));
            }
            if !ran_off || !index.continues(at) {
                break;
            }
        }
        Ok(None)
    }

    /// Memory that an open table holds besides cached blocks.
    pub fn resident_bytes(&self) -> u64 {
        let parts = self.parts();
        (parts.index.charge() as u64).saturating_add(parts.filter.charge() as u64)
    }

    /// The order of the table's keys.
    pub fn order(&self) -> &Order {
        &self.parts().order
    }

    /// The index, for cursors.
    pub fn index(&self) -> &Index {
        &self.parts().index
    }

    /// Data block `at`, from the cache or the disk.
    pub fn block(&self, at: usize, access: Access) -> Result<Arc<Block>> {
        let parts = self.parts();
        match parts.cached(at, access) {
            Some(block) => Ok(block),
            None => Ok(parts.keep(at, access, parts.read_block(at)?)),
        }
    }

    /// The same for a cursor, whose `ahead` may have its bytes.
    pub fn block_ahead(&self, at: usize, access: Access, ahead: &mut Ahead) -> Result<Arc<Block>> {
        let parts = self.parts();
        if let Some(block) = parts.cached(at, access) {
            ahead.found();
            return Ok(block);
        }
        let bytes = ahead.load(&parts.file, &parts.index, at);
        let block = match bytes.map_err(|error| error.with_file(parts.number.0))? {
            Some(bytes) => parts.take_block(at, bytes)?,
            None => parts.read_block(at)?,
        };
        Ok(parts.keep(at, access, block))
    }
}

impl Drop for TableReader {
    fn drop(&mut self) {
        if let (Some(parts), Some(retire)) = (self.parts.take(), &self.retire) {
            retire.push(Box::new(parts));
        }
    }
}

impl Parts {
    /// Block `at` if the cache has it and may be asked.
    fn cached(&self, at: usize, access: Access) -> Option<Arc<Block>> {
        // The index counts blocks in a u32.
        let look = access != Access::Around;
        look.then(|| self.cache.get(self.cache_number, at as u32)).flatten()
    }

    /// Shares a block that was read, with the cache too if it is to have it.
    fn keep(&self, at: usize, access: Access, block: Block) -> Arc<Block> {
        let block = Arc::new(block);
        if access == Access::Cached {
            self.cache.insert(self.cache_number, at as u32, block.clone());
        }
        block
    }

    /// Block `at` from bytes that were read ahead. If they are damaged the block is read anew.
    fn take_block(&self, at: usize, bytes: &[u8]) -> Result<Block> {
        let (start, _) = self.index.block_range(at);
        if !checksum_ok(bytes, place(self.salt, start)) {
            return self.read_block(at);
        }
        let mut own = Vec::new();
        let reserved = own.try_reserve_exact(bytes.len());
        reserved
            .map_err(|_| Error::no_memory(Area::Table, bytes.len()).with_file(self.number.0))?;
        own.extend_from_slice(bytes);
        self.parse(at, own, start)
    }

    fn read_block(&self, at: usize) -> Result<Block> {
        let (start, end) = self.index.block_range(at);
        let initial = place(self.salt, start);
        let intact = |bytes: &[u8]| checksum_ok(bytes, initial);
        let len = end.saturating_sub(start);
        let bytes = read_verified(&self.file, self.number, start, len, "block", intact)?;
        self.parse(at, bytes, start)
    }

    /// The bytes of block `at`, whose checksum has passed, as a block.
    fn parse(&self, at: usize, bytes: Vec<u8>, start: u64) -> Result<Block> {
        let known = self.known.has(at);
        let block = Block::parse_again(bytes, &self.order, self.number.0, start, known)?;
        if !known {
            self.known.add(at);
        }
        Ok(block)
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.cache.forget(self.cache_number, self.index.count() as u32);
    }
}

/// Reads `len` bytes and verifies them, a second time if need be. The caller has bounded `len` by the
/// file's size.
fn read_verified(
    file: &File,
    number: FileNum,
    offset: u64,
    len: u64,
    what: &str,
    intact: impl Fn(&[u8]) -> bool,
) -> Result<Vec<u8>> {
    let no_memory = || Error::no_memory(Area::Table, len as usize).with_file(number.0);
    let len = usize::try_from(len).map_err(|_| no_memory())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| no_memory())?;
    for _ in 0..2 {
        let read = file.read_exact_into(&mut bytes, len, offset);
        read.map_err(|error| error.with_file(number.0))?;
        if intact(&bytes) {
            return Ok(bytes);
        }
    }
    let message = format!("checksum of {what} at {offset} of {} does not match", file.name());
    Err(Error::corrupt(Area::Table, number.0, offset, message))
}

fn read_section(
    file: &File,
    number: FileNum,
    section: SectionHandle,
    salt: u32,
    what: &str,
) -> Result<Vec<u8>> {
    let intact = |bytes: &[u8]| section.matches(bytes, salt);
    read_verified(file, number, section.offset, u64::from(section.len), what, intact)
}

fn read_index(file: &File, number: FileNum, footer: &Footer, order: &Order) -> Result<Index> {
    let bytes = read_section(file, number, footer.index, salt_of(&footer.table_id), "index")?;
    Index::open(bytes, order, footer.data_len).map_err(|refused| {
        let what = match refused {
            Refused::Corrupt(what) => what,
            Refused::NoMemory(error) => return error.with_file(number.0),
        };
        let message = format!("table {number}: index: {what}");
        let error = Error::corrupt(Area::Table, number.0, footer.index.offset, message);
        if what == DESCENDING { order.blame(error) } else { error }
    })
}

/// Refuses facts that only a later version can act on.
fn check_supported(meta: &TableMeta) -> Result<()> {
    if meta.global_seq == 0 && meta.bounds_flags == 0 && meta.range_dels == 0 {
        return Ok(());
    }
    let message =
        format!("table {} is adopted or holds range deletes: not known to this library", meta.file);
    Err(Error::new(ErrorKind::Format, Area::Table, message).with_file(meta.file.0))
}

fn read_footer(file: &File, meta: &TableMeta) -> Result<Footer> {
    let corrupt = |offset: u64, message: String| {
        Error::corrupt(Area::Table, meta.file.0, offset, format!("{}: {message}", file.name()))
    };
    let size = file.size()?;
    if size != meta.size {
        return Err(corrupt(size, format!("has {size} bytes, the manifest says {}", meta.size)));
    }
    let offset = size.checked_sub(FOOTER_LEN as u64);
    let offset = offset.ok_or_else(|| corrupt(0, format!("is too short: {size} bytes")))?;
    let mut bytes = [0; FOOTER_LEN];
    file.read_exact_at(&mut bytes, offset).map_err(|error| error.with_file(meta.file.0))?;
    let footer = match Footer::decode(&bytes, offset, meta.file) {
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            file.read_exact_at(&mut bytes, offset).map_err(|error| error.with_file(meta.file.0))?;
            Footer::decode(&bytes, offset, meta.file)?
        }
        outcome => outcome?,
    };
    let crc = bytes.last_chunk::<4>().map_or(0, |crc| u32::from_le_bytes(*crc));
    if crc != meta.footer_crc || footer.table_id != meta.table_id {
        return Err(corrupt(offset, "is not the table that the manifest names".to_owned()));
    }
    Ok(footer)
}

fn check_properties(
    properties: Option<&TableProperties<'_>>,
    meta: &TableMeta,
) -> std::result::Result<(), &'static str> {
    let properties = properties.ok_or("properties are malformed")?;
    let same = properties.entries == meta.entries
        && properties.deletes == meta.deletes
        && (properties.min_seq, properties.max_seq) == (meta.min_seq, meta.max_seq)
        && properties.smallest == meta.smallest
        && properties.largest == meta.largest;
    if same { Ok(()) } else { Err("properties differ from the manifest") }
}
