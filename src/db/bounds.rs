//! The range of a read, in the order of the keys.
//!
//! An end is a place between user keys: before all versions of a key or behind them. So no key has to be made
//! up that follows another one, which only some orders allow.
//!
//! Invariants
//! 1. `lower` and `upper` are where the range begins and ends: keys from the one place to the other are inside.

use crate::buffer::copy;
use crate::db::read::ReadParams;
use crate::error::{Area, Error, Result};
use crate::key::{TAG_MAX, Tag};
use crate::order::Order;
use std::cmp::Ordering;

/// A place between user keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub key: Vec<u8>,
    /// Behind the key rather than before it.
    behind: bool,
}

impl Place {
    /// With the key: the internal key to seek, or to seek before.
    pub fn tag(&self) -> Tag {
        if self.behind { 0 } else { TAG_MAX }
    }

    /// Whether `key` comes after this place.
    #[inline]
    fn is_before(&self, order: &Order, key: &[u8]) -> bool {
        match order.compare(key, &self.key) {
            Ordering::Less => false,
            Ordering::Equal => !self.behind,
            Ordering::Greater => true,
        }
    }

    fn compare(&self, order: &Order, other: &Place) -> Ordering {
        order.compare(&self.key, &other.key).then(self.behind.cmp(&other.behind))
    }
}

/// A range of keys.
pub struct Bounds {
    order: Order,
    /// `None`: from the first key.
    pub lower: Option<Place>,
    /// `None`: to the last key.
    pub upper: Option<Place>,
}

impl Bounds {
    /// The range of a read: bounds and prefix, intersected. `INVALID` when the bounds are the wrong way round
    /// or no keys of this order, `UNSUPPORTED` for a prefix in an order that scatters its keys.
    pub fn of(params: &ReadParams, order: &Order) -> Result<Bounds> {
        for key in [&params.lower, &params.upper].into_iter().flatten() {
            order.check_key(key)?;
        }
        if let (Some(lower), Some(upper)) = (&params.lower, &params.upper) {
            if order.compare(lower, upper).is_gt() {
                let message = "the lower bound is above the upper bound";
                return Err(Error::invalid(Area::Argument, message));
            }
        }
        let place = |key: &Option<Vec<u8>>, behind| match key {
            Some(key) => Ok(Some(Place { key: copy(key, Area::Argument)?, behind })),
            None => Ok(None),
        };
        let mut bounds = Bounds {
            order: order.clone(),
            lower: place(&params.lower, params.lower_exclusive)?,
            upper: place(&params.upper, params.upper_inclusive)?,
        };
        if let Some(prefix) = &params.prefix {
            bounds.narrow(prefix)?;
        }
        Ok(bounds)
    }

    /// Leaves only keys that start with `prefix`.
    fn narrow(&mut self, prefix: &[u8]) -> Result<()> {
        let (lower, upper) = self.order.prefix_range(prefix)?;
        let place = |(key, behind)| Place { key, behind };
        let order = &self.order;
        let lower = lower.map(place).into_iter().chain(self.lower.take());
        self.lower = lower.max_by(|a, b| a.compare(order, b));
        let upper = upper.map(place).into_iter().chain(self.upper.take());
        self.upper = upper.min_by(|a, b| a.compare(order, b));
        Ok(())
    }

    /// Whether `key` is not before the range.
    #[inline]
    pub fn begins_by(&self, key: &[u8]) -> bool {
        self.lower.as_ref().is_none_or(|lower| lower.is_before(&self.order, key))
    }

    /// Whether `key` is behind the range.
    #[inline]
    pub fn ends_before(&self, key: &[u8]) -> bool {
        self.upper.as_ref().is_some_and(|upper| upper.is_before(&self.order, key))
    }

    /// Whether a key of the range can lie between `smallest` and `largest`.
    pub fn meets(&self, smallest: &[u8], largest: &[u8]) -> bool {
        self.begins_by(largest) && !self.ends_before(smallest)
    }

    /// The order of the keys.
    #[inline]
    pub fn order(&self) -> &Order {
        &self.order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn params(lower: Option<&[u8]>, upper: Option<&[u8]>, prefix: Option<&[u8]>) -> ReadParams {
        let owned = |key: Option<&[u8]>| key.map(<[u8]>::to_vec);
        let (lower, upper, prefix) = (owned(lower), owned(upper), owned(prefix));
        ReadParams { lower, upper, prefix, ..ReadParams::default() }
    }

    /// Those of a few keys that are inside.
    fn inside(params: &ReadParams, order: &Order) -> String {
        let bounds = Bounds::of(params, order).unwrap();
        let keys = ["a", "ab", "abc", "b", "ba", "c"].into_iter();
        let inside = |key: &&str| {
            let key = key.as_bytes();
            assert_eq!(bounds.meets(key, key), bounds.begins_by(key) && !bounds.ends_before(key));
            bounds.meets(key, key)
        };
        keys.filter(inside).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ends_are_inside_or_outside_as_asked_in_every_order() {
        for (order, lower, upper) in
            [(Order::Bytewise, &b"ab"[..], &b"ba"[..]), (Order::Reverse, b"ba", b"ab")]
        {
            let mut params = params(Some(lower), Some(upper), None);
            let mut expected = |lower_exclusive, upper_inclusive, keys: &str| {
                (params.lower_exclusive, params.upper_inclusive) =
                    (lower_exclusive, upper_inclusive);
                assert_eq!(inside(&params, &order), keys, "{order:?}");
            };
            expected(false, true, "ab abc b ba");
            expected(true, false, "abc b");
            match order {
                Order::Bytewise => expected(false, false, "ab abc b"),
                _ => expected(false, false, "abc b ba"),
            }
        }
        let open = params(None, None, None);
        assert_eq!(inside(&open, &Order::Reverse), "a ab abc b ba c");
    }

    #[test]
    fn a_prefix_narrows_the_bounds_and_never_widens_them() {
        for (order, from) in [(Order::Bytewise, &b"ab"[..]), (Order::Reverse, b"abc")] {
            assert_eq!(inside(&params(None, None, Some(b"ab")), &order), "ab abc");
            assert_eq!(inside(&params(None, None, Some(b"")), &order), "a ab abc b ba c");
            assert_eq!(inside(&params(Some(from), None, Some(b"ab")), &order), "ab abc");
            assert_eq!(inside(&params(None, Some(from), Some(b"ab")), &order), "");
        }
    }

    #[test]
    fn bounds_that_make_no_sense_are_refused() {
        let refused = |params: &ReadParams, order: &Order| Bounds::of(params, order).err().unwrap();
        let upwards = params(Some(b"a"), Some(b"b"), None);
        assert_eq!(refused(&upwards, &Order::Reverse).kind(), ErrorKind::Invalid);
        let downwards = params(Some(b"b"), Some(b"a"), None);
        assert_eq!(refused(&downwards, &Order::Bytewise).kind(), ErrorKind::Invalid);
        assert_eq!(refused(&upwards, &Order::I64Le).kind(), ErrorKind::Invalid);
        let prefix = params(None, None, Some(b"a"));
        assert_eq!(refused(&prefix, &Order::I64Le).kind(), ErrorKind::Unsupported);
    }
}
