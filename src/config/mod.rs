//! Settings: defaults < `lake.toml` < `LAKE__SECTION__KEY` < flags, read once into [`Config`].
//!
//! Owns the spelling of every setting and whether a combination makes sense; never connects to anything and
//! never reads the process environment itself (the caller hands it in, so that tests can). Asking for a key
//! in [`Config::load`] is what declares it: a setting nobody asked for is an unknown key. To add one, add
//! the field and the line that asks for it. All faults are reported together, each with its place.

mod fields;
mod layers;
mod produce;
mod project;
mod secret;
mod setting;
mod settings;
mod units;

pub use layers::Flag;
pub use project::project_root;
pub use secret::Secret;
pub use units::duration;

use crate::engine::EngineConfig;
use crate::error::Result;
use crate::flow;
use crate::flow::bronze::Share;
use crate::model::reject_rate;
use crate::source::SourceConfig;
use crate::table::LakeConfig;
use settings::Settings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file a project's settings stand in.
pub const FILE: &str = "lake.toml";

/// Names of the environment's variables that dbt projects read.
const DBT_VARIABLES: &str = "DBT_";

/// The folder of everything that runs or is kept inside the project.
const DOT_LAKE: &str = ".lake";
const LEAST_BRONZE_MEMORY: usize = 64_000_000;

/// Everything the commands need to know, checked. Holds secrets, therefore not `Debug`.
pub struct Config {
    /// The project's root folder, absolute.
    pub project: PathBuf,
    pub kafka: KafkaSettings,
    pub lake: LakeConfig,
    pub warehouse: WarehouseSettings,
    pub bronze: BronzeSettings,
    pub maintain: MaintainSettings,
    pub engine: EngineConfig,
    /// Visible to templates as `var('name')`; variables of the environment that begin with `DBT_` among them.
    pub vars: BTreeMap<String, String>,
    pub sources: Vec<SourceConfig>,
}

/// `[kafka]`
pub struct KafkaSettings {
    /// `host:port,host:port`; `None` is the embedded broker.
    pub brokers: Option<String>,
    /// librdkafka's own properties; may hold passwords.
    pub properties: BTreeMap<String, String>,
    /// How long `produce` waits for a record to be acknowledged.
    pub ack_timeout: Duration,
}

/// `[warehouse]`
pub struct WarehouseSettings {
    /// Without its password; `None` is the embedded PostgreSQL.
    pub url: Option<String>,
    pub password: Option<Secret>,
    /// Postgres schema that receives the Gold tables.
    pub schema: String,
    pub programs: Programs,
}

/// Where the embedded PostgreSQL's programs are looked for.
pub struct Programs {
    /// Folder with `initdb`, `pg_ctl` and `postgres`; the only place when set.
    pub bin: Option<PathBuf>,
    /// The variable PATH.
    pub path: Option<String>,
    /// The user's cache folder for `lake`.
    pub cache: PathBuf,
}

/// `[bronze]`
pub struct BronzeSettings {
    /// Time between two commits of a continuous run.
    pub interval: Duration,
    /// Messages after which a batch is committed early.
    pub max_rows: usize,
    /// Payload, key and header bytes after which a batch is committed early; by default half of `memory`.
    pub max_bytes: usize,
    /// Bytes all streams together may hold in memory.
    pub memory: usize,
    /// The partitions this process reads.
    pub share: Share,
    /// Above this share of rejects a run of a stream ends, unless its contract says otherwise.
    pub max_reject_rate: Option<f64>,
}

/// `[maintain]`
pub struct MaintainSettings {
    /// Bytes files are merged up to.
    pub target_file_size: usize,
    /// How long old versions stay readable.
    pub retain: Duration,
    /// Run manifests kept.
    pub keep_runs: usize,
    /// Time between two rounds of a daemon; `None`: it never tends to its tables.
    pub interval: Option<Duration>,
}

impl Config {
    /// Reads the project's `lake.toml` (absent is fine), the `LAKE__` variables among `env`, and `flags`.
    /// Fails with [`crate::error::Kind::Config`] and every fault found.
    pub fn load(project: &Path, env: &BTreeMap<String, String>, flags: &[Flag]) -> Result<Config> {
        let mut settings = Settings::new(project, env);
        let sources = layers::read(&mut settings, flags)?;
        let config = Config {
            project: project.to_path_buf(),
            kafka: kafka(&mut settings),
            lake: lake(&mut settings),
            warehouse: warehouse(&mut settings),
            bronze: bronze(&mut settings),
            maintain: maintain(&mut settings),
            engine: engine(&mut settings),
            vars: vars(&mut settings),
            sources,
        };
        settings.finish()?;
        Ok(config)
    }

    /// The folder of the embedded parts.
    pub fn dot_lake(&self) -> PathBuf {
        self.project.join(DOT_LAKE)
    }
}

fn vars(settings: &mut Settings) -> BTreeMap<String, String> {
    let of_dbt = settings.env.iter().filter(|(name, _)| name.starts_with(DBT_VARIABLES));
    let mut vars: BTreeMap<String, String> = of_dbt.map(|(name, value)| (name.clone(), value.clone())).collect();
    vars.extend(settings.map("vars"));
    vars
}

fn kafka(settings: &mut Settings) -> KafkaSettings {
    let brokers = settings.text("kafka.brokers").filter(|brokers| !brokers.is_empty());
    let properties = settings.map("kafka.properties");
    let security = ["security.", "sasl.", "ssl."];
    let secured = properties.keys().find(|key| security.iter().any(|prefix| key.starts_with(prefix)));
    if let (None, Some(key)) = (&brokers, secured) {
        let key = format!("kafka.properties.{key}");
        settings.fault(
            &key,
            format!("`{key}` is set but `kafka.brokers` is not"),
            Some("set kafka.brokers as well".into()),
        );
    }
    let ack_timeout = settings.parsed("kafka.ack_timeout", units::duration);
    let ack_timeout = ack_timeout.unwrap_or(flow::produce::Options::default().ack_timeout);
    KafkaSettings { brokers, properties, ack_timeout }
}

fn lake(settings: &mut Settings) -> LakeConfig {
    let root = settings.text("lake.root").filter(|root| !root.is_empty());
    let options = settings.map("lake.options");
    let root = match root {
        Some(root) if root.contains("://") => root,
        Some(folder) => settings.project.join(folder).display().to_string(),
        None => settings.project.join(DOT_LAKE).join("tables").display().to_string(),
    };
    if root.starts_with("s3://") || root.starts_with("s3a://") {
        check_s3(settings, &options);
    }
    LakeConfig { root, options }
}

/// Keys without a secret, a secret without its key, or nothing at all to sign requests with. The store itself
/// reads the `AWS_` variables.
fn check_s3(settings: &mut Settings, options: &BTreeMap<String, String>) {
    let variables = settings.env.iter().filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty());
    let given: Vec<String> =
        options.keys().cloned().chain(variables.map(|(name, _)| name.to_ascii_lowercase())).collect();
    let given = |suffix: &str| given.iter().any(|key| key.ends_with(suffix));
    let signed_otherwise =
        ["web_identity_token_file", "relative_uri", "full_uri", "metadata_endpoint", "skip_signature"];
    let missing = match (given("access_key_id"), given("secret_access_key")) {
        (true, true) => return,
        (false, false) if signed_otherwise.iter().any(|key| given(key)) => return,
        (true, false) => "there is an access key without its secret key",
        (false, true) => "there is a secret key without its access key",
        (false, false) => "there are no credentials",
    };
    settings.fault(
        "lake.root",
        format!("the lake is on S3 and {missing}"),
        Some(
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_ENDPOINT_URL for a server that is not Amazon's), \
             or aws_access_key_id and aws_secret_access_key in lake.options; \
             on a machine with a role set lake.options.aws_metadata_endpoint"
                .into(),
        ),
    );
}

fn warehouse(settings: &mut Settings) -> WarehouseSettings {
    let given = settings.text("warehouse.url").filter(|url| !url.is_empty());
    let (url, in_url) = match given.as_deref().map(secret::split_password) {
        Some(Ok((url, password))) => (Some(url), password),
        Some(Err(reason)) => {
            let remedy = "write postgres://user@host:5432/database".to_string();
            settings.fault("warehouse.url", format!("`warehouse.url` {reason}"), Some(remedy));
            (None, None)
        }
        None => (None, None),
    };
    let password = settings.text("warehouse.password").map(Secret::new);
    let from_file = settings
        .text("warehouse.password_file")
        .and_then(|path| settings.file("warehouse.password_file", Path::new(&path)).map(Secret::new));
    let schema = settings.text("warehouse.schema").unwrap_or_else(|| "gold".into());
    let programs = programs(settings);
    check_password(settings, given.is_some(), password.is_some());
    let from_libpq = settings.env.get("PGPASSWORD").filter(|_| url.is_some()).cloned().map(Secret::new);
    WarehouseSettings { url, password: password.or(from_file).or(in_url).or(from_libpq), schema, programs }
}

fn programs(settings: &mut Settings) -> Programs {
    let bin = settings.text("warehouse.postgres_bin").map(|bin| settings.project.join(bin));
    let variable = |name: &str| settings.env.get(name).filter(|value| !value.is_empty());
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(variable("HOME")?).join(".cache")));
    let cache = cache.map_or_else(|| settings.project.join(DOT_LAKE).join("cache"), |cache| cache.join("lake"));
    Programs { bin, path: variable("PATH").cloned(), cache }
}

fn check_password(settings: &mut Settings, has_url: bool, has_password: bool) {
    let has_file = settings.has("warehouse.password_file");
    if has_password && has_file {
        let message = "both `warehouse.password` and `warehouse.password_file` are set".to_string();
        settings.fault("warehouse.password_file", message, Some("keep one of them".into()));
    }
    if !has_url && (has_password || has_file) {
        let key = if has_password { "warehouse.password" } else { "warehouse.password_file" };
        let message = format!("`{key}` is set but `warehouse.url` is not");
        settings.fault(key, message, Some("set warehouse.url as well".into()));
    }
}

fn bronze(settings: &mut Settings) -> BronzeSettings {
    let memory = settings.parsed("bronze.memory", units::bytes).unwrap_or(256_000_000);
    if memory < LEAST_BRONZE_MEMORY {
        let message = format!("`bronze.memory` is {memory} bytes, too little to read, decode and encode at once");
        settings.fault("bronze.memory", message, Some("give it 64MB or more".into()));
    }
    BronzeSettings {
        interval: settings.parsed("bronze.interval", units::duration).unwrap_or(Duration::from_secs(10)),
        max_rows: settings.parsed("bronze.max_rows", units::count).unwrap_or(1_000_000),
        max_bytes: settings.parsed("bronze.max_bytes", units::bytes).unwrap_or(memory / 2),
        memory,
        share: settings.parsed("bronze.share", Share::parse).unwrap_or(Share::WHOLE),
        max_reject_rate: settings.parsed("bronze.max_reject_rate", reject_rate),
    }
}

fn maintain(settings: &mut Settings) -> MaintainSettings {
    let interval = settings.parsed("maintain.interval", |text| match text {
        "off" => Ok(None),
        text => units::duration(text).map(Some).map_err(|_| "a duration such as 5m, or off"),
    });
    MaintainSettings {
        target_file_size: settings.parsed("maintain.target_file_size", units::bytes).unwrap_or(128 << 20),
        retain: settings.parsed("maintain.retain", units::duration).unwrap_or(Duration::from_secs(7 * 24 * 3600)),
        keep_runs: settings.parsed("maintain.keep_runs", units::count).unwrap_or(20),
        interval: interval.unwrap_or(Some(Duration::from_secs(60))),
    }
}

/// More than any machine this is for has cores.
const MOST_THREADS: usize = 256;

fn engine(settings: &mut Settings) -> EngineConfig {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = settings.parsed("engine.threads", units::count).unwrap_or(cores);
    if threads > MOST_THREADS.max(cores) {
        let message = format!("`engine.threads` is {threads}: each part of a query exchanges rows with every other");
        settings.fault("engine.threads", message, Some(format!("give it {MOST_THREADS} or less")));
    }
    EngineConfig { memory_bytes: settings.parsed("engine.memory", units::bytes).unwrap_or(1 << 30), threads }
}

#[cfg(test)]
mod tests;
