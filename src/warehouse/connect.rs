//! From an address to an open connection: URL, TLS, and failures told so that somebody can act on them.
//!
//! Neither the URL nor the password ever enters a message: people write passwords into URLs.

use super::tls::{self, Trust};
use super::{WarehouseConfig, failure::Attempt};
use crate::error::{Error, Result};
use std::time::Duration;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config};
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A server that vanished without a word is noticed after about four of these.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Makes text results the same whatever the server's and the role's settings are.
const SESSION: &str = "set time zone 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'postgres'; \
     set bytea_output = 'hex'; set extra_float_digits = 1; set standard_conforming_strings = on; \
     set client_min_messages = warning";

/// A parsed address.
#[derive(Clone)]
pub struct Address {
    config: Config,
    trust: Trust,
    /// `host:port/database`.
    shown: String,
}

impl Address {
    pub fn parse(settings: &WarehouseConfig) -> Result<Address> {
        let bad = || {
            Error::config("warehouse.url is no usable PostgreSQL address")
                .hint("write postgres://user@host:5432/database, with ?sslmode=require or verify-full for TLS")
        };
        let mut url = Url::parse(&settings.url).map_err(|cause| bad().caused_by(cause))?;
        let trust = take_trust(&mut url)?;
        let mut config: Config = url.as_str().parse().map_err(|cause: tokio_postgres::Error| bad().caused_by(cause))?;
        if config.get_hosts().is_empty() {
            return Err(bad());
        }
        if let Some(password) = &settings.password {
            config.password(password);
        }
        if config.get_user().is_none() {
            return Err(bad().caused_by("no user is named"));
        }
        config.application_name("lake").connect_timeout(CONNECT_TIMEOUT);
        config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).keepalives_retries(3);
        let shown = shown(&config);
        Ok(Address { config, trust, shown })
    }

    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Connects and makes the session's settings known ones.
    pub async fn connect(&self) -> Result<Client> {
        let tls = tls::connector(&self.trust)?;
        let (client, connection) = self.config.connect(tls).await.map_err(|error| self.failure(error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to Postgres ended");
            }
        });
        client.batch_execute(SESSION).await.attempt(|| format!("set up the session with `{}`", self.shown))?;
        Ok(client)
    }

    fn failure(&self, error: tokio_postgres::Error) -> Error {
        let shown = &self.shown;
        let user = self.config.get_user().unwrap_or_default();
        match error.code().map(|code| code.code().to_string()).as_deref() {
            Some("28P01" | "28000") => Error::config(format!("Postgres at `{shown}` refused user `{user}`"))
                .hint("check the user in warehouse.url and the password in LAKE__WAREHOUSE__PASSWORD")
                .caused_by(error),
            Some("3D000") => Error::config(format!("there is no database behind `{shown}`"))
                .hint("create it, or name another one in warehouse.url")
                .caused_by(error),
            Some(_) => match Err::<(), _>(error).attempt(|| format!("connect to Postgres at `{shown}`")) {
                Err(failed) => failed,
                Ok(()) => Error::internal("a failure turned into a success"),
            },
            None if self.config.get_password().is_none() && error.to_string().contains("configuration") => {
                Error::config(format!("Postgres at `{shown}` asks user `{user}` for a password"))
                    .hint("set LAKE__WAREHOUSE__PASSWORD or warehouse.password_file")
                    .caused_by(error)
            }
            None if tls::distrusts(&error) => Error::config(format!(
                "the certificate of Postgres at `{shown}` does not hold"
            ))
            .hint(
                "name the PEM file of who issued it in warehouse.url with ?sslmode=verify-full&sslrootcert=FILE, \
                         and the host by the name it has there",
            )
            .caused_by(error),
            None => Error::unavailable(format!("cannot reach Postgres at `{shown}`"))
                .hint("is it running and is warehouse.url right? `lake doctor` looks at each part")
                .caused_by(error),
        }
    }
}

/// Takes out of the URL what the driver does not know, and leaves it what it does.
fn take_trust(url: &mut Url) -> Result<Trust> {
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let find = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let (mode, file) = (find("sslmode"), find("sslrootcert"));
    let (driver_mode, trust) = match mode.as_deref() {
        None => ("prefer", Trust::Anybody),
        Some("disable") => ("disable", Trust::Anybody),
        Some("prefer" | "allow") => ("prefer", Trust::Anybody),
        Some("require") => ("require", Trust::Anybody),
        Some("verify-full") => ("require", file.map_or(Trust::Machine, Trust::File)),
        Some(other) => {
            return Err(Error::config(format!("`{other}` is no sslmode of warehouse.url"))
                .hint("the modes are disable, prefer, require and verify-full"));
        }
    };
    let rest: Vec<_> = pairs.into_iter().filter(|(key, _)| key != "sslmode" && key != "sslrootcert").collect();
    url.query_pairs_mut().clear().extend_pairs(rest).append_pair("sslmode", driver_mode);
    Ok(trust)
}

fn shown(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => String::new(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{host}:{port}/{database}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use std::error::Error as _;
    use tokio_postgres::config::SslMode;

    fn parse(url: &str) -> Result<Address> {
        Address::parse(&WarehouseConfig { url: url.into(), ..WarehouseConfig::default() })
    }

    #[test]
    fn addresses_are_shown_without_secrets() {
        let table = [
            ("postgres://u@db.example/shop", "db.example:5432/shop"),
            ("postgresql://u:canary@127.0.0.1:5433/shop?sslmode=disable", "127.0.0.1:5433/shop"),
            ("postgres://u@h", "h:5432/u"),
        ];
        for (url, expected) in table {
            assert_eq!(parse(url).unwrap().shown(), expected);
        }
    }

    #[test]
    fn tls_modes_are_understood() {
        let table = [
            ("", SslMode::Prefer, Trust::Anybody),
            ("?sslmode=disable", SslMode::Disable, Trust::Anybody),
            ("?sslmode=require", SslMode::Require, Trust::Anybody),
            ("?sslmode=verify-full", SslMode::Require, Trust::Machine),
            ("?sslmode=verify-full&sslrootcert=/ca.pem", SslMode::Require, Trust::File("/ca.pem".into())),
        ];
        for (query, mode, trust) in table {
            let address = parse(&format!("postgres://u@h/d{query}")).unwrap();
            assert_eq!((address.config.get_ssl_mode(), address.trust), (mode, trust), "{query}");
        }
    }

    #[test]
    fn bad_addresses_are_refused_without_repeating_them() {
        for url in ["", "nonsense", "postgres://u:canary@h:notaport/d", "postgres://u:canary@h/d?sslmode=verify-ca"] {
            let error = parse(url).err().unwrap();
            assert_eq!(error.kind(), Kind::Config, "{url}");
            let mut said = format!("{error} {:?}", error);
            let mut cause = error.source();
            while let Some(next) = cause {
                said.push_str(&next.to_string());
                cause = next.source();
            }
            assert!(!said.contains("canary"), "{said}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_said_with_the_address() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = parse(&format!("postgres://u@127.0.0.1:{free}/d")).unwrap().connect().await.err().unwrap();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.to_string().contains(&format!("127.0.0.1:{free}")), "{error}");
    }
}
