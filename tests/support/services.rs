//! The real services, when `tests/services up` started them and its variables are set.

use super::Project;
use lake::embedded::broker::{Broker, BrokerConfig};

/// Addresses of the running services; `None` outside `tests/run`, after saying what is left out.
pub struct Services {
    pub kafka: String,
    pub s3_endpoint: String,
    pub s3_bucket: String,
    pub s3_user: String,
    pub s3_secret: String,
    pub postgres: String,
    pub postgres_password: String,
}

pub fn services(test: &str) -> Option<Services> {
    let get = |name: &str| std::env::var(name).ok();
    let found = || {
        Some(Services {
            kafka: get("LAKE_TEST_KAFKA")?,
            s3_endpoint: get("LAKE_TEST_S3_ENDPOINT")?,
            s3_bucket: get("LAKE_TEST_S3_BUCKET")?,
            s3_user: get("LAKE_TEST_S3_USER")?,
            s3_secret: get("LAKE_TEST_S3_SECRET")?,
            postgres: get("LAKE_TEST_POSTGRES")?,
            postgres_password: get("LAKE_TEST_POSTGRES_PASSWORD")?,
        })
    };
    let services = found();
    if services.is_none() {
        super::left_out(&format!("{test} needs real services; tests/run starts them"));
    }
    services
}

/// Apache Kafka when it is there, else a broker of our own that ends with this value.
pub struct Kafka {
    pub brokers: String,
    _embedded: Option<(Broker, tempfile::TempDir)>,
}

pub fn any_kafka() -> Kafka {
    if let Ok(brokers) = std::env::var("LAKE_TEST_KAFKA") {
        return Kafka { brokers, _embedded: None };
    }
    let data = tempfile::tempdir().unwrap();
    let broker = Broker::start(&BrokerConfig::new(data.path())).unwrap();
    Kafka { brokers: broker.address().to_string(), _embedded: Some((broker, data)) }
}

/// The address of Apache Kafka; `None` without it, after saying what is left out.
pub fn real_kafka(test: &str) -> Option<String> {
    let found = std::env::var("LAKE_TEST_KAFKA").ok();
    if found.is_none() {
        super::left_out(&format!("{test} needs LAKE_TEST_KAFKA; tests/run sets it"));
    }
    found
}

impl Services {
    /// Points a project at all three, with topics, tables and schema of its own inside them.
    pub fn attach(&self, project: &mut Project, unique: &str) {
        project
            .env("LAKE__KAFKA__BROKERS", &self.kafka)
            .env("LAKE__LAKE__ROOT", &format!("s3://{}/{unique}", self.s3_bucket))
            .env("AWS_ENDPOINT_URL", &self.s3_endpoint)
            .env("AWS_ACCESS_KEY_ID", &self.s3_user)
            .env("AWS_SECRET_ACCESS_KEY", &self.s3_secret)
            .env("AWS_REGION", "us-east-1")
            .env("LAKE__WAREHOUSE__URL", &self.postgres)
            .env("LAKE__WAREHOUSE__PASSWORD", &self.postgres_password)
            .env("LAKE__WAREHOUSE__SCHEMA", unique);
    }
}
