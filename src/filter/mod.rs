//! Which keys a table cannot have: `kind` (choice by kind byte), `blocked` (kind 1), `classic` (kind 2).

pub mod blocked;
pub mod classic;
pub mod kind;
