//! From settings to parts: what a command asks for is connected when it is first asked for, embedded parts
//! are started then, and everything is left at the end by [`Connections::close`].

use super::output::Format;
use super::screen::Screen;
use crate::config::{BronzeSettings, Config, Secret};
use crate::embedded::{self, Parts, Search};
use crate::engine::Engine;
use crate::error::Result;
use crate::flow::bronze::{Options, Start, Stream};
use crate::flow::{self, Progress, Stop, streams};
use crate::kafka::KafkaConfig;
use crate::model::Project;
use crate::table::Lake;
use crate::warehouse::{self, Warehouse, WarehouseConfig};
use std::time::{Duration, Instant};

/// The project's settings and the parts in use.
pub struct Connections {
    pub config: Config,
    pub format: Format,
    pub screen: Screen,
    pub progress: Progress,
    pub stop: Stop,
    /// More was asked for than the usual answer.
    pub verbose: bool,
    parts: Parts,
    lake: Option<Lake>,
    engine: Option<Engine>,
}

impl Connections {
    pub fn new(config: Config, format: Format, verbose: bool, screen: Screen, stop: Stop) -> Connections {
        let programs = &config.warehouse.programs;
        let search = Search {
            explicit: programs.bin.clone(),
            path: programs.path.clone().map(Into::into),
            cache: programs.cache.clone(),
        };
        let parts = Parts::new(config.dot_lake(), search);
        let progress = screen.progress();
        Connections { config, format, screen, progress, stop, verbose, parts, lake: None, engine: None }
    }

    /// The configured brokers, else the embedded one.
    pub fn kafka(&mut self) -> Result<KafkaConfig> {
        let brokers = match &self.config.kafka.brokers {
            Some(brokers) => brokers.clone(),
            None => self.parts.broker()?,
        };
        Ok(KafkaConfig { brokers, properties: self.config.kafka.properties.clone() })
    }

    pub async fn lake(&mut self) -> Result<Lake> {
        if let Some(lake) = &self.lake {
            return Ok(lake.clone());
        }
        let lake = Lake::open(&self.config.lake).await?;
        self.lake = Some(lake.clone());
        Ok(lake)
    }

    pub fn engine(&mut self) -> Result<Engine> {
        if let Some(engine) = &self.engine {
            return Ok(engine.clone());
        }
        let engine = Engine::new(&self.config.engine)?;
        self.engine = Some(engine.clone());
        Ok(engine)
    }

    /// A new connection to the configured PostgreSQL, else to the embedded one.
    pub async fn warehouse(&mut self) -> Result<Box<dyn Warehouse>> {
        let config = self.warehouse_config().await?;
        warehouse::connect(&config).await
    }

    pub async fn warehouse_config(&mut self) -> Result<WarehouseConfig> {
        let settings = &self.config.warehouse;
        let schema = settings.schema.clone();
        if let Some(url) = settings.url.clone() {
            let password = settings.password.as_ref().map(|password| Secret::expose(password).to_string());
            return Ok(WarehouseConfig { url, password, schema });
        }
        let screen = self.screen.clone();
        let address = self.parts.postgres(&|news| screen.news(news)).await?;
        Ok(WarehouseConfig { url: address.url, password: Some(address.password), schema })
    }

    /// False when the warehouse is the embedded one and was never started.
    pub fn warehouse_exists(&self) -> bool {
        self.config.warehouse.url.is_some() || self.password_file().exists()
    }

    /// Where the password of the embedded PostgreSQL stands.
    pub fn password_file(&self) -> std::path::PathBuf {
        embedded::password_file(&self.config.dot_lake())
    }

    pub fn project(&self) -> Result<Project> {
        let topics: Vec<&str> = self.config.sources.iter().map(|source| source.topic()).collect();
        Project::load(&self.config.project, &self.config.vars, &topics)
    }

    /// The streams of these Bronze tables, of all when none is named.
    pub fn streams(&self, names: &[String]) -> Result<Vec<Stream>> {
        streams::select(&self.project()?, &self.config.sources, names)
    }

    pub fn produce_options(&self) -> flow::produce::Options {
        flow::produce::Options { ack_timeout: self.config.kafka.ack_timeout, ..flow::produce::Options::default() }
    }

    pub fn bronze_options(&self, once: bool) -> Options {
        let &BronzeSettings { interval, max_rows, max_bytes, memory, share, max_reject_rate } = &self.config.bronze;
        Options { once, share, interval, max_rows, max_bytes, memory, max_reject_rate, start: Start::Earliest }
    }

    /// Waits for the interval between two rounds. False: a stop was asked for.
    pub async fn pause(&self) -> bool {
        let until = Instant::now() + self.config.bronze.interval;
        while Instant::now() < until && !self.stop.requested() {
            tokio::time::sleep(Duration::from_millis(100).min(self.config.bronze.interval)).await;
        }
        !self.stop.requested()
    }

    /// Leaves the embedded parts; those nobody else uses end. A stop, asked for earlier or now, ends the wait
    /// for others.
    pub async fn close(self) -> Result<()> {
        let Connections { parts, screen, stop, .. } = self;
        parts.stop(&|news| screen.news(news), &|| stop.requested()).await
    }
}
