use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
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

/// A power cut keeps any of the names, and what was removed last may be there again.
#[test]
fn a_set_whose_names_a_power_cut_took_is_finished_as_it_was_begun() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let files = generated(path);
    let all = [path.join("server.key"), path.join("ca.pem"), path.join("server.pem")];
    let made = all.each_ref().map(|file| fs::read(file).unwrap());
    for left in 0..8 {
        for (bit, (file, bytes)) in all.iter().zip(&made).enumerate() {
            fs::remove_file(file).unwrap();
            if left >> bit & 1 == 1 {
                fs::write(file, bytes).unwrap();
            }
        }
        fs::write(path.join("tls.unfinished"), made.concat()).unwrap();
        fs::write(path.join(".server.key.new"), "half").unwrap();
        fs::set_permissions(path.join(".server.key.new"), fs::Permissions::from_mode(0o644)).unwrap();
        generated(path);
        ServerIdentity::load(&files).unwrap();
        let kept = left == 0 || all.iter().zip(&made).all(|(file, bytes)| fs::read(file).unwrap() == *bytes);
        assert!(kept, "names {left:03b}: it is another set");
        // Where the key was made: the test's own copy is anybody's.
        let mode = fs::metadata(&files.key).unwrap().permissions().mode() & 0o077;
        assert!(mode == 0 || left & 1 == 1, "names {left:03b}: the key has mode {mode:o}");
        assert!(!path.join("tls.unfinished").exists());
        for (file, bytes) in all.iter().zip(&made) {
            fs::write(file, bytes).unwrap();
        }
    }
}

/// Somebody put files of his own there before the set was finished.
#[test]
fn a_foreign_file_is_never_made_part_of_an_unfinished_set() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let files = generated(path);
    let set = [&files.key, &path.join("ca.pem"), &files.certificate].map(|file| fs::read(file).unwrap());
    fs::write(path.join("tls.unfinished"), set.concat()).unwrap();
    let other = tempfile::tempdir().unwrap();
    generated(other.path());
    for name in ["server.key", "server.pem", "ca.pem"] {
        fs::copy(other.path().join(name), path.join(name)).unwrap();
    }
    fs::remove_file(path.join("ca.pem")).unwrap();
    let error = generate_if_absent(path, &[]).unwrap_err().to_string();
    assert!(error.contains("has server.pem but not ca.pem"), "{error}");
    fs::copy(other.path().join("ca.pem"), path.join("ca.pem")).unwrap();
    generated(path);
    assert_eq!(fs::read(&files.key).unwrap(), fs::read(other.path().join("server.key")).unwrap());
    assert!(!path.join("tls.unfinished").exists());
}

/// What a start would use, after a bit of a file has changed: what it has read, or the error.
fn read_again(directory: &Path) -> Result<[Vec<u8>; 3], IdentityError> {
    let made = generate_if_absent(directory, &[])?;
    ServerIdentity::load(&made.server_files())?;
    let [ca, certificate] =
        [&made.ca, &made.certificate].map(|path| pem::certificates(path).unwrap()[0].to_vec());
    Ok([ca, certificate, pem::key(&made.key).unwrap().secret_der().to_vec()])
}

/// Whatever bit changes at rest, a start refuses it by name, or it has no effect.
#[test]
fn a_flipped_bit_in_a_generated_file_is_refused_or_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    generated(directory.path());
    let whole = read_again(directory.path()).unwrap();
    for name in ["ca.pem", "server.pem", "server.key"] {
        let path = directory.path().join(name);
        let good = fs::read(&path).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        let (mut refused, mut same) = (0, 0);
        for bit in 0..good.len() * 8 {
            let (place, byte) = (u64::try_from(bit / 8).unwrap(), good[bit / 8]);
            file.write_all_at(&[byte ^ 1 << (bit % 8)], place).unwrap();
            let found = read_again(directory.path());
            assert_eq!(verify_generated(directory.path()).is_ok(), found.is_ok(), "{name}, bit {bit}");
            match found {
                Ok(read) => {
                    same += 1;
                    assert!(read == whole, "{name}, bit {bit} went unnoticed");
                }
                Err(error) => {
                    refused += 1;
                    let text = error.to_string();
                    assert!(matches!(error, IdentityError::Damaged { .. }), "{name}, bit {bit}: {text}");
                    assert!(
                        text.contains(path.to_str().unwrap()) && text.contains(GENERATED_ADVICE),
                        "{text}"
                    );
                }
            }
            file.write_all_at(&[byte], place).unwrap();
        }
        println!("{name}: {refused} refused, {same} the same");
        assert!(read_again(directory.path()).unwrap() == whole, "each bit was turned back");
        assert!(refused > 10 * same, "{name}: {refused} refused, {same} the same");
    }
}

/// A whole file of another server's set is damage too: clients that trust this one's could not connect.
#[test]
fn a_certificate_of_another_authority_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let files = generated(directory.path());
    let other = tempfile::tempdir().unwrap();
    let other = generated(other.path());
    fs::copy(&other.certificate, &files.certificate).unwrap();
    fs::copy(&other.key, &files.key).unwrap();
    let error = generate_if_absent(directory.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("server.pem: is not as it was signed by ca.pem"), "{error}");
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
fn a_reload_shows_a_new_set_once_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let files = generated(directory.path());
    let identity = ServerIdentity::load(&files).unwrap();
    let old = identity.resolver().in_use();
    let other = tempfile::tempdir().unwrap();
    let other = generated(other.path());
    fs::copy(&other.certificate, &files.certificate).unwrap();
    fs::copy(&other.key, &files.key).unwrap();
    let error = identity.reload().unwrap_err().to_string();
    assert!(error.contains("server.pem: is not as it was signed by ca.pem"), "{error}");
    assert_eq!(identity.resolver().in_use().cert, old.cert);
    fs::copy(other.made_by.unwrap(), files.made_by.unwrap()).unwrap();
    identity.reload().unwrap();
    assert_ne!(identity.resolver().in_use().cert, old.cert);
}
