//! What the commands print and how they end, by running the real binary.

mod export;
mod help;
mod load;
mod pipes;
mod plan;
mod planted;
mod progress;
mod query;
mod secrets;
mod settings;
mod signals;
mod status;
mod tampered;
mod verify;
