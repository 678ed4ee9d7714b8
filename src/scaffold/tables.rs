//! Which files make which table, what it is called, and where its files will lie.

use super::columns::{self, Column, Named, free_name};
use crate::error::{Error, Result};
use crate::ident::{self, MOST_POSTGRES_COLUMNS};
use crate::source::{self, Format, Input, Preview, SourceConfig};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Files up to this many bytes a table are copied into the project, larger ones stay where they are.
const COPY_LIMIT: u64 = 256 * 1024 * 1024;

/// A test of each column of a wider table would take longer than all else.
const TESTED_COLUMNS: usize = 200;

/// A table to be.
#[derive(Debug)]
pub(super) struct Table {
    pub name: String,
    pub preview: Preview,
    pub columns: Vec<Column>,
    /// How the data was named by the user.
    pub origin: String,
    /// `files` of its entry in lake.toml.
    pub files: Vec<String>,
    /// From where to where, the target relative to the project with `/`.
    pub copies: Vec<(PathBuf, String)>,
    /// What is to be said about column names.
    pub naming: Vec<String>,
}

impl Table {
    /// What the user should know about the data.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let (preview, name) = (&self.preview, &self.name);
        if let Some(fault) = &preview.first_fault {
            let rows = preview.rows + preview.bad_rows;
            notes.push(format!("`{name}`: {} of {rows} rows will be set aside, the first: {fault}", preview.bad_rows));
        }
        let encoding = preview.config.encoding.as_deref().unwrap_or("utf-8");
        if !encoding.starts_with("utf-") {
            notes.push(format!(
                "`{name}`: the encoding looks like {encoding}; lake.toml says so, correct it if it is not"
            ));
        }
        if !preview.complete {
            notes.push(format!("`{name}`: types were taken from the first {} rows", preview.rows + preview.bad_rows));
        }
        if let Some(lines @ 1..) = preview.config.skip_lines {
            notes.push(format!("`{name}`: {lines} lines before the header are passed over, `skip_lines` in lake.toml"));
        }
        for (header, column) in &preview.renamed {
            notes.push(format!("`{name}`: another column `{header}` is called `{column}`, as names are told apart"));
        }
        notes.extend(self.naming.iter().map(|note| format!("`{name}`: {note}")));
        if !preview.left_out.is_empty() {
            let left_out = preview.left_out.join(", ");
            notes.push(format!("`{name}`: left out, without a name or a value: {left_out}"));
        }
        if self.columns.len() > MOST_POSTGRES_COLUMNS {
            notes.push(format!(
                "`{name}`: {} columns are more than the {MOST_POSTGRES_COLUMNS} of a PostgreSQL table; `lake load-warehouse` \
                 refuses gold.{name} until its model selects fewer",
                self.columns.len()
            ));
        }
        if !self.is_tested() {
            notes.push(format!(
                "`{name}`: `not_null` tests are left out, as there are more than {TESTED_COLUMNS} columns"
            ));
        }
        if self.copies.is_empty() && self.files.iter().any(|file| Path::new(file).is_absolute()) {
            notes.push(format!("`{name}`: the data is large and stays at {}", self.files.join(", ")));
        }
        notes
    }
}

/// Looks at all data; writes nothing.
pub(super) fn plan(dir: &Path, from: &[PathBuf], name: Option<&str>) -> Result<Vec<Table>> {
    let groups = grouped(from)?;
    if let (Some(name), true) = (name, groups.len() > 1) {
        return Err(Error::config(format!("`{name}` cannot name {} tables", groups.len()))
            .hint("leave the name out, or give one file, folder or glob"));
    }
    let (mut taken, mut targets) = (HashSet::new(), HashSet::new());
    let mut tables = Vec::new();
    for (index, group) in groups.into_iter().enumerate() {
        let wanted = match name {
            Some(name) => ident::TableName::new(ident::Layer::Gold, name)?.name().to_string(),
            None => group.name.clone().unwrap_or_else(|| format!("table_{}", index + 1)),
        };
        let name = free_name(&wanted, &mut taken);
        tables.push(table(dir, group, name, &mut targets)?);
    }
    Ok(tables)
}

/// Files that become one table.
struct Group {
    name: Option<String>,
    origin: String,
    /// The folder or glob, when they were given as one.
    pattern: Option<PathBuf>,
    inputs: Vec<Input>,
    preview: Preview,
}

fn grouped(from: &[PathBuf]) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    let mut left: Vec<&PathBuf> = from.iter().collect();
    while let Some(path) = left.first().copied() {
        let alike: Vec<PathBuf> =
            left.iter().filter(|other| are_alike(path, other)).map(|path| path.to_path_buf()).collect();
        let together = if alike.len() > 1 { group(&alike).ok() } else { None };
        match together {
            Some(group) => {
                left.retain(|path| !alike.contains(path));
                groups.push(group);
            }
            None => {
                left.retain(|other| *other != path);
                groups.push(group(std::slice::from_ref(path))?);
            }
        }
    }
    Ok(groups)
}

/// Files of one folder whose names differ in their digits only: what a shell makes of a glob.
fn are_alike(one: &Path, other: &Path) -> bool {
    let is_file = one.is_file() && other.is_file();
    is_file && one.parent() == other.parent() && one.extension() == other.extension() && letters(one) == letters(other)
}

/// The file's stem without digits and wildcards.
fn letters(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.chars().map(|c| if c.is_ascii_digit() || matches!(c, '*' | '?') { ' ' } else { c }).collect::<String>()
}

/// Looks at the files of one table. Fails when their headers differ.
fn group(paths: &[PathBuf]) -> Result<Group> {
    let files = paths.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let here = Path::new(".");
    // Whether there is a header is guessed by the survey; until then only the number of columns is compared.
    let config = SourceConfig { files, header: Some(false), ..SourceConfig::default() };
    let inputs = source::inputs(&config, here)?;
    let preview = source::survey(&inputs, &SourceConfig { header: None, ..config })?;
    let inputs = source::inputs(&preview.config, here)?;
    let first = &paths[0];
    let pattern = (paths.len() == 1 && !first.is_file()).then(|| first.clone());
    let is_plain = pattern.is_none() && inputs.len() == 1;
    let name = match is_plain || first.is_dir() {
        true => stem_of(first),
        false => ident::name_from(&letters(first)).or_else(|| first.parent().and_then(stem_of)),
    };
    let origin = match (&pattern, first.file_name()) {
        (Some(pattern), _) => pattern.display().to_string(),
        (None, Some(name)) if is_plain => name.to_string_lossy().into_owned(),
        _ => format!("{} files", inputs.len()),
    };
    Ok(Group { name, origin, pattern, inputs, preview })
}

fn stem_of(path: &Path) -> Option<String> {
    let path = std::path::absolute(path).ok()?;
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    ident::name_from(&name?.to_string_lossy())
}

fn table(dir: &Path, group: Group, name: String, targets: &mut HashSet<String>) -> Result<Table> {
    let preview = &group.preview;
    if preview.columns.is_empty() {
        return Err(Error::input(format!("`{}` has no columns to make a table of", group.origin))
            .hint("an empty file has not even a header; give one with data"));
    }
    if let (0, Some(fault)) = (preview.rows, &preview.first_fault) {
        let message =
            format!("none of the {} rows of `{}` can be read, the first: {fault}", preview.bad_rows, group.origin);
        return Err(Error::input(message).hint("mend the file; every row needs as many cells as the first"));
    }
    let Named { columns, notes: naming } = columns::named(&preview.columns);
    let (files, copies) = placed(dir, &group, &name, targets)?;
    Ok(Table { name, preview: group.preview, columns, origin: group.origin, files, copies, naming })
}

/// `files` of lake.toml, and what is to be copied where.
type Placed = (Vec<String>, Vec<(PathBuf, String)>);

/// The files stay where they are inside the project or when they are large, else they are copied.
fn placed(dir: &Path, group: &Group, name: &str, targets: &mut HashSet<String>) -> Result<Placed> {
    let inputs = &group.inputs;
    let files = inputs.iter().map(|input| input.path.to_string_lossy().into_owned()).collect();
    let in_project = source::inputs(&SourceConfig { files, ..group.preview.config.clone() }, dir)?;
    let ids: Vec<String> = in_project.into_iter().map(|input| input.id).collect();
    if ids.iter().all(|id| Path::new(id).is_relative()) {
        return Ok((pattern_in(dir, group).map_or(ids, |pattern| vec![pattern]), Vec::new()));
    }
    let size: u64 = inputs.iter().filter_map(|input| input.path.metadata().ok()).map(|data| data.len()).sum();
    if size > COPY_LIMIT {
        return Ok((ids, Vec::new()));
    }
    if let [input] = inputs.as_slice() {
        let file_name = input.path.file_name().unwrap_or_default().to_string_lossy();
        let mut target = format!("data/{file_name}");
        if !targets.insert(target.clone()) {
            target = format!("data/{name}/{file_name}");
        }
        return Ok((vec![target.clone()], vec![(input.path.clone(), target)]));
    }
    Ok(several(inputs, name))
}

/// The folder or glob as seen from the project.
fn pattern_in(dir: &Path, group: &Group) -> Option<String> {
    let pattern = std::path::absolute(group.pattern.as_ref()?).ok()?;
    let pattern = pattern.strip_prefix(std::path::absolute(dir).ok()?).ok()?.to_string_lossy().into_owned();
    (!pattern.is_empty()).then_some(pattern)
}

fn several(inputs: &[Input], name: &str) -> Placed {
    let mut taken = HashSet::new();
    let copies: Vec<(PathBuf, String)> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let file_name = input.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_free = taken.insert(file_name.clone());
            let file_name = if is_free { file_name } else { format!("{}_{file_name}", index + 1) };
            (input.path.clone(), format!("data/{name}/{file_name}"))
        })
        .collect();
    let extension = inputs[0].path.extension();
    let is_uniform = inputs.iter().all(|input| input.path.extension() == extension);
    let pattern = match extension {
        Some(extension) if is_uniform => format!("data/{name}/*.{}", extension.to_string_lossy()),
        _ => format!("data/{name}/*"),
    };
    (vec![pattern], copies)
}

impl Table {
    /// Whether its columns get a `not_null` test where they may.
    pub fn is_tested(&self) -> bool {
        self.columns.len() <= TESTED_COLUMNS
    }

    pub fn is_csv(&self) -> bool {
        self.preview.format == Format::Csv
    }
}
