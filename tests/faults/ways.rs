//! Ways into PostgreSQL that are shut: a wrong password, a certificate that does not hold, encryption one of the two
//! does not want. Each is a fault of the settings, says which, and prints no secret.

use super::await_that;
use crate::support::postgres::Server;
use crate::support::{Output, Project, left_out};
use std::process::Command;

const ROUNDS: usize = 10;

/// Has the server read its files again and asks until it shows.
fn reloaded(server: &Server, holds: impl FnMut() -> bool) {
    server.execute("select pg_reload_conf()");
    await_that("what was changed", holds);
}

fn asks(project: &mut Project, url: &str) -> Output {
    project.env("LAKE__WAREHOUSE__URL", url);
    project.lake(&["query", "--warehouse", "select 1 as one"])
}

#[test]
fn a_wrong_password_is_told_apart_from_a_missing_one() {
    let Some(server) = Server::start("passwords", &[]) else { return };
    server.execute("create role guarded login password 'right-7f3a'");
    std::fs::write(server.data().join("pg_hba.conf"), "host all guarded all scram-sha-256\nhost all all all trust\n")
        .unwrap();
    let url = server.url().replace("test@", "guarded@");
    let mut project = Project::empty();
    project.write("lake.toml", "");
    reloaded(&server, || asks(&mut project, &url).code != 0);
    let missing = asks(&mut project, &url).fails_with(78);
    assert!(missing.stderr.contains("asks user `guarded` for a password"), "{}", missing.stderr);
    project.env("LAKE__WAREHOUSE__PASSWORD", "wrong-91cc");
    for _ in 0..ROUNDS {
        let wrong = asks(&mut project, &url).fails_with(78);
        let named = wrong.stderr.contains("refused user `guarded`");
        assert!(named && !wrong.stderr.contains("wrong-91cc"), "{}", wrong.stderr);
    }
    project.env("LAKE__WAREHOUSE__PASSWORD", "right-7f3a");
    asks(&mut project, &url).ok();
}

/// Makes a certificate for 127.0.0.1 that holds from one day on for so many; false without openssl.
fn certify(server: &Server, from: &str, until: &str) -> bool {
    let script = format!(
        "cd '{}' && openssl req -newkey rsa:2048 -nodes -subj /CN=test -keyout server.key -out server.csr && \
         printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=critical,CA:FALSE\\n' > server.ext && \
         rm -rf ca && mkdir ca && touch ca/index && echo 01 > ca/serial && \
         printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=ca/index\\nserial=ca/serial\\nnew_certs_dir=ca\\ndefault_md=sha256\\n\
         policy=p\\n[p]\\ncommonName=supplied\\n' > ca/conf && \
         openssl ca -batch -config ca/conf -selfsign -keyfile server.key -in server.csr -out server.crt -notext \
         -startdate {from} -enddate {until} -extfile server.ext && chmod 600 server.key && chown --reference=. server.key server.crt",
        server.data().display()
    );
    Command::new("sh").args(["-c", &script]).output().is_ok_and(|output| output.status.success())
}

#[test]
fn sslmodes_mean_what_they_say() {
    let Some(server) = Server::start("sslmodes", &[]) else { return };
    if !certify(&server, "20200101000000Z", "20990101000000Z") {
        return left_out("sslmodes need openssl");
    }
    let mut project = Project::empty();
    project.write("lake.toml", "");
    let mode = |mode: &str| server.url().replace("sslmode=disable", &format!("sslmode={mode}"));
    let refused = asks(&mut project, &mode("require"));
    assert!(refused.code == 78 || refused.code == 69, "{}", refused.stderr);
    asks(&mut project, &mode("prefer")).ok();
    server.execute("alter system set ssl = on");
    reloaded(&server, || server.ask("show ssl") == "on");
    let own = format!("verify-full&sslrootcert={}", server.data().join("server.crt").display());
    for open in ["disable", "prefer", "require", &own] {
        asks(&mut project, &mode(open)).ok();
    }
    let shut =
        [("verify-full".to_string(), mode("verify-full")), (own.clone(), mode(&own).replace("127.0.0.1", "localhost"))];
    for (shut, why) in std::iter::repeat_n(shut, ROUNDS).flatten() {
        let refused = asks(&mut project, &why).fails_with(78);
        assert!(
            refused.stderr.contains("certificate") && refused.stderr.contains("hint:"),
            "{shut}:\n{}",
            refused.stderr
        );
    }
    assert!(certify(&server, "20200101000000Z", "20210101000000Z"));
    reloaded(&server, || asks(&mut project, &mode(&own)).code != 0);
    for _ in 0..ROUNDS {
        let expired = asks(&mut project, &mode(&own)).fails_with(78);
        assert!(expired.stderr.to_lowercase().contains("expired"), "{}", expired.stderr);
    }
    asks(&mut project, &mode("require")).ok();
}
