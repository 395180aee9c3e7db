//! What docs/OTHER_LANGUAGES.md prints: a client is generated, built and run in C++, and generated for others.
//!
//! Compiling takes a minute, so it is no part of `make test` but of `make test-clients`.

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it must be")]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::notices::notice;
use support::pages::{Reader, block, page, tool};

const PAGE: &str = "docs/OTHER_LANGUAGES.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Whether there are these programs, and what these other commands look for; if not, `make test-clients` ends with it.
fn can(what: &str, needed: &[&str]) -> bool {
    let works = |command: &str| Command::new("sh").args(["-c", command]).output().unwrap().status.success();
    let command =
        |need: &str| if need.contains(' ') { need.to_owned() } else { format!("command -v {need}") };
    let missing = needed.iter().filter(|need| !works(&command(need))).copied().collect::<Vec<_>>();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        notice(&format!(
            "{what}: {missing} failed or is missing; clients/examples/cpp/install gets it on Debian"
        ));
    }
    missing.is_empty()
}

const GENERATE: [&str; 2] = ["protoc", "grpc_cpp_plugin"];

fn generate(language: &str, directory: &Path) -> Output {
    let script = root().join("tools/generate-client");
    Command::new(script).arg(language).arg(directory).output().unwrap()
}

/// Every file below a directory, by its path there.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.insert(path.strip_prefix(directory).unwrap().to_owned(), std::fs::read(path).unwrap());
            }
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_in_cpp_works_as_printed() {
    let needed = ["g++", "make", "pkg-config --exists grpc++ protobuf"];
    if !can("the example in C++", &[&needed[..], &GENERATE].concat()) {
        return;
    }
    // Compiled before the shell of the page does it, which then has as long as any command.
    let make = Command::new("make").arg("-C").arg(root().join("clients/examples/cpp")).output().unwrap();
    assert!(make.status.success(), "{}", String::from_utf8_lossy(&make.stderr));
    assert!(!String::from_utf8_lossy(&make.stderr).contains("warning"), "{make:?}");
    let reader = Reader::start().await;
    std::fs::create_dir_all(root().join("target")).unwrap();
    for part in ["clients", "target"] {
        symlink(root().join(part), reader.directory.path().join(part)).unwrap();
    }
    let commands = block(&page(PAGE), "cpp", "sh");
    let printed = reader.copies(&commands, &[]).await.ok();
    let expected = block(&page(PAGE), "cpp-output", "text");
    assert!(printed.ends_with(&expected), "{printed}\nis not\n{expected}");
    assert_eq!(reader.counts("cpp-example").await, (0, 0));
    // A second time, in the queue that is there; and what is refused is said in the server's words.
    let printed = reader.copies(&commands, &[]).await.ok();
    assert!(printed.contains("received 5 two, attempt 2\n"), "{printed}");
    let refused = reader.copies(&commands.replace("\"$TOKEN\"", "wrong"), &[]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("code 16: the bearer token is unknown"), "{refused:?}");
}

#[test]
fn buf_generates_what_the_script_generates() {
    if !can("generating C++ with buf", &GENERATE) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let by_script = directory.path().join("script");
    let output = generate("cpp", &by_script);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).unwrap();
    let by_script_files = files(&by_script);
    assert_eq!(listed.lines().count(), by_script_files.len());
    std::fs::write(directory.path().join("buf.gen.yaml"), block(&page(PAGE), "buf.gen.yaml", "yaml"))
        .unwrap();
    let output = Command::new(tool("buf"))
        .arg("generate")
        .arg(root().join("proto"))
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let by_buf = files(&directory.path().join("generated"));
    assert_eq!(by_buf.len(), 16, "{:?}", by_buf.keys());
    assert!(by_buf.keys().eq(by_script_files.keys()), "{:?}, {:?}", by_buf.keys(), by_script_files.keys());
    // Messages carry a copy of their proto file as each compiler sees it; the services are the same to the byte.
    for (path, code) in by_buf.iter().filter(|(path, _)| path.to_string_lossy().contains(".grpc.pb.")) {
        assert!(&by_script_files[path] == code, "{} differs", path.display());
    }
}

#[test]
fn the_script_generates_what_the_page_says_and_says_what_is_missing() {
    let needed = ["grpc_ruby_plugin", "grpc_php_plugin"];
    if !can("generating Ruby and PHP", &[&needed[..], &GENERATE].concat()) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for (language, services) in [
        ("ruby", "bbq/v1/queue_service_services_pb.rb"),
        ("php", "Bbq/V1/QueueServiceClient.php"),
        ("python", "bbq/v1/queue_service_pb2_grpc.py"),
    ] {
        let directory = directory.path().join(language);
        let output = generate(language, &directory);
        assert!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(files(&directory).contains_key(Path::new(services)), "{language}");
    }
    for (language, said) in [
        ("klingon", "protoc knows no 'klingon', and 'protoc-gen-klingon' is not on the PATH"),
        ("kotlin", "'grpc_kotlin_plugin' is not on the PATH"),
    ] {
        let output = generate(language, &directory.path().join(language));
        assert_eq!(output.status.code(), Some(1), "{language}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{language}: {output:?}");
        assert!(!directory.path().join(language).exists(), "{language}");
    }
}
