//! Which keys a table cannot have: `kind` (choice by kind byte), `blocked` (kind 1).

pub mod blocked;
pub mod kind;
