//! The fact alone, kept up to date: built once as a whole, then a hundredth more, or a hundredth of it otherwise.
//!
//! Its Bronze tables are the star's own files under other names, and get commits of their own.

use crate::measure::Finished;
use crate::more;
use crate::star::{self, FACT, Star};
use std::path::{Path, PathBuf};

/// New lines alone are what is new.
const APPEND: &str = "{{ config(materialized='append', driven_by='lineitem') }}\n";
/// Of the lines with one key the newest counts: quantities only rise here.
const MERGE: &str = "{{ config(materialized='incremental', driven_by='lineitem',
  unique_key=['order_key', 'line_number']) }}\n";
const NEWEST: &str = "qualify row_number() over (partition by l_orderkey, l_linenumber order by l_quantity desc) = 1\n";

pub struct Later {
    folder: tempfile::TempDir,
    scale: f64,
    lines: u64,
    rounds: usize,
}

impl Later {
    /// To which orders are added.
    pub fn growing(star: &Star) -> Later {
        Later::new(star, format!("{APPEND}{}", star::statement(FACT)))
    }

    /// Of which lines change.
    pub fn changing(star: &Star) -> Later {
        Later::new(star, format!("{MERGE}{}{NEWEST}", star::statement(FACT)))
    }

    fn new(star: &Star, fact: String) -> Later {
        let folder = star::project();
        link(&star.bronze(), &folder.path().join("lake/bronze"));
        star::declare_sources(folder.path());
        std::fs::write(folder.path().join(format!("models/gold/{FACT}.sql")), fact).unwrap();
        star::lake(folder.path(), &["promote", "gold"]);
        Later { folder, scale: star.scale, lines: star.lines, rounds: 0 }
    }

    /// The folder of the fact's table.
    pub fn fact(&self) -> PathBuf {
        self.root().join("gold").join(FACT)
    }

    pub fn new_orders(&mut self) -> Finished {
        self.rounds += 1;
        self.lines += more::new_orders(&self.root(), self.scale, self.rounds);
        let finished = self.promote();
        let counted = star::answer(self.folder.path(), &format!("select count(*) from gold.{FACT}"));
        assert_eq!(counted, self.lines.to_string());
        finished
    }

    pub fn changed_lines(&mut self) -> Finished {
        self.rounds += 1;
        let changed = more::changed_lines(&self.root(), self.scale, self.rounds);
        let finished = self.promote();
        let sql = format!("select count(*), count(*) filter (where quantity > 100) / {} from gold.{FACT}", self.rounds);
        let counted = star::answer(self.folder.path(), &sql);
        let (all, raised) = counted.split_once(',').unwrap();
        assert_eq!(all, self.lines.to_string());
        // No line is chosen twice; of some rounds there is one more.
        assert!(raised.parse::<u64>().unwrap().abs_diff(changed) * 50 < changed, "{raised} of {changed}");
        finished
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    fn promote(&self) -> Finished {
        let finished = star::lake(self.folder.path(), &["promote", "gold", "--output", "json"]);
        assert!(!finished.stdout.contains("built whole"), "{}", finished.stdout);
        finished
    }
}

/// The same files under other names: what is committed there stays there.
fn link(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.unwrap().path(), to.to_path_buf());
        let to = to.join(entry.file_name().unwrap());
        match entry.is_dir() {
            true => link(&entry, &to),
            false => std::fs::hard_link(&entry, &to).unwrap(),
        }
    }
}
