//! The table of options: defaults, ranges, texts, parsing.

use esker::internals::options::*;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

#[test]
fn defaults_are_those_of_the_table() {
    let defaults = Options::default();
    for spec in OPTION_TABLE {
        let text = defaults.get_text(spec.id).expect("known id");
        assert_eq!(text, spec.default_text.to_str().expect("ASCII"), "{:?}", spec.name);
        if spec.kind() == OptionKind::Object {
            continue;
        }
        let mut same = defaults.clone();
        same.set_text(spec.id, text.as_bytes()).expect("a default is allowed");
        assert_eq!(same, defaults, "{:?}", spec.name);
    }
    defaults.check().expect("defaults agree");
    assert!(OPTION_TABLE.windows(2).all(|pair| pair[0].id < pair[1].id));
}

#[test]
fn ranges_hold_at_both_ends() {
    for spec in OPTION_TABLE.iter().filter(|spec| spec.kind() == OptionKind::Number) {
        let mut options = Options::default();
        for good in [spec.min, spec.max] {
            options.set_u64(spec.id, good).expect("the ends are inside");
            let text = options.get_text(spec.id).expect("known id");
            let mut read = Options::default();
            read.set_text(spec.id, text.as_bytes()).expect("its own text");
            assert_eq!(read, options, "{:?}", spec.name);
        }
        let error = options.set_u64(spec.id, spec.max + 1).expect_err("outside");
        assert!(error.to_string().contains(spec.name_text()), "{error}");
        assert!(error.to_string().contains(&spec.show(spec.max)), "{error}");
        assert!(spec.min == 0 || options.set_u64(spec.id, spec.min - 1).is_err());
    }
}

#[test]
fn sizes_take_suffixes() {
    let mut options = Options::default();
    for (text, bytes) in
        [("8MiB", 8 * MIB), ("64 KiB", 64 * KIB), ("3k", 3000), ("2M", 2_000_000), ("77", 77)]
    {
        options.set_text(20, text.as_bytes()).expect(text);
        assert_eq!(options.write_buffer, bytes);
    }
    for text in ["", "MiB", "8 mib", "-1", "+8", "8MiBx", "99999999999GiB", "\u{ff}"] {
        assert!(options.set_text(20, text.as_bytes()).is_err(), "{text:?}");
    }
    options.set_text(5, b"0644").expect("octal");
    assert_eq!(options.file_mode, 0o644);
}

#[test]
fn parse_is_all_or_nothing_and_says_where() {
    let mut options = Options::default();
    options.parse(b" write_buffer = 8MiB ;; filter=none; ").expect("good text");
    assert_eq!((options.write_buffer, options.filter), (8 * MIB, None));
    let before = options.clone();
    for (text, offset) in [
        ("levels=3; nonsense=1", 10),
        ("levels=3;levels= 99", 17),
        ("levels", 0),
        ("levels=3;  =4", 11),
        ("filter_bits=1\\;2", 12),
    ] {
        let error = options.parse(text.as_bytes()).expect_err(text);
        assert_eq!(error.detail().offset, offset, "{text}: {error}");
        assert_eq!(options, before, "{text}");
    }
}

#[test]
fn contradictions_are_refused() {
    let mut options = Options::default();
    options.parse(b"l0_trigger=8; l0_stop=7").expect("each alone is fine");
    assert!(options.check().expect_err("together").to_string().contains("l0_stop"));
    assert!(options.set_u64(34, 1).expect_err("a text").to_string().contains("filter"));
    assert!(options.set_u64(999, 1).expect_err("unknown").to_string().contains("999"));
}
