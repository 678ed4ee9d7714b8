//! `lake init`

use super::columns::grouped;
use super::output::Answer;
use crate::error::Result;
use crate::scaffold::{self, Created, CreatedTable};
use std::path::{Path, PathBuf};

/// Columns printed per table.
const SHOWN_COLUMNS: usize = 20;

/// Make a new project; with --from, one that runs at once on those files
#[derive(clap::Args)]
pub struct Args {
    /// Folder to make it in
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// CSV or JSON-lines files, folders or globs; several with one header become one table
    #[arg(long, value_name = "FILE", num_args = 1..)]
    from: Vec<PathBuf>,
    /// Name of the table [default: that of the file]
    #[arg(long, requires = "from")]
    name: Option<String>,
}

pub fn run(args: Args) -> Result<Answer> {
    let created = scaffold::init(&args.dir, &args.from, args.name.as_deref())?;
    Answer::new(text(&created), &created)
}

fn text(created: &Created) -> String {
    let mut text = String::new();
    for file in &created.files {
        text.push_str(&format!("wrote {}\n", created.dir.join(file).display()));
    }
    for table in &created.tables {
        text.push_str(&described(table));
    }
    for note in &created.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    let enter = match created.dir == Path::new(".") {
        true => String::new(),
        false => format!("cd {} && ", created.dir.display()),
    };
    format!("{text}\nnext: {enter}lake run --once\n")
}

/// A line for the table and one for each column: its type, and why it stayed text.
fn described(table: &CreatedTable) -> String {
    let bad = if table.bad_rows > 0 { format!(", {} bad", grouped(table.bad_rows)) } else { String::new() };
    let mut text =
        format!("table {}: {} columns, {} rows{bad}\n", table.name, table.columns.len(), grouped(table.rows));
    let shown = &table.columns[..table.columns.len().min(SHOWN_COLUMNS)];
    let width = shown.iter().map(|column| column.name.len()).max().unwrap_or_default();
    for column in shown {
        let remark = column.remark.as_ref().map_or(String::new(), |remark| format!("   {remark}"));
        text.push_str(&format!("  {:width$}  {}{remark}\n", column.name, column.data_type));
    }
    if table.columns.len() > shown.len() {
        text.push_str(&format!("  and {} more\n", table.columns.len() - shown.len()));
    }
    text
}
