//! Changes and shows options, by id or name.
//!
//! Invariants
//! 1. A setter that fails changes nothing; `parse` applies all assignments or none.

use crate::error::{Area, Error, Result};
use crate::options::Options;
use crate::options::table::{Field, OptionSpec, find_id, find_name, parse_number};
use crate::order::Order;
use std::ops::Range;

fn unknown_name(name: &[u8]) -> Error {
    let shown: String = String::from_utf8_lossy(name).chars().take(64).collect();
    Error::invalid(Area::Option, format!("there is no option \"{shown}\""))
}

impl Options {
    /// Sets a number. `INVALID` for an unknown id, a text option or a value out of range.
    pub fn set_u64(&mut self, id: u32, value: u64) -> Result<()> {
        let spec = find_id(id)?;
        let Field::Number { set, .. } = &spec.field else {
            let message = format!("option \"{}\" is not a number", spec.name_text());
            return Err(Error::invalid(Area::Option, message));
        };
        if value < spec.min || value > spec.max {
            return Err(spec.refuse(&spec.show(value)));
        }
        set(self, value);
        Ok(())
    }

    /// Sets a text or, parsed, a number. `INVALID` as above.
    pub fn set_text(&mut self, id: u32, text: &[u8]) -> Result<()> {
        self.set_spec(find_id(id)?, text)
    }

    fn set_spec(&mut self, spec: &'static OptionSpec, text: &[u8]) -> Result<()> {
        let quoted = || {
            let shown: String = String::from_utf8_lossy(text).chars().take(48).collect();
            format!("\"{shown}\"")
        };
        let text = std::str::from_utf8(text).map_err(|_| spec.refuse(&quoted()))?.trim();
        match &spec.field {
            Field::Number { shown, .. } => {
                let number = parse_number(*shown, text).ok_or_else(|| spec.refuse(&quoted()))?;
                self.set_u64(spec.id, number)
            }
            Field::Text { set, .. } => {
                let mut changed = self.clone();
                if !set(&mut changed, text) {
                    return Err(spec.refuse(&quoted()));
                }
                *self = changed;
                Ok(())
            }
            Field::Object { .. } => Err(spec.refuse(&quoted())),
        }
    }

    /// The value of an option as a text that `set_text` takes back.
    pub fn get_text(&self, id: u32) -> Result<String> {
        let spec = find_id(id)?;
        Ok(match &spec.field {
            Field::Number { get, .. } => spec.show(get(self)),
            Field::Text { get, .. } | Field::Object { get } => get(self),
        })
    }

    /// Applies "name=value; name=value". On an error nothing has changed and the error's offset points
    /// at the name or value that is wrong.
    pub fn parse(&mut self, text: &[u8]) -> Result<()> {
        let mut changed = self.clone();
        let mut start = 0;
        while start < text.len() {
            let end = assignment_end(text, start);
            changed.assign(text, start..end)?;
            start = end + 1;
        }
        *self = changed;
        Ok(())
    }

    /// Applies the one assignment that `part` of `text` holds; spaces only are fine.
    fn assign(&mut self, text: &[u8], part: Range<usize>) -> Result<()> {
        let piece = text.get(part.clone()).unwrap_or_default();
        let at = |within: &[u8]| part.start + spaces_before(within);
        if piece.trim_ascii().is_empty() {
            return Ok(());
        }
        let Some(equals) = piece.iter().position(|&byte| byte == b'=') else {
            let message = "an option needs the form name=value";
            return Err(Error::invalid(Area::Option, message).with_offset(at(piece) as u64));
        };
        let (name, value) = (&piece[..equals], &piece[equals + 1..]);
        let spec = find_name(name.trim_ascii())
            .ok_or_else(|| unknown_name(name.trim_ascii()).with_offset(at(name) as u64))?;
        self.set_spec(spec, &unescape(value.trim_ascii()))
            .map_err(|error| error.with_offset((equals + 1 + at(value)) as u64))
    }

    /// Refuses options that contradict each other.
    pub fn check(&self) -> Result<()> {
        if self.l0_stop < self.l0_trigger {
            let message = format!(
                "option \"l0_stop\" is {}, must not be below l0_trigger, {}",
                self.l0_stop, self.l0_trigger
            );
            return Err(Error::invalid(Area::Option, message));
        }
        if self.comparator_custom.is_some() && self.comparator != Order::Bytewise {
            let message = "options \"comparator\" and \"comparator_custom\" are both set";
            return Err(Error::invalid(Area::Option, message));
        }
        Ok(())
    }
}

fn spaces_before(text: &[u8]) -> usize {
    text.len() - text.trim_ascii_start().len()
}

/// Position of the ';' that ends the assignment at `start`, or the end of the text.
fn assignment_end(text: &[u8], start: usize) -> usize {
    let mut escaped = false;
    for (i, &byte) in text.iter().enumerate().skip(start) {
        if byte == b';' && !escaped {
            return i;
        }
        escaped = byte == b'\\';
    }
    text.len()
}

/// Replaces `\;` by `;`.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for (i, &byte) in text.iter().enumerate() {
        if byte != b'\\' || text.get(i + 1) != Some(&b';') {
            out.push(byte);
        }
    }
    out
}
