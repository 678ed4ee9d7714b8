//! The whole road on the embedded parts: the bookshop against figures worked out by another program, and the verbs
//! run twice, two at once and on planted faults.

pub mod bookshop;
mod dbt;
mod faults;
mod formats;
mod init;
mod kinds;
mod maintain;
mod quarantine;
mod twice;
