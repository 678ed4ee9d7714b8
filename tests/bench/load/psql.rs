//! The limit: `psql \\copy` in binary, from files that hold the rows as Postgres itself writes them.

use crate::measure::{self, Finished};
use crate::server::Server;
use std::path::{Path, PathBuf};
use std::process::Command;

const TABLES: [&str; 5] = ["dim_customer", "dim_part", "dim_supplier", "dim_date", "fact_order_line"];
/// What the contract of the benchmark makes of the tables.
const KEYS: &str = "alter table dim_customer add primary key (customer_key);
alter table dim_part add primary key (part_key);
alter table dim_supplier add primary key (supplier_key);
alter table dim_date add primary key (date_key);
alter table fact_order_line add primary key (order_key, line_number);
create index on fact_order_line (customer_key);
create index on fact_order_line (part_key);
create index on fact_order_line (supplier_key);
create index on fact_order_line (order_date_key);
alter table fact_order_line add foreign key (customer_key) references dim_customer,
    add foreign key (part_key) references dim_part, add foreign key (supplier_key) references dim_supplier,
    add foreign key (order_date_key) references dim_date;
";
const SUMS: &str = "count(*), sum(revenue), sum(quantity), sum(extended_price), sum(tax), sum(order_key), \
     sum(ship_date - date '1990-01-01')";

pub fn psql(server: &Server) -> Command {
    let mut command = Command::new("psql");
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", &server.url()]).env("PGOPTIONS", "-c client_min_messages=error");
    command
}

/// Panics unless two schemas hold the same fact.
pub fn check(server: &Server, schema: &str, other: &str) {
    let sums = |schema: &str| server.sql(&format!("select {SUMS} from {schema}.fact_order_line"));
    assert_eq!(sums(schema), sums(other), "{schema}");
}

/// Files of rows, and the statements that make their tables.
pub struct Ready {
    folder: PathBuf,
    tables: String,
}

impl Ready {
    /// The rows of the tables of a schema.
    pub fn write(server: &Server, schema: &str, folder: &Path) -> Ready {
        let definition = |table: &str| {
            let columns = server.sql(&format!(
                "select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum) \
                 from pg_attribute where attrelid = '{schema}.{table}'::regclass and attnum > 0 and not attisdropped"
            ));
            format!("create table {table} ({});\n", columns.trim())
        };
        let tables = TABLES.map(definition).concat();
        for table in TABLES {
            let file = folder.join(table);
            let copy = format!("\\copy {schema}.{table} to '{}' with (format binary)", file.display());
            measure::run(psql(server).args(["-c", &copy]));
        }
        Ready { folder: folder.to_path_buf(), tables }
    }

    /// All tables in one transaction, as a load makes them.
    pub fn copy(&self, server: &Server, schema: &str, keyed: bool) -> Finished {
        let copies = TABLES.map(|table| {
            let file = self.folder.join(table);
            format!("\\copy {table} from '{}' with (format binary)\nanalyze {table};\n", file.display())
        });
        let keys = if keyed { KEYS } else { "" };
        let script = format!(
            "begin; create schema {schema}; set search_path to {schema};\n{}{}{keys}commit;\n",
            self.tables,
            copies.concat()
        );
        let file = self.folder.join("script.sql");
        std::fs::write(&file, script).unwrap();
        measure::run(psql(server).arg("-f").arg(file))
    }
}
