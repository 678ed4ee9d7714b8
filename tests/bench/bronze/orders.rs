//! Seeded orders of a web shop, one JSON object each: the same bytes for the same shape on every machine.

use std::io::Write;

/// Columns of an order, as the contract of the Bronze table declares them.
pub const COLUMNS: [(&str, &str); 7] = [
    ("order_id", "bigint"),
    ("customer", "text"),
    ("isbn", "text"),
    ("quantity", "int"),
    ("price", "decimal(10,2)"),
    ("placed_at", "timestamp"),
    ("country", "text"),
];

/// The column that makes records long, when [`Shape::note_bytes`] asks for it.
pub const NOTE: (&str, &str) = ("note", "text");

const NAMES: [&str; 8] = ["Ana", "Li Wei", "Yannis", "Olumide", "Katarzyna", "Jo", "Фёдор", "Maria-Eleni"];
const COUNTRIES: [&str; 8] = ["GR", "PL", "NG", "CN", "DE", "BR", "US", "IN"];

#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub records: u64,
    pub partitions: i32,
    /// Records in a thousand that are cut off or carry a word for a number, in turns.
    pub bad_per_mille: u64,
    /// Length of the note of each record; 0: no note.
    pub note_bytes: usize,
    pub seed: u64,
}

/// What a reader has to find.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    pub rows: u64,
    pub rejects: u64,
    /// Sum over the good rows.
    pub quantity: u64,
    pub bytes: u64,
}

impl Shape {
    /// Plain orders, all good.
    pub fn orders(records: u64, partitions: i32, seed: u64) -> Shape {
        Shape { records, partitions, bad_per_mille: 0, note_bytes: 0, seed }
    }

    /// Gives each payload to `visit`; adds up what the good ones hold.
    pub fn generate(&self, mut visit: impl FnMut(u64, &[u8])) -> Expected {
        let mut orders = Orders::new(self);
        let mut expected = Expected::default();
        let mut payload = Vec::new();
        for number in 0..self.records {
            payload.clear();
            match orders.write(number, &mut payload) {
                Some(quantity) => {
                    expected.rows += 1;
                    expected.quantity += quantity;
                }
                None => expected.rejects += 1,
            }
            expected.bytes += payload.len() as u64;
            visit(number, &payload);
        }
        expected
    }
}

/// The stream of orders of one shape.
pub struct Orders {
    dice: Dice,
    bad_per_mille: u64,
    bad: u64,
    /// Text the notes are cut from, so that neighbours differ.
    letters: Vec<u8>,
    note_bytes: usize,
}

impl Orders {
    pub fn new(shape: &Shape) -> Orders {
        let mut dice = Dice(shape.seed);
        let mut letters = Vec::new();
        if shape.note_bytes > 0 {
            letters.extend(
                (0..2 * shape.note_bytes).map(|_| b"abcdefghijklmnopqrstuvwxyz 01234"[dice.below(32) as usize]),
            );
        }
        Orders { dice, bad_per_mille: shape.bad_per_mille, bad: 0, letters, note_bytes: shape.note_bytes }
    }

    /// Appends an order; its quantity, or `None` when it is a broken one.
    pub fn write(&mut self, number: u64, out: &mut Vec<u8>) -> Option<u64> {
        let start = out.len();
        let fault = self.fault();
        let quantity = 1 + self.dice.below(9);
        let quantity_text = if fault == Some(Fault::Word) { "\"many\"" } else { DIGITS[quantity as usize] };
        let dice = &mut self.dice;
        let (name, country) = (NAMES[dice.below(8) as usize], COUNTRIES[dice.below(8) as usize]);
        let isbn = 9_780_000_000_000 + dice.below(9_999_999_999);
        let (euros, cents) = (1 + dice.below(120), dice.below(100));
        let (month, day, hour, minute, second) =
            (1 + dice.below(12), 1 + dice.below(28), dice.below(24), dice.below(60), dice.below(60));
        let id = 1_000_000 + number;
        write!(
            out,
            r#"{{"order_id":{id},"customer":"{name}","isbn":"{isbn}","quantity":{quantity_text},"price":"{euros}.{cents:02}","placed_at":"2026-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z","country":"{country}""#
        )
        .unwrap();
        if self.note_bytes > 0 {
            let from = self.dice.below(self.note_bytes as u64) as usize;
            out.extend_from_slice(b",\"note\":\"");
            out.extend_from_slice(&self.letters[from..from + self.note_bytes]);
            out.push(b'"');
        }
        out.push(b'}');
        if fault == Some(Fault::Cut) {
            out.truncate(start + (out.len() - start) / 2);
        }
        fault.is_none().then_some(quantity)
    }

    /// What is wrong with the next order.
    fn fault(&mut self) -> Option<Fault> {
        let broken = self.dice.below(1000) < self.bad_per_mille;
        self.bad += u64::from(broken);
        broken.then_some(if self.bad.is_multiple_of(2) { Fault::Cut } else { Fault::Word })
    }
}

/// How an order is broken.
#[derive(PartialEq)]
enum Fault {
    /// It ends in its middle.
    Cut,
    /// Its quantity is a word.
    Word,
}

const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % end
    }
}
