//! The numbers as texts for programs, and that docs/METRICS.md lists exactly these.

use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::env::sim::SimKernel;
use std::collections::BTreeMap;

/// Name, type and help of each metric, and the values it has.
fn parse(text: &str) -> BTreeMap<String, (String, String, Vec<String>)> {
    let mut all: BTreeMap<String, (String, String, Vec<String>)> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            current = name.to_owned();
            let new = (String::new(), help.to_owned(), Vec::new());
            assert!(all.insert(current.clone(), new).is_none(), "{name} is described once");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, current, "the type follows the help");
            all.get_mut(name).expect("described").0 = kind.to_owned();
        } else {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let bare = name.split('{').next().expect("a name");
            assert_eq!(bare, current, "values stand behind their description");
            value.parse::<f64>().expect("a number");
            all.get_mut(bare).expect("described").2.push(line.to_owned());
        }
    }
    all
}

fn busy() -> Db {
    let db = open(&SimKernel::new(31), &tiny()).expect("opens");
    for n in 0..200u32 {
        db.put(&buffered(), &n.to_be_bytes(), &[7; 20]).expect("written");
    }
    assert!(get(&db, &5u32.to_be_bytes()).is_some());
    db
}

#[test]
fn the_document_lists_every_name_with_its_type_and_meaning() {
    let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md");
    let text = std::fs::read_to_string(path).expect("docs/METRICS.md is in the checkout");
    let mut listed = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `esker_")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, help] = cells[..] else { panic!("three cells: {line}") };
        listed.insert(name.trim_matches('`').to_owned(), (kind.to_owned(), help.to_owned()));
    }
    let written = parse(&busy().metrics_text(0).unwrap());
    let written = written.into_iter().map(|(name, (kind, help, _))| (name, (kind, help))).collect();
    assert_eq!(listed, written);
}

#[test]
fn values_are_those_of_the_statistics() {
    let db = busy();
    let text = db.metrics_text(3).unwrap();
    assert!(text.is_ascii(), "{text}");
    let all = parse(&text);
    let stats = db.stats();
    for (name, value) in [
        ("esker_puts_total", "200".to_owned()),
        ("esker_gets_found_total", "1".to_owned()),
        ("esker_live_pins", "3".to_owned()),
        ("esker_writes_stopped", "0".to_owned()),
        ("esker_flushes_total", stats.flushes.to_string()),
        ("esker_table_bytes", stats.table_bytes.to_string()),
        ("esker_stall_seconds_total", format!("{:.6}", stats.stall_us as f64 / 1e6)),
    ] {
        assert_eq!(all[name].2, [format!("{name} {value}")]);
    }
    let levels = &all["esker_level_tables"].2;
    assert_eq!(levels.len(), stats.levels as usize);
    for (at, line) in levels.iter().enumerate() {
        let tables = stats.level[at].tables;
        assert_eq!(*line, format!("esker_level_tables{{level=\"{at}\"}} {tables}"));
    }
    assert!(stats.level.iter().any(|level| level.tables > 0), "there is something to tell");
    for (name, (kind, _, _)) in &all {
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    }
}

#[test]
fn a_stop_of_writes_shows() {
    let kernel = SimKernel::new(32);
    let db = open(&kernel, &calm()).expect("opens");
    db.put(&buffered(), b"k", b"v").expect("written");
    fail_once(&kernel, esker::internals::env::sim::CallKind::Fdatasync, 1, EIO);
    assert!(db.sync().is_err());
    assert_eq!(
        parse(&db.metrics_text(0).unwrap())["esker_writes_stopped"].2,
        ["esker_writes_stopped 1"]
    );
}

#[test]
fn json_holds_every_number_once() {
    let db = busy();
    let text = db.stats_json(2).unwrap();
    let names =
        db.metrics_text(0).unwrap().lines().filter(|line| line.starts_with("# TYPE")).count();
    let levels = db.stats().levels as usize;
    let per_level = 7;
    let pairs = text.matches("\":").count();
    assert_eq!(pairs, names - per_level + 1 + levels * per_level, "{text}");
    assert!(text.is_ascii(), "{text}");
    assert!(text.starts_with("{\"puts\":200,") && text.ends_with("]}\n"), "{text}");
    assert!(text.contains("\"live_pins\":2,") && text.contains("\"level\":[{\"tables\":"));
}
