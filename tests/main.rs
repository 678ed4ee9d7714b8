//! The one integration-test binary. A file in a folder below that no `mod` line names fails `listing`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod architecture;
mod broken;
mod broker;
mod cli;
mod contract;
mod crash;
mod faults;
mod interop;
mod listing;
mod live;
mod road;
mod support;
