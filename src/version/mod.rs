//! The shape of the tree: `field` (the fields of an edit), `edit` (one change), `levels` (a picture),
//! `state` (all the manifest knows), `manifest` (the file), `set` (current versions and the one way to
//! change them).

pub mod field;
pub mod edit;
pub mod levels;
pub mod state;
pub mod manifest;
pub mod set;
