//! Why a server does not start: exit code 1, one line that names the thing and the way out, and nothing touched.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use support::ports::lasting_address;
use support::{Output, Server, Setup};
use tempfile::TempDir;

/// One line on standard error that says why, exit code 1, and no greeting.
#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let why = output.clone().refused();
    for word in words {
        assert!(why.contains(word), "{word:?} is not in: {why}");
    }
    assert!(!output.stderr.contains("panicked"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_is_kept_out_of_a_data_directory() {
    let server = Server::start().await;
    server.run(&["queue", "create", "q"]).await.ok();
    server.run(&["publish", "q", "a"]).await.ok();
    let profile = std::fs::read(server.profile_path()).unwrap();
    let directory = server.data();
    let pid = server.process.pid().as_raw_nonzero().to_string();
    refused(&Setup::at(&directory).run().await, &["in use by process", &pid, directory.to_str().unwrap()]);
    // It has left all as it was: the profile still names the first one, which still works.
    assert_eq!(std::fs::read(server.profile_path()).unwrap(), profile);
    assert_eq!(server.run(&["receive", "q", "--json"]).await.json()[0]["body"], "a");
}

/// A port that both listeners can have, while this test runs alone on it.
fn free_port() -> (TcpListener, UdpSocket) {
    let address = lasting_address();
    (TcpListener::bind(address).unwrap(), UdpSocket::bind(address).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named_with_its_protocol() {
    let (tcp, udp) = free_port();
    let address = tcp.local_addr().unwrap();
    let text = address.to_string();
    drop(udp);
    refused(&Setup::new().listen(address).run().await, &["TCP", &text, "in use", "another address"]);
    let udp = UdpSocket::bind(address).unwrap();
    drop(tcp);
    let setup = Setup::new().listen(address);
    let directory = setup.data();
    refused(&setup.clone().run().await, &["UDP", &text, "in use", "another address"]);
    assert!(!directory.exists(), "a server that could not listen has made {}", directory.display());
    drop(udp);

    let (tcp, _udp) = free_port();
    let address = tcp.local_addr().unwrap();
    let output = Setup::new().operations_listen(address).run().await;
    refused(&output, &["operations", &address.to_string(), "operations_listen"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_another_machine_is_refused() {
    let address = "192.0.2.1:6789".parse().unwrap();
    refused(&Setup::new().listen(address).run().await, &["192.0.2.1:6789", "not an address of this machine"]);
    let set = Setup::new().args(&["--set", "plaintext.listen=192.0.2.1:6788"]);
    refused(&set.run().await, &["192.0.2.1:6788", "loopback"]);
}

/// A certificate and key of a server of its own.
fn certificate(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let path = |ending| directory.join(format!("{name}.{ending}"));
    std::fs::write(path("pem"), made.cert.pem()).unwrap();
    std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
    (path("pem"), path("key"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_can_not_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate_of_a, key_of_a) = certificate(directory.path(), "a");
    let (_, key_of_b) = certificate(directory.path(), "b");
    let garbage = directory.path().join("garbage");
    std::fs::write(&garbage, "nothing to see").unwrap();
    let damaged = directory.path().join("damaged");
    std::fs::write(&damaged, "-----BEGIN CERTIFICATE-----\n####\n-----END CERTIFICATE-----\n").unwrap();
    let missing = directory.path().join("missing");
    let with = |certificate: &Path, key: &Path| {
        let (certificate, key) =
            (format!("tls.certificate={}", certificate.display()), format!("tls.key={}", key.display()));
        Setup::new().args(&["--set", &certificate, "--set", &key])
    };
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    for (setup, words) in [
        (with(&missing, &key_of_a), [text(&missing), "no such file".to_owned()]),
        (with(&certificate_of_a, &missing), [text(&missing), "no such file".to_owned()]),
        (with(&garbage, &key_of_a), [text(&garbage), "-----BEGIN".to_owned()]),
        (with(&certificate_of_a, &garbage), [text(&garbage), "-----BEGIN".to_owned()]),
        (with(&damaged, &key_of_a), [text(&damaged), "PEM".to_owned()]),
        (with(&key_of_a, &key_of_a), [text(&key_of_a), "no certificate".to_owned()]),
        (with(&certificate_of_a, &certificate_of_a), [text(&certificate_of_a), "no private key".to_owned()]),
        (with(&certificate_of_a, &key_of_b), [text(&key_of_b), "not the key".to_owned()]),
    ] {
        refused(&setup.run().await, &[&words[0], &words[1]]);
    }
    let alone = Setup::new().args(&["--set", &format!("tls.certificate={}", certificate_of_a.display())]);
    refused(&alone.run().await, &["tls.key", "missing"]);
    // The same files, used as they should be.
    with(&certificate_of_a, &key_of_a).start().await;
}

/// The keys that a first start made are never made anew over what is left of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_certificate_is_not_made_anew() {
    let mut server = Server::start().await;
    server.stop().await;
    std::fs::remove_file(server.data().join("server.key")).unwrap();
    refused(&server.again().run().await, &["server.key", "ca.pem", "restore"]);
    assert!(server.data().join("ca.pem").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_knows_is_named_with_its_source() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bbq.toml");
    let config = |text: &str| {
        std::fs::write(&file, text).unwrap();
        Setup::new().args(&["--config", file.to_str().unwrap()])
    };
    let path = file.to_str().unwrap();
    refused(&config("lisen = '127.0.0.1:0'").run().await, &[path, "`lisen`", "did you mean `listen`"]);
    refused(
        &config("[limits]\nmesage_bytes = 5").run().await,
        &[path, "`limits.mesage_bytes`", "`limits.message_bytes`"],
    );
    refused(&config("[limits]\nmessage_bytes = 'big'").run().await, &[path, "limits.message_bytes"]);
    refused(&config("[limits\n").run().await, &[path]);
    refused(
        &config("[limits]\nmessage_bytes = 1").run().await,
        &[path, "limits.message_bytes", "is 1", "1024"],
    );
    let missing = Setup::new().args(&["--config", "nowhere.toml"]);
    refused(&missing.run().await, &["nowhere.toml"]);

    let env = Setup::new().env("BBQ_LISEN", "127.0.0.1:0");
    refused(&env.run().await, &["BBQ_LISEN", "`lisen`", "did you mean `listen`"]);
    let env = Setup::new().env("BBQ_LIMITS__CALLS", "many");
    refused(&env.run().await, &["BBQ_LIMITS__CALLS", "limits.calls"]);

    let set = |pair: &str| Setup::new().args(&["--set", pair]);
    refused(&set("limits.cals=5").run().await, &["--set limits.cals", "`limits.cals`", "`limits.calls`"]);
    refused(&set("limits.calls=0").run().await, &["--set limits.calls", "is 0", "1 to"]);
    refused(&set("limits.calls").run().await, &["--set", "KEY=VALUE"]);
    refused(&set("log.level=loud").run().await, &["log.level", "loud", "debug"]);
    refused(&set("store.segment_bytes=1").run().await, &["store.segment_bytes", "65536"]);
    refused(&Setup::new().args(&["--log-level", "loud"]).run().await, &["log.level", "loud", "debug"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_beat_the_environment_which_beats_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bbq.toml");
    std::fs::write(&file, "[limits]\ncalls = 1\nbatch_items = 1\nmessage_bytes = 2000\n").unwrap();
    let setup = Setup::new()
        .args(&["--config", file.to_str().unwrap(), "--set", "limits.calls=3", "--print-config"])
        .env("BBQ_LIMITS__CALLS", "2")
        .env("BBQ_LIMITS__BATCH_ITEMS", "2");
    let directory = setup.data();
    let printed = setup.run().await.ok();
    let config: toml::Table = printed.parse().unwrap();
    let limit = |key: &str| config["limits"][key].as_integer().unwrap();
    assert_eq!((limit("calls"), limit("batch_items"), limit("message_bytes")), (3, 2, 2000));
    assert!(!directory.exists(), "printing the configuration has made {}", directory.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_a_newer_version_is_left_alone() {
    let mut server = Server::start().await;
    server.stop().await;
    let format = server.data().join("FORMAT");
    let text = std::fs::read_to_string(&format).unwrap();
    let newer = text.replacen("format 1 ", "format 99 ", 1);
    assert_ne!(newer, text);
    std::fs::write(&format, &newer).unwrap();
    refused(&server.again().run().await, &["format 99", "newer program", server.data().to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&format).unwrap(), newer);
    std::fs::write(&format, text).unwrap();
    server.restart().await;
}

/// Pointed at somebody's home by mistake, it writes nothing there.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_directory_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let inside = directory.path().join("home");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(inside.join("thesis.txt"), "precious").unwrap();
    refused(
        &Setup::at(&inside).run().await,
        &["thesis.txt", "not a data directory", inside.to_str().unwrap()],
    );
    let names =
        std::fs::read_dir(&inside).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(names, ["thesis.txt"]);
    let file = inside.join("thesis.txt");
    refused(&Setup::at(&file).run().await, &[file.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(file).unwrap(), "precious");
}

/// Runs a server with a limit of open files.
fn with_files(limit: &str) -> Setup {
    Setup::new().wrapper(&["sh", "-c", &format!("ulimit {limit}; exec \"$@\""), "sh"])
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_files_to_serve_anyone_are_refused_with_what_it_takes() {
    let setup = with_files("-n 100");
    let directory = setup.data();
    refused(&setup.run().await, &["100 files", "needs 112", "ulimit -n", "LimitNOFILE="]);
    assert!(!directory.exists(), "nothing was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_limit_of_files_is_raised_to_the_hard_one() {
    let server = with_files("-S -n 100").start().await;
    let limits = format!("/proc/{}/limits", server.process.pid().as_raw_nonzero());
    let limits = std::fs::read_to_string(limits).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let values: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(values[0], values[1], "soft and hard");
}
