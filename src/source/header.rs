//! Column names of a delimited file.
//!
//! A header cell names its column as it stands. An empty one is called `column_<n>` by its place, a name
//! that occurred before (upper and lower case alike, as tables do not tell them apart) gets `_2`, `_3`, ...
//! so every column has a name of its own which stays the same from run to run.
//!
//! Unnamed columns at the end are what a delimiter after the last column leaves. Their empty cells are left
//! out of the records; a cell that does hold text there is kept under its `column_<n>`.

use std::collections::HashSet;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub names: Vec<String>,
    /// Index of the first column of the unnamed ones at the end; `names.len()` when there are none.
    pub unnamed_from: usize,
    /// Names that occurred before, and what the columns are called instead.
    pub renamed: Vec<(String, String)>,
}

impl Header {
    pub fn from_cells<'a>(cells: impl Iterator<Item = &'a str>) -> Header {
        let cells: Vec<&str> = cells.collect();
        let unnamed_from = cells.iter().rposition(|cell| !is_unnamed(cell)).map_or(0, |last| last + 1);
        let literal: HashSet<String> = cells.iter().map(|cell| cell.to_lowercase()).collect();
        let mut taken = HashSet::new();
        let (mut names, mut renamed) = (Vec::with_capacity(cells.len()), Vec::new());
        for (index, cell) in cells.iter().enumerate() {
            let wanted = if is_unnamed(cell) { format!("column_{}", index + 1) } else { cell.to_string() };
            let is_first_of_its_name = !is_unnamed(cell) || !literal.contains(&wanted);
            let name = match is_first_of_its_name && !taken.contains(&wanted.to_lowercase()) {
                true => wanted,
                false => numbered(&wanted, |name| taken.contains(name) || literal.contains(name)),
            };
            if name != *cell && !is_unnamed(cell) {
                renamed.push((cell.to_string(), name.clone()));
            }
            taken.insert(name.to_lowercase());
            names.push(name);
        }
        // A file whose header names nothing at all has columns all the same.
        let unnamed_from = if unnamed_from == 0 { names.len() } else { unnamed_from };
        Header { names, unnamed_from, renamed }
    }

    /// Names for a file without a header.
    pub fn without_names(columns: usize) -> Header {
        let names = (1..=columns).map(|number| format!("column_{number}")).collect();
        Header { names, unnamed_from: columns, renamed: Vec::new() }
    }

    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }
}

fn is_unnamed(cell: &str) -> bool {
    cell.trim().is_empty()
}

/// The first of `name_2`, `name_3`, ... that is free; `is_taken` is asked in lower case.
fn numbered(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut number = 2;
    loop {
        let candidate = format!("{name}_{number}");
        if !is_taken(&candidate.to_lowercase()) {
            return candidate;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_its_own_stable_name() {
        let table: [(&[&str], &[&str], usize); 7] = [
            (&["a", "b"], &["a", "b"], 2),
            (&["a", "a", "A"], &["a", "a_2", "A_3"], 3),
            (&["a", "a", "a_2"], &["a", "a_3", "a_2"], 3),
            (&["a", "", "c"], &["a", "column_2", "c"], 3),
            (&["a", "b", "", " "], &["a", "b", "column_3", "column_4"], 2),
            (&["", "column_1"], &["column_1_2", "column_1"], 2),
            (&["", ""], &["column_1", "column_2"], 2),
        ];
        for (cells, names, unnamed_from) in table {
            let header = Header::from_cells(cells.iter().copied());
            assert_eq!(header.names, names, "{cells:?}");
            assert_eq!(header.unnamed_from, unnamed_from, "{cells:?}");
        }
    }
}
