//! The measured program: the release binary of `lake` in a project whose Gold layer is the TPC-H star.

use crate::measure::{self, Finished};
use crate::tpch;
use std::path::{Path, PathBuf};
use std::process::Command;

pub const FACT: &str = "fact_order_line";
const MODELS: [(&str, &str); 5] = [
    (
        "dim_customer",
        "select c_custkey as customer_key, c_name as name, c_address as address, c_phone as phone,
  c_acctbal as account_balance, c_mktsegment as market_segment, n_name as nation, r_name as region
from bronze.customer
join bronze.nation on n_nationkey = c_nationkey
join bronze.region on r_regionkey = n_regionkey\n",
    ),
    (
        "dim_part",
        "select p_partkey as part_key, p_name as name, p_mfgr as manufacturer, p_brand as brand, p_type as type,
  p_size as size, p_container as container, p_retailprice as retail_price
from bronze.part\n",
    ),
    (
        "dim_supplier",
        "select s_suppkey as supplier_key, s_name as name, s_address as address, s_phone as phone,
  s_acctbal as account_balance, n_name as nation, r_name as region
from bronze.supplier
join bronze.nation on n_nationkey = s_nationkey
join bronze.region on r_regionkey = n_regionkey\n",
    ),
    (
        "dim_date",
        "select distinct
  cast(extract(year from o_orderdate) * 10000 + extract(month from o_orderdate) * 100 + extract(day from o_orderdate) as int) as date_key,
  o_orderdate as date, cast(extract(year from o_orderdate) as int) as year,
  cast(extract(quarter from o_orderdate) as int) as quarter, cast(extract(month from o_orderdate) as int) as month,
  cast(extract(day from o_orderdate) as int) as day
from bronze.orders\n",
    ),
    (
        FACT,
        "select l_orderkey as order_key, l_linenumber as line_number, o_custkey as customer_key, l_partkey as part_key,
  l_suppkey as supplier_key,
  cast(extract(year from o_orderdate) * 10000 + extract(month from o_orderdate) * 100 + extract(day from o_orderdate) as int) as order_date_key,
  l_quantity as quantity, l_extendedprice as extended_price, l_discount as discount, l_tax as tax,
  cast(l_extendedprice * (1 - l_discount) as decimal(18,4)) as revenue,
  l_shipdate as ship_date, l_commitdate as commit_date, l_receiptdate as receipt_date
from bronze.lineitem
join bronze.orders on o_orderkey = l_orderkey\n",
    ),
];

pub const TESTS: &str = "version: 2
models:
  - name: dim_customer
    columns: [{name: customer_key, data_tests: [not_null, unique]}]
  - name: dim_part
    columns: [{name: part_key, data_tests: [not_null, unique]}]
  - name: dim_supplier
    columns: [{name: supplier_key, data_tests: [not_null, unique]}]
  - name: dim_date
    columns: [{name: date_key, data_tests: [not_null, unique]}]
  - name: fact_order_line
    columns:
      - {name: order_key, data_tests: [not_null]}
      - {name: line_number, data_tests: [not_null]}
      - name: customer_key
        data_tests: [not_null, {relationships: {to: ref('dim_customer'), field: customer_key}}]
      - name: part_key
        data_tests: [not_null, {relationships: {to: ref('dim_part'), field: part_key}}]
      - name: supplier_key
        data_tests: [not_null, {relationships: {to: ref('dim_supplier'), field: supplier_key}}]
      - name: order_date_key
        data_tests: [not_null, {relationships: {to: ref('dim_date'), field: date_key}}]
";

/// Rows, revenue and quantity of the fact at scale 1, found by three other engines.
const SUMS: &str = "6001215,218102223885.0001,153078795.00";

/// A project with a filled Bronze layer.
pub struct Star {
    folder: tempfile::TempDir,
    pub scale: f64,
    pub lines: u64,
}

impl Star {
    pub fn new(scale: f64) -> Star {
        let folder = project();
        let lines = tpch::fill(&folder.path().join("lake"), scale);
        declare_sources(folder.path());
        for (name, statement) in MODELS {
            std::fs::write(folder.path().join(format!("models/gold/{name}.sql")), statement).unwrap();
        }
        Star { folder, scale, lines }
    }

    /// Of the project.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn bronze(&self) -> PathBuf {
        self.folder().join("lake/bronze")
    }

    pub fn models(&self) -> PathBuf {
        self.folder().join("models/gold")
    }

    /// All of Gold, from nothing.
    pub fn full(&self) -> Finished {
        self.make("")
    }

    pub fn full_tested(&self) -> Finished {
        self.make(TESTS)
    }

    /// What stands is new enough.
    pub fn again(&self) -> Finished {
        let finished = lake(self.folder.path(), &["promote", "gold", "--output", "json"]);
        assert!(!finished.stdout.contains("\"built\""), "{}", finished.stdout);
        finished
    }

    pub fn tests(&self) -> Finished {
        lake(self.folder.path(), &["test"])
    }

    fn make(&self, tests: &str) -> Finished {
        for made in ["lake/gold", "lake/_lake"] {
            let made = self.folder.path().join(made);
            if made.exists() {
                std::fs::remove_dir_all(made).unwrap();
            }
        }
        std::fs::write(self.models().join("schema.yml"), tests).unwrap();
        let finished = lake(self.folder.path(), &["promote", "gold"]);
        let sql = "select count(*), sum(revenue), sum(quantity) from gold.fact_order_line";
        self.check(&answer(self.folder.path(), sql), "lake");
        finished
    }

    /// Panics unless these are the fact's rows, revenue and quantity.
    pub fn check(&self, sums: &str, of: &str) {
        match self.scale {
            1.0 => assert_eq!(sums, SUMS, "{of}"),
            _ => assert_eq!(sums.split(',').next(), Some(self.lines.to_string().as_str()), "{of}"),
        }
    }
}

/// Five models of one row each, from nothing: what a run costs whatever it does.
pub fn trivial() -> Finished {
    let folder = project();
    for number in 1..=5 {
        let statement = format!("select {number} as id, 'model {number}' as name\n");
        std::fs::write(folder.path().join(format!("models/gold/dim_{number}.sql")), statement).unwrap();
    }
    lake(folder.path(), &["promote", "gold"])
}

/// The statement of one of the star's models.
pub fn statement(model: &str) -> &'static str {
    MODELS.iter().find(|(name, _)| *name == model).unwrap().1
}

pub fn declare_sources(project: &Path) {
    let tables = tpch::TABLES.map(|table| format!("      - name: {table}\n")).concat();
    let sources = format!("version: 2\nsources:\n  - name: bronze\n    tables:\n{tables}");
    std::fs::write(project.join("models/sources.yml"), sources).unwrap();
}

pub fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    std::fs::create_dir_all(folder.path().join("models/gold")).unwrap();
    std::fs::write(folder.path().join("lake.toml"), "[lake]\nroot = \"lake\"\n").unwrap();
    folder
}

/// The one row of a query.
pub fn answer(project: &Path, sql: &str) -> String {
    lake(project, &["query", "--output", "csv", sql]).stdout.lines().last().unwrap().to_string()
}

/// Runs the program in a project.
pub fn lake(project: &Path, arguments: &[&str]) -> Finished {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lake"));
    command.args(arguments).current_dir(project);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LAKE") && !name.starts_with("LAKE__")) {
        command.env_remove(name);
    }
    measure::run(&mut command)
}
