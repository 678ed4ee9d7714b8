//! A star of two tables whose every row changes from round to round, so that half a load cannot be taken for a whole.

use super::postgres::Server;
use super::{Output, Project};

const SALES: u64 = 20_000;

/// The star in a lake and in a warehouse; the models make their rows themselves.
pub struct Star {
    pub project: Project,
    pub server: Server,
    /// Published last.
    pub round: u64,
    /// Loaded last, as far as is known.
    pub loaded: u64,
}

impl Star {
    /// Round 1, loaded.
    pub fn new(server: Server) -> Star {
        let mut project = Project::empty();
        project.env("LAKE__WAREHOUSE__URL", &server.url());
        project.write("lake.toml", "");
        project.write(
            "models/gold/schema.yml",
            "version: 2\nmodels:\n  - name: dim_item\n    columns:\n      - {name: id, data_tests: [not_null, unique]}\n  \
             - name: fact_sale\n    columns:\n      - {name: sale, data_tests: [not_null, unique]}\n      \
             - name: item\n        data_tests:\n          - relationships: {to: ref('dim_item'), field: id}\n",
        );
        let mut star = Star { project, server, round: 0, loaded: 0 };
        star.publish();
        star.finish("the first load");
        star
    }

    /// Makes and publishes the next round's rows.
    pub fn publish(&mut self) {
        self.round += 1;
        let round = self.round;
        let numbers = |to: u64| format!("(select unnest(range(1, {})) as n)", to + 1);
        let items = format!("select n as id, concat('item ', n, ' of round {round}') as name from {}", numbers(200));
        let sales =
            format!("select n as sale, n % 200 + 1 as item, n * {round} as amount from {}", numbers(SALES + round));
        self.project.write("models/gold/dim_item.sql", items + "\n");
        self.project.write("models/gold/fact_sale.sql", sales + "\n");
        self.project.lake(&["promote", "all"]).ok();
    }

    pub fn load(&self) -> Output {
        self.project.lake(&["load-warehouse"])
    }

    /// Panics unless the warehouse holds the star of one round, all of it; answers which.
    pub fn stands(&self, what: &str) -> u64 {
        let star = self.server.ask(
            "select concat_ws('/', count(*), sum(f.amount), count(distinct d.name), min(d.name), \
             (select string_agg(distinct rows::text, '+' order by rows::text) from lake.ledger)) \
             from gold.fact_sale f join gold.dim_item d on d.id = f.item",
        );
        let whole = |round: u64| {
            let rows = SALES + round;
            format!("{rows}/{}/200/item 1 of round {round}/200+{rows}", round * (rows * (rows + 1) / 2))
        };
        let found = [self.loaded, self.round].into_iter().find(|round| whole(*round) == star);
        found.unwrap_or_else(|| panic!("after {what} the star is `{star}`, of round {} or {}", self.loaded, self.round))
    }

    /// A load that nothing disturbs.
    pub fn finish(&mut self, what: &str) {
        let done = self.load();
        assert_eq!(done.code, 0, "after {what}:\n{}", done.stderr);
        assert_eq!(self.stands(what), self.round, "after {what}");
        self.loaded = self.round;
    }
}
