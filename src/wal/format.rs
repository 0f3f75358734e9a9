//! Bytes that only logs have: the LOG START payload, and the places fixed by it.
//!
//! Layout: docs/FORMAT.md, section 4.

use crate::coding::{Decoder, put_u64};
use crate::record::format::{FILE_HEADER_LEN, RECORD_HEADER_LEN};
use crate::types::{FileNum, SEQ_MAX, SeqNo};

/// Bytes of a LOG START payload.
pub const LOG_START_LEN: usize = 32;
/// Where the LOG START of every log ends: nothing durable below this proves that the log was used.
pub const LOG_START_END: u64 = FILE_HEADER_LEN + (RECORD_HEADER_LEN + LOG_START_LEN) as u64;

const _: () = assert!(LOG_START_LEN % 8 == 0, "LOG START needs no padding");

/// First record of every log: what its process knew of the log before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStart {
    /// 0 when no log came before.
    pub prev: FileNum,
    /// End of the last good record of `prev`; bytes behind it never count.
    pub prev_len: u64,
    /// How much of `prev` was durable when this was written.
    pub prev_durable: u64,
    pub prev_last_seq: SeqNo,
}

impl LogStart {
    pub fn encode(&self) -> [u8; LOG_START_LEN] {
        let mut out = Vec::with_capacity(LOG_START_LEN);
        put_u64(&mut out, self.prev.0);
        put_u64(&mut out, self.prev_len);
        put_u64(&mut out, self.prev_durable);
        put_u64(&mut out, self.prev_last_seq);
        out.try_into().expect("four fields of 8 bytes")
    }

    /// `None` for a payload that no writer makes.
    pub fn decode(payload: &[u8]) -> Option<LogStart> {
        let mut decoder = Decoder::new(payload);
        let start = LogStart {
            prev: FileNum(decoder.take_u64()?),
            prev_len: decoder.take_u64()?,
            prev_durable: decoder.take_u64()?,
            prev_last_seq: decoder.take_u64()?,
        };
        (decoder.is_empty() && start.is_sane()).then_some(start)
    }

    fn is_sane(&self) -> bool {
        if self.prev == FileNum(0) {
            return *self == LogStart::default();
        }
        self.prev_len >= LOG_START_END
            && self.prev_len % 8 == 0
            && self.prev_durable <= self.prev_len
            && self.prev_last_seq <= SEQ_MAX
    }
}

/// A clean close as the manifest records it: the log ends in exactly this CLOSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseMark {
    pub log: FileNum,
    /// Size of the file.
    pub length: u64,
    /// Number of the CLOSE record.
    pub last_seq: SeqNo,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_start_round_trips_and_nonsense_is_refused() {
        let start =
            LogStart { prev: FileNum(3), prev_len: 200, prev_durable: 120, prev_last_seq: 9 };
        assert_eq!(LogStart::decode(&start.encode()), Some(start));
        assert_eq!(LogStart::decode(&LogStart::default().encode()), Some(LogStart::default()));
        for wrong in [
            LogStart { prev_len: 64, prev_durable: 0, ..start },
            LogStart { prev_len: 201, ..start },
            LogStart { prev_durable: 208, ..start },
            LogStart { prev: FileNum(0), ..start },
            LogStart { prev_last_seq: SEQ_MAX + 1, ..start },
        ] {
            assert_eq!(LogStart::decode(&wrong.encode()), None, "{wrong:?}");
        }
        assert_eq!(LogStart::decode(&start.encode()[..31]), None);
        assert_eq!(LogStart::decode(&[start.encode().as_slice(), &[0]].concat()), None);
    }
}
