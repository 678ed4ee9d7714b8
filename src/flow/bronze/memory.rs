//! How the memory of a stream is shared out: `bronze.memory` is one number, but it is held in several places.
//!
//! | held | share |
//! |---|---|
//! | by librdkafka: fetched, not yet polled | 1/5, and what one fetch brings beyond it |
//! | chunks: one being filled, two waiting, one being decoded | 4/64 |
//! | the columns of two chunks: one being decoded, one being encoded | 2/64, more for wide tables |
//! | encoded rows of the open files and of those being closed | 1/16 each, twice more while a row group is written |
//! | parts of files under way to the store | 15 MB a file |
//!
//! What is left over is the program itself and what allocators keep.

use super::intake::Full;

/// Messages of a chunk, whatever their size: enough for the cost of a chunk itself to vanish.
const CHUNK_MESSAGES: usize = 16 << 10;

#[derive(Debug, Clone, Copy)]
pub(super) struct Shares {
    /// Fetched and not yet polled.
    pub queue: usize,
    /// Payload bytes of a chunk.
    pub chunk: usize,
    /// Encoded bytes of a file that is written.
    pub row_group: usize,
    /// Payload bytes that columns are inferred from.
    pub inference: usize,
}

impl Shares {
    /// For one of `streams` that share `memory` bytes.
    pub fn of(memory: usize, streams: usize) -> Shares {
        let memory = memory / streams.max(1);
        Shares {
            queue: memory / 5,
            chunk: (memory / 64).clamp(64 << 10, 16 << 20),
            row_group: (memory / 16).clamp(1 << 20, 128 << 20),
            inference: memory / 16,
        }
    }

    /// A chunk of a batch of at most so many messages.
    pub fn full_chunk(&self, most_messages: usize) -> Full {
        Full { messages: CHUNK_MESSAGES.min(most_messages), bytes: self.chunk }
    }
}
