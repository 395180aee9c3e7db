use super::*;

/// A profile in a directory of its own.
fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.toml");
    fs::write(&path, text).unwrap();
    (directory, path)
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let (directory, path) = written("url = \"https://127.0.0.1:6789\"\nca = \"tls/ca.pem\"\ntoken = \"t\"\n");
    let profile = Profile::load(&path).unwrap();
    assert_eq!(profile.ca, Some(Pem::File(directory.path().join("tls/ca.pem"))));
    assert_eq!(profile.token.as_deref(), Some("t"));
    assert_eq!(profile.transport, Transport::Auto);
}

#[test]
fn certificates_may_be_in_place() {
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let (_directory, path) = written(&format!("url = \"https://h\"\nca = \"\"\"\n{pem}\"\"\"\n"));
    assert_eq!(Profile::load(&path).unwrap().ca, Some(Pem::Inline(pem.into())));
}

#[test]
fn unknown_keys_are_errors_that_name_file_and_line() {
    let (_directory, path) = written("url = \"https://h\"\ntokken = \"t\"\n");
    let error = Profile::load(&path).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}, line 2: ", path.display())), "{error}");
    assert!(error.contains("tokken"), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn saved_profile_loads_the_same_and_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("client.toml");
    let profile = Profile {
        ca: Some(Pem::File(directory.path().join("ca.pem"))),
        token: Some("secret".into()),
        transport: Transport::Http2,
        ..Profile::new("https://127.0.0.1:6789")
    };
    profile.save(&path).unwrap();
    // Again, over the one that is there.
    profile.save(&path).unwrap();
    assert_eq!(Profile::load(&path).unwrap(), profile);
    assert!(
        fs::read_to_string(&path).unwrap().contains("ca = \"ca.pem\""),
        "paths below it are kept relative"
    );
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn missing_profile_says_how_to_get_one() {
    let directory = tempfile::tempdir().unwrap();
    let error = Profile::find(Some(&directory.path().join("none.toml"))).unwrap_err().to_string();
    assert!(error.contains("none.toml") && error.contains("bbq serve"), "{error}");
}

#[test]
fn secrets_are_not_shown() {
    let profile = Profile {
        token: Some("hush".into()),
        client_key: Some(Pem::Inline("-----BEGIN hush".into())),
        ..Profile::new("https://h")
    };
    assert!(!format!("{profile:?}").contains("hush"));
}

/// What cannot work is refused before anything is sent.
#[test]
fn unusable_profiles_are_refused() {
    let refused = |profile: Profile| crate::target::Target::new(&profile).err().unwrap().to_string();
    assert!(refused(Profile::new("127.0.0.1:6789")).contains("must be https://"));
    assert!(refused(Profile::new("ftp://h")).contains("must be https://"));
    assert!(refused(Profile::new("https://127.0.0.1")).contains("lacks `ca`"));
    assert!(refused(Profile::new("http://example.com")).contains("in the clear"));
    let http3 = Profile { transport: Transport::Http3, ..Profile::new("http://127.0.0.1:1") };
    assert!(refused(http3).contains("cannot speak HTTP/3"));
    let empty = Profile { ca: Some(Pem::Inline("-----BEGIN".into())), ..Profile::new("https://h") };
    assert!(refused(empty).contains("`ca`"));
}
