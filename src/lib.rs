//! lib.
