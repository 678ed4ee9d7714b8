//! The object store a lake lies on: how it is reached, and what the lake demands of it.

use super::crash;
use super::failure::failed;
use super::local::LocalStore;
use crate::error::{Context, Error, Kind, Result};
use bytes::Bytes;
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use futures::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode, RetryConfig};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use uuid::Uuid;

/// Where the lake lies: a local directory or `s3://bucket/prefix` (`gs://`, `az://`), and the store's own
/// options (`aws_endpoint`, `aws_access_key_id`, ...). The store's environment variables (`AWS_*`) are read
/// as well; an option wins over its variable.
#[derive(Clone, Default)]
pub struct LakeConfig {
    pub root: String,
    pub options: BTreeMap<String, String>,
}

/// How long opening a lake may wait for a store that does not answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(15);

/// Options whose values may be shown; all others are masked.
const PUBLIC_OPTIONS: [&str; 4] = ["endpoint", "region", "allow_http", "virtual_hosted_style_request"];

impl fmt::Debug for LakeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.options.iter().map(|(key, value)| {
            let public = PUBLIC_OPTIONS.iter().any(|suffix| key.to_lowercase().ends_with(suffix));
            (key, if public && !value.contains('@') { value.as_str() } else { "***" })
        });
        f.debug_struct("LakeConfig")
            .field("root", &without_credentials(&self.root))
            .field("options", &shown.collect::<BTreeMap<_, _>>())
            .finish()
    }
}

/// A connected store with the place of the lake in it. Paths given to its methods are relative to that place.
#[derive(Clone)]
pub(super) struct Store {
    url: Url,
    shown: String,
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl Store {
    /// Reads the configuration; nothing is asked of a remote store yet. A local directory is created.
    pub fn connect(config: &LakeConfig) -> Result<Store> {
        let url = root_url(&config.root)?;
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| unknown_scheme(&url))?;
        let objects: Arc<dyn ObjectStore> = match scheme {
            ObjectStoreScheme::Local => Arc::new(LocalStore::default()),
            ObjectStoreScheme::AmazonS3 => Arc::new(s3(&url, &config.options)?),
            ObjectStoreScheme::GoogleCloudStorage => Arc::new(google(&url, &config.options)?),
            ObjectStoreScheme::MicrosoftAzure => Arc::new(azure(&url, &config.options)?),
            _ => return Err(unknown_scheme(&url)),
        };
        let shown = match url.to_file_path() {
            Ok(directory) if scheme == ObjectStoreScheme::Local => directory.display().to_string(),
            _ => url.to_string(),
        };
        let (shown, objects) = (shown.trim_end_matches('/').to_string(), crash::guarded(objects));
        Ok(Store { url, shown, objects, prefix })
    }

    /// A lake over a store made elsewhere, for tests that break it on purpose.
    #[cfg(test)]
    pub fn over(objects: Arc<dyn ObjectStore>) -> Store {
        let url = Url::parse("memory:///lake/").unwrap();
        Store { url, shown: "memory".into(), objects, prefix: Path::from("lake") }
    }

    pub fn shown(&self) -> &str {
        &self.shown
    }

    pub fn is_local(&self) -> bool {
        self.url.scheme() == "file"
    }

    fn path(&self, relative: &str) -> Path {
        Path::from_iter(self.prefix.parts().chain(Path::from(relative).parts()))
    }

    fn relative(&self, path: &Path) -> String {
        let parts: Vec<_> = match path.prefix_match(&self.prefix) {
            Some(parts) => parts.map(|part| part.as_ref().to_string()).collect(),
            None => return path.to_string(),
        };
        parts.join("/")
    }

    /// What delta-rs needs to work on the table in the folder `relative`.
    pub fn log_store(&self, relative: &str) -> Result<LogStoreRef> {
        let location =
            self.url.join(&format!("{relative}/")).context(Kind::Internal, || format!("locate `{relative}`"))?;
        let prefixed = PrefixStore::new(self.objects.clone(), self.path(relative));
        Ok(default_logstore(Arc::new(prefixed), self.objects.clone(), &location, &StorageConfig::default()))
    }

    pub async fn put_new(&self, path: &str, bytes: Bytes) -> Result<bool> {
        match self.objects.put_opts(&self.path(path), bytes.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(failed(error, format!("write `{path}` in `{}`", self.shown))),
        }
    }

    pub async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        let describe = || format!("read `{path}` in `{}`", self.shown);
        match self.objects.get(&self.path(path)).await {
            Ok(found) => found.bytes().await.map(Some).map_err(|error| failed(error, describe())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error, describe())),
        }
    }

    pub async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let found: Vec<_> = self
            .objects
            .list(Some(&self.path(prefix)))
            .map_ok(|object| self.relative(&object.location))
            .try_collect()
            .await
            .map_err(|error| failed(error, format!("list `{prefix}` in `{}`", self.shown)))?;
        let mut paths = found;
        paths.sort();
        Ok(paths)
    }

    /// Names of the folders directly below a folder, sorted.
    pub async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let listed = self
            .objects
            .list_with_delimiter(Some(&self.path(prefix)))
            .await
            .map_err(|error| failed(error, format!("list `{prefix}` in `{}`", self.shown)))?;
        let mut names: Vec<_> =
            listed.common_prefixes.iter().filter_map(|path| path.filename().map(str::to_string)).collect();
        names.sort();
        Ok(names)
    }

    pub async fn delete(&self, path: &str) -> Result<()> {
        match self.objects.delete(&self.path(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(error, format!("delete `{path}` in `{}`", self.shown))),
        }
    }

    /// Proves that the store answers and lets exactly one of two conditional writes win, without which two
    /// writers could both believe to have made the same version of a table.
    pub async fn probe(&self) -> Result<()> {
        let path = format!("_lake/probe-{}", Uuid::new_v4());
        let writes = async {
            let write = || self.put_new(&path, Bytes::from_static(b"probe"));
            // The name is new, so a refused first write is our own write whose reply was lost, or was refused for
            // a passing reason; then the next one may be the first to come in.
            let first = write().await?;
            let overwritten = write().await? && (first || write().await?);
            self.delete(&path).await?;
            Ok(overwritten)
        };
        let overwritten = tokio::time::timeout(PROBE_TIMEOUT, writes).await.unwrap_or_else(|_| {
            Err(Error::unavailable(format!("`{}` did not answer within {} s", self.shown, PROBE_TIMEOUT.as_secs()))
                .hint("check the endpoint, the network and that the store is running"))
        })?;
        if !overwritten {
            return Ok(());
        }
        Err(Error::config(format!("`{}` does not honour conditional PUT (If-None-Match)", self.shown)).hint(
            "two writers could overwrite each other there; use a store that does, for example AWS S3, MinIO, \
             Google Cloud Storage or Azure",
        ))
    }
}

fn root_url(root: &str) -> Result<Url> {
    if root.trim().is_empty() {
        return Err(Error::config("the root of the lake is empty").hint("set lake.root to a directory or an s3:// url"));
    }
    let local = match root.split_once("://") {
        None => Some(std::path::PathBuf::from(root)),
        Some(("file", _)) => Url::parse(root).ok().and_then(|url| url.to_file_path().ok()),
        Some(_) => None,
    };
    if let Some(directory) = local {
        return local_root(&directory);
    }
    let mut url = Url::parse(root).context(Kind::Config, || format!("`{}` is no url", without_credentials(root)))?;
    if url.password().is_some() {
        return Err(Error::config("lake.root holds a password").hint("give credentials as options or AWS_* variables"));
    }
    let path = format!("{}/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

fn local_root(directory: &std::path::Path) -> Result<Url> {
    let absolute = std::path::absolute(directory)
        .context(Kind::Config, || format!("`{}` is no directory for a lake", directory.display()))?;
    if has_percent_escape(&absolute.to_string_lossy()) {
        // The store writes to the folder of this name, the reader of the log to the one it stands for in a URL.
        return Err(Error::config(format!("the lake's directory `{}` has an escape like %20", absolute.display()))
            .hint("rename the folder, or set lake.root to another one"));
    }
    std::fs::create_dir_all(&absolute)
        .context(Kind::Config, || format!("create the lake's directory `{}`", absolute.display()))?;
    Url::from_directory_path(&absolute)
        .map_err(|()| Error::config(format!("`{}` is no directory for a lake", absolute.display())))
}

/// A `%` and two hexadecimal digits.
fn has_percent_escape(path: &str) -> bool {
    path.as_bytes().windows(3).any(|part| part[0] == b'%' && part[1..].iter().all(u8::is_ascii_hexdigit))
}

fn without_credentials(root: &str) -> String {
    match (root.find("://"), root.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}***{}", &root[..scheme + 3], &root[at..]),
        _ => root.to_string(),
    }
}

fn unknown_scheme(url: &Url) -> Error {
    Error::config(format!("a lake cannot lie at a `{}://` url", url.scheme()))
        .hint("use a directory, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix")
}

/// Few and short: a flow that fails is run again by its caller, a person at a terminal wants the reason.
fn retry() -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(2),
        ..BackoffConfig::default()
    };
    RetryConfig { backoff, max_retries: 5, retry_timeout: Duration::from_secs(12) }
}

fn option_key<K: FromStr>(key: &str) -> Result<K> {
    K::from_str(&key.to_lowercase()).map_err(|_| {
        Error::config(format!("`{key}` is no option of this object store"))
            .hint("options are spelled like aws_endpoint, aws_region, aws_access_key_id, aws_secret_access_key")
    })
}

fn unusable(error: object_store::Error, url: &Url) -> Error {
    let hint = match error.to_string() {
        text if text.contains("Missing SecretAccessKey") => "set aws_secret_access_key (or AWS_SECRET_ACCESS_KEY) too",
        text if text.contains("Missing AccessKeyId") => "set aws_access_key_id (or AWS_ACCESS_KEY_ID) too",
        _ => "check the options of the lake and the store's environment variables",
    };
    Error::config(format!("the settings for `{url}` are incomplete or wrong")).hint(hint).caused_by(error)
}

fn s3(url: &Url, options: &BTreeMap<String, String>) -> Result<impl ObjectStore> {
    let mut builder = AmazonS3Builder::from_env().with_url(url.as_str()).with_retry(retry());
    for (key, value) in options {
        builder = builder.with_config(option_key(key)?, value);
    }
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    builder.build().map_err(|error| unusable(error, url))
}

fn google(url: &Url, options: &BTreeMap<String, String>) -> Result<impl ObjectStore> {
    let mut builder = GoogleCloudStorageBuilder::from_env().with_url(url.as_str()).with_retry(retry());
    for (key, value) in options {
        builder = builder.with_config(option_key::<GoogleConfigKey>(key)?, value);
    }
    builder.build().map_err(|error| unusable(error, url))
}

fn azure(url: &Url, options: &BTreeMap<String, String>) -> Result<impl ObjectStore> {
    let mut builder = MicrosoftAzureBuilder::from_env().with_url(url.as_str()).with_retry(retry());
    for (key, value) in options {
        builder = builder.with_config(option_key::<AzureConfigKey>(key)?, value);
    }
    let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    builder.build().map_err(|error| unusable(error, url))
}
