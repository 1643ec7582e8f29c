//! What a hostile package can try, and what becomes of it: every attempt is made by a real build,
//! by root, by an ordinary user and by one without subordinate ids, and an honest build beside it
//! must not notice. What stops each of them is told in docs/security.md.

#[path = "../e2e/case.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests, which use more of it")]
mod case;
#[path = "../e2e/fixture.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests, which use more of it")]
mod fixture;
#[path = "../e2e/left.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests, which use more of it")]
mod left;
#[path = "../e2e/repository.rs"]
#[allow(dead_code, reason = "shared with the end-to-end tests, which use more of it")]
mod repository;

mod archives;
mod calls;
mod host;
mod package;
mod resources;
mod scriptlets;
