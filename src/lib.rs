//! `lake`: a medallion lakehouse in one binary.
//!
//! A record's journey:
//!
//! ```text
//! file row ── source ──► Record ── kafka ──► topic partition/offset
//!                                               │ decode: bytes -> Arrow, bad records set aside
//!                                               ▼
//!            Bronze table (rows + quarantine + offsets in one Delta commit)        table
//!                                               │ SQL models, tests before the commit   engine, model, check
//!                                               ▼
//!            Silver and Gold tables, named together by a run manifest
//!                                               │ one Postgres transaction + ledger      warehouse
//!                                               ▼
//!            the star in Postgres
//! ```
//!
//! Every flow reads from a position, works, and keeps its next position inside its destination's own
//! atomic commit. There is no checkpoint directory and no state database; running anything twice is safe.
//!
//! The modules below stand in layers, each importing only those above it in this list of layers:
//! 1. `error`, `ident`, `record`, `partition`, `failpoint`: plain values, which import only each other;
//! 2. adapters: `source`, `kafka`, `table`, `check`, `warehouse`, `embedded`, which import no other one; `engine` over
//!    `table`, `decode` over `engine`, `model` over `check`, `engine`, `decode` and `source`;
//! 3. `flow`: joins adapters, one verb = one loop = one report;
//! 4. `config`, `scaffold`: layers of settings into the adapters' options; a new project;
//! 5. `cli`: arguments in, text out.
//!
//! A module of several files is a folder with its head in `mod.rs`. Files of one folder import each other in no circle.

#![forbid(unsafe_code)]

pub mod error;
pub mod failpoint;
pub mod ident;
pub mod partition;
pub mod record;

pub mod check;
pub mod decode;
pub mod embedded;
pub mod engine;
pub mod kafka;
pub mod model;
pub mod source;
pub mod table;
pub mod warehouse;

pub mod flow;

pub mod config;
pub mod scaffold;

pub mod cli;
