//! Which folder is the project.

use crate::error::{Error, Result};
use crate::model::DBT_FILE;
use std::path::{Path, PathBuf};

/// `named` (from `--project`), else the nearest folder from `start` upwards that has a `lake.toml`, a
/// `dbt_project.yml` or `models/`, else `start`. Fails when `named` is no folder.
pub fn project_root(named: Option<&Path>, start: &Path) -> Result<PathBuf> {
    if let Some(named) = named {
        let named = start.join(named);
        return match named.is_dir() {
            true => Ok(named),
            false => Err(Error::config(format!("the project folder `{}` does not exist", named.display()))
                .hint(format!("make a project there with: lake init {}", named.display()))),
        };
    }
    let has = |folder: &Path, file: &str| folder.join(file).is_file();
    let is_project =
        |folder: &&Path| has(folder, super::FILE) || has(folder, DBT_FILE) || folder.join("models").is_dir();
    Ok(start.ancestors().find(is_project).unwrap_or(start).to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_marked_folder_wins() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path();
        let (inner, deep) = (root.join("outer/inner"), root.join("outer/inner/a/b"));
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(project_root(None, &deep).unwrap(), deep);
        std::fs::create_dir(root.join("outer/models")).unwrap();
        assert_eq!(project_root(None, &deep).unwrap(), root.join("outer"));
        std::fs::write(inner.join("lake.toml"), "").unwrap();
        assert_eq!(project_root(None, &deep).unwrap(), inner);
        assert_eq!(project_root(Some(Path::new("outer")), root).unwrap(), root.join("outer"));
        assert!(project_root(Some(Path::new("nowhere")), root).is_err());
    }
}
