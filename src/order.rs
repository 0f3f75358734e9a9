//! Orders of keys: the built-in ones and those of a caller.
//!
//! Bytewise is the order that formats are made for; `u64_be` is the same order, for keys of eight bytes only.
//! In every other order nothing is known of a key but how it compares: blocks and indexes keep whole
//! keys or what all of them share, and search by comparing.
//!
//! Invariants
//! 1. Names of built-in orders and what they mean are on disk for ever, like the flag `exact`.
//! 2. A built-in order is total over all byte strings, also those that `check_key` refuses: bytes from disk
//!    may hold any.
//! 3. In an exact order keys that compare equal are the same bytes.
//! 4. Nothing here or above panics when a caller's order is none; `blame` says whose fault it is.

use crate::buffer::{copy, reserve};
use crate::error::{Area, Error, ErrorKind, Result};
use crate::key::{Tag, prefix_end, shortest_separator};
use crate::sync::Arc;
use std::cmp::Ordering;
use std::fmt;

/// Names of built-in orders begin so, and no others.
pub const BUILTIN_PREFIX: &str = "esker.";

/// Compares two keys.
pub type CompareFn = Box<dyn Fn(&[u8], &[u8]) -> Ordering + Send + Sync>;

/// An order that a caller defines.
pub struct CustomOrder {
    pub name: String,
    /// Keys that compare equal are identical bytes.
    pub exact: bool,
    pub compare: CompareFn,
}

/// The order of the keys of one keyspace.
#[derive(Clone, Default)]
pub enum Order {
    #[default]
    Bytewise,
    /// Bytewise from the last to the first.
    Reverse,
    /// Keys of eight bytes as numbers.
    U64Be,
    U64Le,
    I64Le,
    Custom(Arc<CustomOrder>),
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Order {
    fn eq(&self, other: &Order) -> bool {
        match (self, other) {
            (Order::Custom(one), Order::Custom(two)) => Arc::ptr_eq(one, two),
            (one, two) => one.name() == two.name(),
        }
    }
}

impl Eq for Order {}

/// Length of the keys of the orders by number.
const NUMBER_LEN: usize = 8;
const SIGN: u64 = 1 << 63;

/// The first eight bytes as a little-endian number; missing ones are zero.
fn little(key: &[u8]) -> u64 {
    let mut bytes = [0; NUMBER_LEN];
    for (to, from) in bytes.iter_mut().zip(key) {
        *to = *from;
    }
    u64::from_le_bytes(bytes)
}

/// `a.cmp(b)`, which for keys of up to 23 bytes rarely needs a call.
#[inline]
fn compare_bytes(mut a: &[u8], mut b: &[u8]) -> Ordering {
    for _ in 0..2 {
        let (Some((x, a_rest)), Some((y, b_rest))) =
            (a.split_first_chunk::<8>(), b.split_first_chunk::<8>())
        else {
            break;
        };
        let (x, y) = (u64::from_be_bytes(*x), u64::from_be_bytes(*y));
        if x != y {
            return x.cmp(&y);
        }
        (a, b) = (a_rest, b_rest);
    }
    if a.is_empty() || b.is_empty() { a.len().cmp(&b.len()) } else { a.cmp(b) }
}

/// Sorts what is short or nearly sorted, stably; `not_after` may be no order at all, which std's sorts answer with a
/// panic. A sort of std's for each type would be 8 KiB of code, together an eighteenth of the library.
pub fn sort_few<T>(items: &mut Vec<T>, not_after: impl Fn(&T, &T) -> bool) {
    let mut sorted: Vec<T> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        let at = sorted.partition_point(|other| not_after(other, &item));
        sorted.insert(at, item);
    }
    *items = sorted;
}

/// The numbers below `n` in the order of what they stand for, stably, also where that is long: one merge sort for all
/// types.
pub fn sorted_numbers(n: usize, not_after: &dyn Fn(usize, usize) -> bool) -> Vec<usize> {
    let mut sorted: Vec<usize> = (0..n).collect();
    let mut width = 1;
    while width < n {
        let mut merged = Vec::with_capacity(n);
        for pair in sorted.chunks(2 * width) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let ([a, left_rest @ ..], [b, right_rest @ ..]) = (left, right) {
                if not_after(*a, *b) {
                    merged.push(*a);
                    left = left_rest;
                } else {
                    merged.push(*b);
                    right = right_rest;
                }
            }
            merged.extend_from_slice(left);
            merged.extend_from_slice(right);
        }
        sorted = merged;
        width *= 2;
    }
    sorted
}

impl Order {
    const BUILTIN: [(Order, &'static str); 5] = [
        (Order::Bytewise, "esker.bytewise"),
        (Order::Reverse, "esker.reverse"),
        (Order::U64Be, "esker.u64_be"),
        (Order::U64Le, "esker.u64_le"),
        (Order::I64Le, "esker.i64_le"),
    ];

    /// The built-in order that is stored under `name`.
    pub fn builtin(name: &str) -> Option<Order> {
        let found = Order::BUILTIN.iter().find(|(_, known)| *known == name);
        found.map(|(order, _)| order.clone())
    }

    /// The name that is stored with a keyspace.
    pub fn name(&self) -> &str {
        match self {
            Order::Bytewise => "esker.bytewise",
            Order::Reverse => "esker.reverse",
            Order::U64Be => "esker.u64_be",
            Order::U64Le => "esker.u64_le",
            Order::I64Le => "esker.i64_le",
            Order::Custom(custom) => &custom.name,
        }
    }

    /// Whether keys that compare equal are identical bytes.
    pub fn exact(&self) -> bool {
        match self {
            Order::Custom(custom) => custom.exact,
            _ => true,
        }
    }

    /// Whether keys are in the order of their bytes.
    #[inline]
    pub fn is_bytewise(&self) -> bool {
        matches!(self, Order::Bytewise | Order::U64Be)
    }

    #[inline]
    pub fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        if self.is_bytewise() { compare_bytes(a, b) } else { self.compare_otherwise(a, b) }
    }

    #[inline(never)]
    fn compare_otherwise(&self, a: &[u8], b: &[u8]) -> Ordering {
        match self {
            Order::Bytewise | Order::U64Be => a.cmp(b),
            Order::Reverse => b.cmp(a),
            Order::U64Le | Order::I64Le => {
                self.number(a).cmp(&self.number(b)).then_with(|| a.cmp(b))
            }
            Order::Custom(custom) => (custom.compare)(a, b),
        }
    }

    /// Order of two internal keys: user key ascending, then tag descending.
    #[inline]
    pub fn compare_internal(&self, a: &[u8], a_tag: Tag, b: &[u8], b_tag: Tag) -> Ordering {
        self.compare(a, b).then_with(|| b_tag.cmp(&a_tag))
    }

    /// Whether two keys are the same user key.
    #[inline]
    pub fn same(&self, a: &[u8], b: &[u8]) -> bool {
        if self.is_bytewise() || self.exact() { a == b } else { self.compare(a, b).is_eq() }
    }

    /// What orders keys before their bytes do, in the little-endian orders.
    pub fn number(&self, key: &[u8]) -> Option<u64> {
        match self {
            Order::U64Le => Some(little(key)),
            Order::I64Le => Some(little(key) ^ SIGN),
            _ => None,
        }
    }

    /// `INVALID` for a key that this order does not take.
    #[inline]
    pub fn check_key(&self, key: &[u8]) -> Result<()> {
        match self {
            Order::U64Be | Order::U64Le | Order::I64Le if key.len() != NUMBER_LEN => {
                Err(self.wrong_length(key))
            }
            _ => Ok(()),
        }
    }

    /// Whether `check_key` refuses any key.
    pub fn checks_keys(&self) -> bool {
        matches!(self, Order::U64Be | Order::U64Le | Order::I64Le)
    }

    #[cold]
    fn wrong_length(&self, key: &[u8]) -> Error {
        let (name, len) = (self.name(), key.len());
        let message = format!("a key of {len} bytes; keys in the order {name} have {NUMBER_LEN}");
        Error::invalid(Area::Argument, message).with_value(NUMBER_LEN as u64)
    }

    /// A key `s` with `a < s <= b`, as short as can be; `a < b` is required.
    pub fn separator<'b>(&self, a: &[u8], b: &'b [u8]) -> &'b [u8] {
        if self.is_bytewise() { shortest_separator(a, b) } else { b }
    }

    /// Where the keys that start with `prefix` begin and end in this order. `UNSUPPORTED` when they need
    /// not be neighbours.
    pub fn prefix_range(&self, prefix: &[u8]) -> Result<PrefixRange> {
        match self {
            Order::Bytewise | Order::U64Be => {
                let lower = Some((copy(prefix, Area::Argument)?, false));
                Ok((lower, prefix_end(prefix)?.map(|end| (end, false))))
            }
            Order::Reverse => {
                let lower = prefix_end(prefix)?.map(|end| (end, true));
                Ok((lower, Some((copy(prefix, Area::Argument)?, true))))
            }
            Order::U64Le | Order::I64Le | Order::Custom(_) => {
                let message =
                    format!("keys with one prefix are not neighbours in the order {}", self.name());
                Err(Error::new(ErrorKind::Unsupported, Area::Argument, message))
            }
        }
    }

    /// Sorts by `key`, stably, as `sort_few` does.
    pub fn sort_by_key<T>(&self, items: &mut Vec<T>, key: impl Fn(&T) -> &[u8]) {
        sort_few(items, |a, b| self.compare(key(a), key(b)).is_le());
    }

    /// What stored bytes in the wrong order are evidence of: damage, or a caller's order that is none or is
    /// not the one they were written in.
    pub fn blame(&self, error: Error) -> Error {
        match self {
            Order::Custom(custom) if error.kind() == ErrorKind::Corrupt => {
                error.with_kind(ErrorKind::Comparator).context(&format!(
                    "the comparator {:?} contradicts itself or the stored keys",
                    custom.name
                ))
            }
            _ => error,
        }
    }
}

/// Both ends of a range, each a key and whether the end lies behind it; `None` leaves it open.
pub type PrefixRange = (Option<(Vec<u8>, bool)>, Option<(Vec<u8>, bool)>);

/// Puts keys together of which one part is stored once.
pub struct Joined {
    key: Vec<u8>,
    common: usize,
}

impl Joined {
    /// For keys that begin with `common` and have at most `longest` bytes.
    pub fn new(common: &[u8], longest: usize) -> Result<Joined> {
        let mut key = Vec::new();
        if !common.is_empty() {
            reserve(&mut key, longest.max(common.len()), Area::Table)?;
            key.extend_from_slice(common);
        }
        Ok(Joined { key, common: common.len() })
    }

    /// The key that ends in `suffix`.
    pub fn with<'k>(&'k mut self, suffix: &'k [u8]) -> &'k [u8] {
        if self.common == 0 {
            return suffix;
        }
        self.key.truncate(self.common);
        self.key.extend_from_slice(suffix);
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&[u8]; 12] = [
        b"",
        b"\0",
        b"a",
        b"ab",
        b"\xff",
        b"\0\0\0\0\0\0\0\0",
        b"\0\0\0\0\0\0\0\0\0",
        b"\0\0\0\0\0\0\0\x01",
        b"\x01\0\0\0\0\0\0\0",
        b"\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\0\0\0\0\0\0\0\x80",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
    ];

    fn custom(exact: bool, compare: CompareFn) -> Order {
        Order::Custom(Arc::new(CustomOrder { name: "test".to_owned(), exact, compare }))
    }

    #[test]
    fn built_in_orders_are_total_over_every_key() {
        for (order, name) in Order::BUILTIN {
            assert_eq!(Order::builtin(name), Some(order.clone()));
            assert_eq!(order.name(), name);
            assert!(name.starts_with(BUILTIN_PREFIX));
            for a in KEYS {
                for b in KEYS {
                    let ab = order.compare(a, b);
                    assert_eq!(ab, order.compare(b, a).reverse(), "{name} {a:?} {b:?}");
                    assert_eq!(ab.is_eq(), a == b, "{name} {a:?} {b:?}");
                    for c in KEYS {
                        let through = ab.is_lt() && order.compare(b, c).is_lt();
                        assert!(
                            !through || order.compare(a, c).is_lt(),
                            "{name} {a:?} {b:?} {c:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn numbers_are_ordered_as_numbers() {
        let numbers = [i64::MIN, -256, -1, 0, 1, 255, 256, 1 << 40, i64::MAX];
        for a in numbers {
            for b in numbers {
                let order = |o: Order, a: [u8; 8], b: [u8; 8]| o.compare(&a, &b);
                assert_eq!(order(Order::I64Le, a.to_le_bytes(), b.to_le_bytes()), a.cmp(&b));
                let (a, b) = (a as u64, b as u64);
                assert_eq!(order(Order::U64Le, a.to_le_bytes(), b.to_le_bytes()), a.cmp(&b));
                assert_eq!(order(Order::U64Be, a.to_be_bytes(), b.to_be_bytes()), a.cmp(&b));
            }
        }
        for order in [Order::U64Be, Order::U64Le, Order::I64Le] {
            assert_eq!(order.check_key(b"1234567").unwrap_err().kind(), ErrorKind::Invalid);
            assert!(order.checks_keys() && order.check_key(b"12345678").is_ok());
        }
        assert!(Order::Reverse.check_key(b"").is_ok());
    }

    #[test]
    fn newest_version_of_a_key_comes_first() {
        for (order, _) in Order::BUILTIN {
            assert_eq!(order.compare_internal(b"k", 9, b"k", 8), Ordering::Less);
            let (small, large) = if order.compare(b"k", b"ka").is_lt() {
                (b"k" as &[u8], b"ka" as &[u8])
            } else {
                (b"ka" as &[u8], b"k" as &[u8])
            };
            assert_eq!(order.compare_internal(small, 8, large, 9), Ordering::Less);
        }
    }

    #[test]
    fn separators_lie_between_blocks() {
        for (order, _) in Order::BUILTIN {
            for a in KEYS {
                for b in KEYS.into_iter().filter(|b| order.compare(a, b).is_lt()) {
                    let between = order.separator(a, b);
                    assert!(order.compare(a, between).is_lt() && order.compare(between, b).is_le());
                }
            }
        }
    }

    #[test]
    fn prefix_ranges_hold_the_keys_with_the_prefix() {
        for order in [Order::Bytewise, Order::Reverse] {
            for prefix in [&b""[..], b"a", b"\xff", b"a\xff"] {
                let (lower, upper) = order.prefix_range(prefix).unwrap();
                for key in KEYS.into_iter().chain([&b"a\xff"[..], b"a\xff\xff", b"b", b"`"]) {
                    let behind = |end: &(Vec<u8>, bool)| match order.compare(key, &end.0) {
                        Ordering::Equal => !end.1,
                        other => other.is_gt(),
                    };
                    let inside =
                        lower.as_ref().is_none_or(behind) && !upper.as_ref().is_some_and(behind);
                    assert_eq!(inside, key.starts_with(prefix), "{order:?} {prefix:?} {key:?}");
                }
            }
        }
        assert_eq!(Order::U64Le.prefix_range(b"").unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn inexact_orders_know_keys_that_differ_in_bytes_only() {
        let lower = |key: &[u8]| key.to_ascii_lowercase();
        let order = custom(false, Box::new(move |a, b| lower(a).cmp(&lower(b))));
        assert!(order.same(b"Key", b"kEY") && !order.same(b"Key", b"Kez"));
        assert!(!Order::Reverse.same(b"Key", b"kEY"));
    }

    #[test]
    fn sorting_by_something_that_is_no_order_ends() {
        let mut items: Vec<Vec<u8>> = KEYS.iter().map(|key| key.to_vec()).collect();
        let all = items.len();
        custom(true, Box::new(|_, _| Ordering::Greater)).sort_by_key(&mut items, |item| item);
        assert_eq!(items.len(), all);
        Order::Reverse.sort_by_key(&mut items, |item| item);
        assert!(items.windows(2).all(|pair| pair[0] >= pair[1]));
    }

    #[test]
    fn numbers_are_sorted_stably_as_std_does() {
        for n in [0, 1, 2, 3, 7, 64, 65, 1000] {
            let keys: Vec<usize> = (0..n).map(|i| i * 7919 % 101).collect();
            let mut expected: Vec<usize> = (0..n).collect();
            expected.sort_by_key(|i| keys[*i]);
            assert_eq!(sorted_numbers(n, &|a, b| keys[a] <= keys[b]), expected, "{n}");
        }
    }
}
