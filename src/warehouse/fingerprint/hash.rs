//! PostgreSQL's 64-bit hash of a text (`hashtextextended`), so that a server can hash its rows where they lie.
//!
//! It is Bob Jenkins' lookup3 as PostgreSQL has it since version 11, where hash partitioning pins it down. It finds
//! damage and accidents; it is no protection against somebody who wants two rows to look alike.

const START: u32 = 0x9e37_79b9;
const INCREMENT: u32 = 3_923_095;
const BLOCK: usize = 12;

/// `hashtextextended(text, 0)` in a database whose encoding is UTF-8, on a machine that stores the low byte first.
pub fn hash(text: &[u8]) -> i64 {
    let start = START.wrapping_add(text.len() as u32).wrapping_add(INCREMENT);
    let mut state = State { a: start, b: start, c: start };
    let mut blocks = text.chunks_exact(BLOCK);
    for block in &mut blocks {
        let [a, b, c] = words(block);
        state.add(a, b, c);
        state.mix();
    }
    let mut rest = [0; BLOCK];
    let tail = blocks.remainder();
    rest[..tail.len()].copy_from_slice(tail);
    let [a, b, c] = words(&rest);
    state.add(a, b, c << 8); // the low byte of `c` is the length's
    state.finish()
}

fn words(block: &[u8]) -> [u32; 3] {
    [0, 4, 8].map(|at| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]))
}

struct State {
    a: u32,
    b: u32,
    c: u32,
}

/// Takes `x` off or in by the turned `y`, as each line of lookup3 does.
fn turned(x: u32, y: u32, by: u32) -> u32 {
    x ^ y.rotate_left(by)
}

impl State {
    fn add(&mut self, a: u32, b: u32, c: u32) {
        self.a = self.a.wrapping_add(a);
        self.b = self.b.wrapping_add(b);
        self.c = self.c.wrapping_add(c);
    }

    fn mix(&mut self) {
        let State { mut a, mut b, mut c } = *self;
        for turns in [[4, 6, 8], [16, 19, 4]] {
            a = turned(a.wrapping_sub(c), c, turns[0]);
            c = c.wrapping_add(b);
            b = turned(b.wrapping_sub(a), a, turns[1]);
            a = a.wrapping_add(c);
            c = turned(c.wrapping_sub(b), b, turns[2]);
            b = b.wrapping_add(a);
        }
        *self = State { a, b, c };
    }

    fn finish(self) -> i64 {
        let State { mut a, mut b, mut c } = self;
        let taken = |x: u32, y: u32, by: u32| (x ^ y).wrapping_sub(y.rotate_left(by));
        c = taken(c, b, 14);
        a = taken(a, c, 11);
        b = taken(b, a, 25);
        c = taken(c, b, 16);
        a = taken(a, c, 4);
        b = taken(b, a, 14);
        c = taken(c, b, 24);
        (u64::from(b) << 32 | u64::from(c)) as i64
    }
}
