//! The same assertions over every implementation of a seam.

mod broker;
mod kafka;
mod source;
mod warehouse;
