use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

fn generated(directory: &Path) -> CertificateFiles {
    generate_if_absent(directory, &["queue.example".to_owned()]).unwrap().server_files()
}

fn load_error(files: &CertificateFiles) -> String {
    ServerIdentity::load(files).unwrap_err().to_string()
}

#[test]
fn the_generated_set_loads_and_is_made_once() {
    let directory = tempfile::tempdir().unwrap();
    let files = generated(directory.path());
    ServerIdentity::load(&files).unwrap();
    let before = fs::read(&files.certificate).unwrap();
    generated(directory.path());
    assert_eq!(fs::read(&files.certificate).unwrap(), before);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 3, "no staged file stays behind");
}

#[test]
fn the_generated_key_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let files = generated(directory.path());
    assert_eq!(fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn half_a_generated_set_is_refused_and_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let files = generated(directory.path());
    fs::remove_file(&files.certificate).unwrap();
    let error = generate_if_absent(directory.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("has ca.pem but not server.pem"), "{error}");
}

#[test]
fn errors_name_the_file_and_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let good = generated(directory.path());
    let other = tempfile::tempdir().unwrap();
    let other = generated(other.path());
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };

    let missing = CertificateFiles { certificate: directory.path().join("none.pem"), ..good.clone() };
    assert!(load_error(&missing).contains("none.pem: no such file"));

    let not_pem = CertificateFiles { certificate: write("not.pem", "hello"), ..good.clone() };
    assert!(load_error(&not_pem).contains("not.pem: not a PEM file"));

    let only_key = CertificateFiles { certificate: good.key.clone(), ..good.clone() };
    assert!(load_error(&only_key).contains("server.key: holds no certificate"));

    let no_key = CertificateFiles { key: good.certificate.clone(), ..good.clone() };
    assert!(load_error(&no_key).contains("server.pem: holds no private key"));

    let foreign_key = fs::read_to_string(&other.key).unwrap();
    let mismatch = CertificateFiles { key: write("other.key", &foreign_key), ..good.clone() };
    assert!(load_error(&mismatch).contains("other.key: is not the key of the first certificate"));

    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let damaged = CertificateFiles { certificate: write("damaged.pem", garbage), ..good };
    assert!(load_error(&damaged).contains("damaged.pem: "));
}

#[test]
fn a_failed_reload_keeps_the_old_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let files = generated(directory.path());
    let identity = ServerIdentity::load(&files).unwrap();
    let old = identity.resolver().in_use();
    fs::write(&files.certificate, "torn").unwrap();
    identity.reload().unwrap_err();
    assert_eq!(identity.resolver().in_use().cert, old.cert);
}

#[test]
fn a_reload_shows_the_new_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let files = generated(directory.path());
    let identity = ServerIdentity::load(&files).unwrap();
    let old = identity.resolver().in_use();
    let other = tempfile::tempdir().unwrap();
    let other = generated(other.path());
    fs::copy(&other.certificate, &files.certificate).unwrap();
    fs::copy(&other.key, &files.key).unwrap();
    identity.reload().unwrap();
    assert_ne!(identity.resolver().in_use().cert, old.cert);
}
