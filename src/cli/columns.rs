//! Text in columns that line up.

pub use crate::flow::count::grouped;

/// `head` above `rows`, two spaces between columns, columns of numbers to the right. Ends in a line end.
pub fn columns(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = (0..head.len())
        .map(|i| rows.iter().filter_map(|row| row.get(i)).map(|cell| width(cell)).fold(width(head[i]), usize::max))
        .collect();
    let numeric: Vec<bool> =
        (0..head.len()).map(|i| rows.iter().filter_map(|row| row.get(i)).all(|c| is_number(c))).collect();
    let mut text = String::new();
    let head: Vec<String> = head.iter().map(ToString::to_string).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate().take(widths.len()) {
            let padding = " ".repeat(widths[i] - width(cell));
            let (before, after) = if numeric[i] { (padding.as_str(), "") } else { ("", padding.as_str()) };
            line.push_str(&format!("{before}{cell}{after}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn is_number(cell: &str) -> bool {
    !cell.is_empty() && cell.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["книга".to_string(), "12".into()], vec!["a".into(), "1,234".into()]];
        assert_eq!(columns(&["name", "rows"], &rows), "name    rows\nкнига     12\na      1,234\n");
    }
}
