//! A new project: what `lake init` writes.
//!
//! Looks at the data first, writes afterwards, and never over an existing file. What it writes runs as it
//! is, from the files to Gold, and belongs to the user from then on: the layout and types guessed are all
//! spelled out in `lake.toml`, `models/` and their comments. It starts nothing and sends nothing.
//!
//! `tables` decides which files make which table, `columns` the names and casts, `render` the texts.

mod columns;
mod render;
mod tables;

use crate::error::{Context, Error, Kind, Result};
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use tables::Table;

const EXAMPLE: &str = include_str!("example.csv");

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct Created {
    pub dir: PathBuf,
    /// Relative to `dir`, in the order written.
    pub files: Vec<PathBuf>,
    pub tables: Vec<CreatedTable>,
    /// What the user should know: rows that will be set aside, guesses, files left where they are.
    pub notes: Vec<String>,
}

/// A stream and its `silver` and `gold` tables, all of the same name.
#[derive(Debug, Clone, Serialize)]
pub struct CreatedTable {
    pub name: String,
    pub columns: Vec<CreatedColumn>,
    /// Good rows seen in the files.
    pub rows: u64,
    pub bad_rows: u64,
}

/// A column of the `silver` and `gold` table.
#[derive(Debug, Clone, Serialize)]
pub struct CreatedColumn {
    pub name: String,
    /// As a contract writes it.
    pub data_type: String,
    /// Why it is text, and which expressions would make more of it.
    pub remark: Option<String>,
}

/// Writes a project into `dir`, which is made if need be. Each of `from` (a file, a folder or a glob,
/// relative to the working directory) becomes a table; files named alike but for digits and with one header
/// become one together. Without any, a small example is written. `name` names the table, if it is one.
pub fn init(dir: &Path, from: &[PathBuf], name: Option<&str>) -> Result<Created> {
    refuse_existing(dir)?;
    let example = if from.is_empty() { Some(Example::unpack()?) } else { None };
    let from = example.as_ref().map_or(from, |example| std::slice::from_ref(&example.path));
    let tables = tables::plan(dir, from, name)?;
    let texts = render::project(&tables);
    for target in targets(&texts, &tables) {
        if dir.join(&target).exists() && target != render::GITIGNORE {
            return Err(Error::config(format!("`{}` exists already", dir.join(target).display()))
                .hint("give another folder, or move it away; nothing was written"));
        }
    }
    let mut created = Created { dir: dir.to_path_buf(), files: Vec::new(), tables: Vec::new(), notes: Vec::new() };
    for table in &tables {
        copy_data(dir, table, &mut created)?;
        created.tables.push(summary(table));
        created.notes.extend(table.notes());
    }
    for (path, text) in &texts {
        if path == render::GITIGNORE && dir.join(path).exists() {
            created.notes.push("`.gitignore` was left as it is; it should name .lake/ and target/".to_string());
            continue;
        }
        write_new(&dir.join(path), text)?;
        created.files.push(path.into());
    }
    Ok(created)
}

fn refuse_existing(dir: &Path) -> Result<()> {
    if dir.is_file() {
        return Err(Error::config(format!("`{}` is a file", dir.display())).hint("name a new folder"));
    }
    for sign in ["lake.toml", "models"] {
        if dir.join(sign).exists() {
            return Err(Error::config(format!("`{}` holds a project already, it has `{sign}`", dir.display()))
                .hint(format!("give another folder, for example lake init {}; nothing was written", free_folder())));
        }
    }
    Ok(())
}

/// The first of `shop`, `shop_2`, ... that is not there.
fn free_folder() -> String {
    let numbered = (2_u32..).map(|number| format!("shop_{number}"));
    std::iter::once("shop".to_string()).chain(numbered).find(|name| !Path::new(name).exists()).unwrap_or_default()
}

/// Everything the project will have, relative to it: the files, and the folders of tables of several files,
/// as a file already there would become part of the table.
fn targets(texts: &[(String, String)], tables: &[Table]) -> Vec<String> {
    let copies = tables.iter().flat_map(|table| table.copies.iter().map(|(_, target)| target.clone()));
    let folders = tables.iter().filter(|table| table.copies.len() > 1).map(|table| format!("data/{}", table.name));
    texts.iter().map(|(path, _)| path.clone()).chain(folders).chain(copies).collect()
}

fn copy_data(dir: &Path, table: &Table, created: &mut Created) -> Result<()> {
    for (source, target) in &table.copies {
        let path = dir.join(target);
        make_parent(&path)?;
        std::fs::copy(source, &path)
            .context(Kind::Unavailable, || format!("copy `{}` to `{}`", source.display(), path.display()))?;
        created.files.push(target.into());
    }
    Ok(())
}

fn summary(table: &Table) -> CreatedTable {
    CreatedTable {
        name: table.name.clone(),
        columns: table.columns.iter().map(created).collect(),
        rows: table.preview.rows,
        bad_rows: table.preview.bad_rows,
    }
}

fn created(column: &columns::Column) -> CreatedColumn {
    let (name, data_type) = (column.name.clone(), column.source.kind.sql_type());
    CreatedColumn { name, data_type, remark: column.remark() }
}

fn make_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(parent).context(Kind::Unavailable, || format!("make folder `{}`", parent.display()))
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    make_parent(path)?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .context(Kind::Unavailable, || format!("write `{}`", path.display()))
}

/// The example's data in a folder of its own, removed in the end.
struct Example {
    folder: PathBuf,
    path: PathBuf,
}

impl Example {
    fn unpack() -> Result<Example> {
        let folder = std::env::temp_dir().join(format!("lake-example-{}", uuid::Uuid::new_v4()));
        let path = folder.join("example.csv");
        write_new(&path, EXAMPLE)?;
        Ok(Example { folder, path })
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Left over in the temporary folder at worst; nobody could act on the failure.
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

#[cfg(test)]
mod tests;
