//! Ways into the database.

use super::*;

#[tokio::test]
async fn wrong_names_are_configuration_faults() {
    let Some(config) = throwaway::database().await else { return };
    let elsewhere = WarehouseConfig { url: config.url.replace("/t", "/nowhere"), ..config.clone() };
    let error = connect(&elsewhere).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().ends_with("/nowhere`") || error.to_string().contains("/nowhere"), "{error}");
}

#[tokio::test]
async fn tls_modes_mean_what_they_say() {
    let Some(config) = throwaway::database().await else { return };
    let Some(certificate) = throwaway::certificate() else {
        eprintln!("left out: no openssl to make a certificate with");
        return;
    };
    let mode = |mode: &str| WarehouseConfig { url: config.url.replace("disable", mode), ..config.clone() };
    let encrypted = "select ssl::text from pg_stat_ssl where pid = pg_backend_pid()";
    let trusted = format!("verify-full&sslrootcert={}", certificate.display());
    for (name, expected) in [("disable", "false"), ("prefer", "true"), ("require", "true"), (&trusted, "true")] {
        let mut warehouse = connect(&mode(name)).await.unwrap();
        assert_eq!(ask(warehouse.as_mut(), encrypted).await, [Some(expected.to_string())], "{name}");
    }
    let stranger = connect(&mode("verify-full")).await.err().unwrap();
    assert_eq!(stranger.kind(), Kind::Config);
    let named = mode(&trusted);
    let elsewhere = WarehouseConfig { url: named.url.replace("127.0.0.1", "localhost"), ..named };
    assert!(connect(&elsewhere).await.is_err(), "the certificate is for another name");
}
