//! The parser and the check, on a small header and on the real one.

use crate::facts::{complaints, statuses, summary, threads};
use crate::header::{Kind, parse};

const SMALL: &str = r"/* esker.h - a store.
 *
 * Result  0 is success.
 */
/** Version of this header. */
#define ESKER_VERSION 1000

/** Result of a call. */
enum esker_status
#if defined(__cplusplus)
  : int32_t
#endif // defined(__cplusplus)
 {
  /** Done. */
  ESKER_OK = 0,
  /** The key is absent. */
  ESKER_NOT_FOUND = 1,
  /** Not a handle. */
  ESKER_MISUSE = -2,
};
#ifndef __cplusplus
typedef int32_t esker_status;
#endif // __cplusplus

/** A database. [any-thread] */
typedef struct esker_db esker_db;

/** Told about work. */
typedef int32_t (*esker_progress_fn)(void *ctx, uint64_t done);

#ifdef __cplusplus
extern C {
#endif // __cplusplus

/**
 * Looks `thing` up. NOT_FOUND when absent (none;
 * really). [any-thread] [callback-safe]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_find(struct esker_db *db,
                        const void *thing);

ESKER_API uint32_t esker_bare(int32_t odd);
";

#[test]
fn a_function_is_read_with_its_comment_parameters_and_marks() {
    let header = parse(SMALL);
    assert_eq!(header.preface, "esker.h - a store.\n\nResult  0 is success.\n");
    let (item, function) = header.functions().next().expect("there are functions");
    assert_eq!(item.code, "esker_status esker_find(esker_db *db, const void *thing);");
    assert_eq!(summary(&item.doc), "Looks `thing` up");
    assert_eq!(threads(&item.doc), ["any-thread", "callback-safe"]);
    let names: Vec<_> = function.parameters.iter().map(|p| (&*p.ctype, &*p.name)).collect();
    assert_eq!(names, [("esker_db *", "db"), ("const void *", "thing")]);
    let statuses = statuses(&header, item, function);
    let names: Vec<_> = statuses.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ESKER_OK", "ESKER_NOT_FOUND", "ESKER_MISUSE"]);
}

#[test]
fn types_are_read_with_their_members() {
    let header = parse(SMALL);
    let names: Vec<_> = header.items.iter().map(|item| item.name.as_str()).collect();
    let wanted = ["ESKER_VERSION", "esker_status", "esker_db", "esker_progress_fn", "esker_find"];
    assert_eq!(names, [&wanted[..], &["esker_bare"]].concat());
    let Kind::Enum(values) = &header.items[1].kind else { panic!("an enum") };
    assert_eq!(
        (values[2].text.as_str(), values[2].doc.as_str()),
        ("ESKER_MISUSE = -2", "Not a handle.")
    );
}

#[test]
fn the_check_names_everything_that_is_missing() {
    let found = complaints(&parse(SMALL), &["esker_find", "esker_gone"]);
    let wanted = [
        "esker_gone: exported, but not in the header",
        "esker_bare: in the header, but not exported",
        "esker_bare: no comment",
        "esker_bare: no mark says which threads may call it",
        "esker_bare: parameter odd (int32_t) is not explained",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn every_declaration_of_the_real_header_is_found() {
    let text = include_str!("../../../include/esker.h");
    let header = parse(text);
    assert_eq!(header.functions().count(), text.matches("\nESKER_API").count());
    let enums = header.items.iter().filter(|item| matches!(item.kind, Kind::Enum(_))).count();
    assert_eq!(enums, text.matches("\nenum ").count());
    let structs = header.items.iter().filter(|item| matches!(item.kind, Kind::Struct(_))).count();
    assert_eq!(
        structs,
        text.lines().filter(|l| l.starts_with("typedef struct") && l.ends_with('{')).count()
    );
    let macros = header.items.iter().filter(|item| item.kind == Kind::Macro).count();
    assert!(macros >= 6, "{macros}");
}
