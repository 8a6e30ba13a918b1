//! For tests of this crate and of other stores: the contract every store keeps (feature `testing`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing check is a panic")]

mod store_contract;

pub use store_contract::{Fresh, store_contract};
