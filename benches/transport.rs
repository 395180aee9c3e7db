//! What the queue costs: `bbq bench` against the server, and against a relay that is the same transport and the same tonic
//! services with no queue behind.
//!
//! The relay confirms a publish as soon as its messages are on their way to the subscribers, dealt round-robin as a queue deals
//! them, and takes every ack. It has no middleware and no disk, so what it reaches is the bound of the transport. Run it with
//! `cargo bench --bench transport`; what follows `--` goes to `bbq bench`.

#![expect(clippy::unwrap_used, reason = "a benchmark ends where something is not as it must be")]

#[path = "transport/relay.rs"]
mod relay;

use std::path::Path;
use std::process::{Child, Command, Stdio};

const BBQ: &str = env!("CARGO_BIN_EXE_bbq");
/// Both are measured in turn, so many times.
const ROUNDS: usize = 3;

/// A relay in a process of its own; dropping it ends it.
struct Relay(Child);

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Relay {
    fn start(directory: &Path) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new(program)
            .arg("relay")
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The relay's only line says that its profile is there.
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().unwrap()), &mut line)
            .unwrap();
        assert_eq!(line.trim(), "ready");
        Self(child)
    }
}

/// Messages a second, end to end.
fn bench(arguments: &[String], more: &[&str]) -> f64 {
    let output = Command::new(BBQ).args(["bench", "--json"]).args(arguments).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    figures["end_to_end_per_s"].as_f64().unwrap()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn compare(name: &str, more: &[&str], arguments: &[String]) {
    let (mut queue, mut transport) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        queue.push(bench(arguments, &[more, &["--spawn"]].concat()));
        let directory = tempfile::tempdir().unwrap();
        let _relay = Relay::start(directory.path());
        let profile = directory.path().join("client.toml");
        transport.push(bench(arguments, &[more, &["--profile", profile.to_str().unwrap()]].concat()));
    }
    let (queue, transport) = (median(queue), median(transport));
    println!("{name:<24} {queue:>12.0} {transport:>12.0} {:>6.0} %", 100.0 * queue / transport);
}

fn main() {
    // cargo adds `--bench` of its own.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [command, directory] = &arguments[..]
        && command == "relay"
    {
        return relay::serve(Path::new(directory));
    }
    println!("{:<24} {:>12} {:>12} {:>8}", "msg/s, medians", "bbq", "relay", "ratio");
    for (over, flags) in [("HTTP/3", &[][..]), ("HTTP/2", &["--http2"][..])] {
        compare(&format!("{over}, 4 x 4, 1 KiB"), flags, &arguments);
        let single = ["--producers", "1", "--consumers", "1", "--batch", "1", "--calls", "64"];
        let single = [flags, &single, &["--window", "64", "--size", "256", "--messages", "50000"]].concat();
        compare(&format!("{over}, single calls"), &single, &[]);
    }
}
