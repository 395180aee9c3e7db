//! Running a command for a message: body on standard input, everything else in the environment, as [`EXEC_HELP`] tells.
//!
//! It never settles anything: how the command ended is for the caller to judge.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, Result};
use bbq_client::Delivery;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::record::time;

/// What a command finds, as the help of the flag tells it.
pub(super) const EXEC_HELP: &str = "\
Run a command for each message, with `sh -c`; exit code 0 settles it, else it is given back, or lost where the queue delivers at \
most once.

The body is on standard input. The environment has
  BBQ_QUEUE         where the message is
  BBQ_SEQUENCE      its number there
  BBQ_ATTEMPT       1 at first, more when it comes again
  BBQ_PUBLISHED_AT  such as 2026-11-23T17:00:00.000Z
  BBQ_ORDERING_KEY  empty if it has none
  BBQ_PRIORITY      0 to 9
  BBQ_ATTR_<KEY>    each attribute

A <KEY> is in capitals, with _ for all but ASCII letters and digits. Of attributes that so get one name, such as a-b and a_b, the \
last in the order of their bytes counts: a_b. A value with a NUL byte is left out.";

/// Runs `sh -c command` for a delivery and waits for its end. Dropping the future kills the command.
pub(super) async fn exec(command: &str, delivery: &Delivery) -> Result<ExitStatus> {
    let mut variables = attributes(delivery.attributes());
    variables.push(("BBQ_QUEUE".to_owned(), delivery.queue().to_owned()));
    variables.push(("BBQ_SEQUENCE".to_owned(), delivery.sequence().to_string()));
    variables.push(("BBQ_ATTEMPT".to_owned(), delivery.attempt().to_string()));
    variables.push(("BBQ_PUBLISHED_AT".to_owned(), delivery.published_at().map(time).unwrap_or_default()));
    variables.push(("BBQ_ORDERING_KEY".to_owned(), delivery.message().ordering_key.clone()));
    variables.push(("BBQ_PRIORITY".to_owned(), delivery.message().priority.to_string()));
    run(command, variables, delivery.body()).await
}

async fn run(command: &str, variables: Vec<(String, String)>, body: &[u8]) -> Result<ExitStatus> {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .envs(variables)
        .stdin(Stdio::piped())
        // Ctrl-C is for us: what runs ends in its own time.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("sh can't be run")?;
    let input = child.stdin.take();
    let feed = async move {
        if let Some(mut input) = input
            && let Err(error) = input.write_all(body).await
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return error;
        }
        // All is written, or the command does not want the rest. Its end decides.
        std::future::pending().await
    };
    tokio::select! {
        biased;
        status = child.wait() => status.context("the command's end can't be learned"),
        error = feed => Err(error).context("the command can't be given the body"),
    }
}

/// Attributes as variables, in the order of their keys, so that of two with one name the same one counts each time. A value with a NUL
/// has none: the environment can't hold it.
fn attributes(attributes: &HashMap<String, String>) -> Vec<(String, String)> {
    let name = |key: &str| {
        let part = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        format!("BBQ_ATTR_{}", key.chars().map(part).collect::<String>())
    };
    let possible = attributes.iter().filter(|(_, value)| !value.contains('\0'));
    let in_order: BTreeMap<_, _> = possible.collect();
    in_order.into_iter().map(|(key, value)| (name(key), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Commands run in the tests of the binary. Here they would share this process, and a command that is about to begin holds for a
    // moment whatever lock a store has in it.

    fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let map: HashMap<_, _> =
            pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        attributes(&map)
    }

    #[test]
    fn attributes_become_variables_where_the_environment_can_hold_them() {
        let variables = named(&[("content-type", "a b"), ("nul", "a\0b"), ("größe", "5")]);
        let expected = [("BBQ_ATTR_CONTENT_TYPE", "a b"), ("BBQ_ATTR_GR__E", "5")];
        assert_eq!(variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    /// However a map happens to be laid out.
    #[test]
    fn of_attributes_with_one_name_the_last_counts() {
        for _ in 0..20 {
            let variables = named(&[("a-b", "1"), ("a.b", "2"), ("a_b", "3"), ("A_B", "0"), ("a b", "4")]);
            assert!(variables.iter().all(|(name, _)| name == "BBQ_ATTR_A_B"), "{variables:?}");
            assert_eq!(variables.last().map(|(_, value)| value.as_str()), Some("3"));
        }
    }
}
