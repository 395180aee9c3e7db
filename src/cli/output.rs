//! Standard output: lines for people, or one JSON object a line.
//!
//! Always true: what was printed is with the reader's end of the pipe when the call returns, so a message may be settled
//! after it. A reader who has had enough is no failure: see [`OutputClosed`].

use std::fmt;
use std::io::{self, Stdout, Write};

use anyhow::{Result, anyhow};
use serde_json::Value;

use super::Global;
use super::table::table;

/// Whoever read the output has gone; the process ends quietly.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the output has gone")]
pub struct OutputClosed;

/// Where results go.
pub(super) struct Output<W = Stdout> {
    shape: Shape,
    out: W,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    People,
    Json,
}

impl Output {
    /// To standard output, as the flags say.
    pub(super) fn new(global: &Global) -> Self {
        Self { shape: if global.json { Shape::Json } else { Shape::People }, out: io::stdout() }
    }
}

impl<W: Write> Output<W> {
    /// One result.
    pub(super) fn record(&mut self, people: impl fmt::Display, json: &Value) -> Result<()> {
        match self.shape {
            Shape::People => self.line(people.to_string().as_bytes()),
            Shape::Json => self.line(json.to_string().as_bytes()),
        }
    }

    /// One message: its bytes as they are, or all of it.
    pub(super) fn message(&mut self, people: &[u8], json: impl FnOnce() -> Value) -> Result<()> {
        match self.shape {
            Shape::People => self.line(people),
            Shape::Json => self.line(json().to_string().as_bytes()),
        }
    }

    /// One result that people need not hear of.
    pub(super) fn note(&mut self, json: &Value) -> Result<()> {
        match self.shape {
            Shape::People => Ok(()),
            Shape::Json => self.line(json.to_string().as_bytes()),
        }
    }

    /// Many results of a kind. People get no table without rows, but the words in `none`.
    pub(super) fn rows<const N: usize>(
        &mut self,
        titles: [&str; N],
        rows: &[([String; N], Value)],
        none: &str,
    ) -> Result<()> {
        match self.shape {
            Shape::Json => rows.iter().try_for_each(|(_, json)| self.line(json.to_string().as_bytes())),
            Shape::People if rows.is_empty() => {
                eprintln!("{none}");
                Ok(())
            }
            Shape::People => self.line(table(titles, rows.iter().map(|(cells, _)| cells)).as_bytes()),
        }
    }

    fn line(&mut self, text: &[u8]) -> Result<()> {
        // One write for the whole line: another process on the same pipe does not get between.
        let mut line = Vec::with_capacity(text.len() + 1);
        line.extend_from_slice(text);
        line.push(b'\n');
        self.out.write_all(&line).and_then(|()| self.out.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => OutputClosed.into(),
            _ => anyhow!("standard output can't be written: {error}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printed(shape: Shape, print: impl FnOnce(&mut Output<Vec<u8>>)) -> String {
        let mut output = Output { shape, out: Vec::new() };
        print(&mut output);
        String::from_utf8(output.out).unwrap()
    }

    #[test]
    fn each_result_is_a_line_in_either_shape() {
        let print = |output: &mut Output<Vec<u8>>| {
            output.record("acked 2", &json!({"acked": 2})).unwrap();
            output.message(b"hello", || json!({"body": "a\nb"})).unwrap();
        };
        assert_eq!(printed(Shape::People, print), "acked 2\nhello\n");
        assert_eq!(printed(Shape::Json, print), "{\"acked\":2}\n{\"body\":\"a\\nb\"}\n");
    }

    #[test]
    fn json_has_no_table_around_it() {
        let rows = [(["a".to_owned()], json!({"name": "a"})), (["b".to_owned()], json!({"name": "b"}))];
        let print = |output: &mut Output<Vec<u8>>| output.rows(["NAME"], &rows, "no queues").unwrap();
        assert_eq!(printed(Shape::Json, print), "{\"name\":\"a\"}\n{\"name\":\"b\"}\n");
        assert_eq!(printed(Shape::People, print), "NAME\na\nb\n");
        assert_eq!(printed(Shape::Json, |o| o.rows(["NAME"], &[], "none").unwrap()), "");
    }

    #[test]
    fn a_reader_who_has_gone_is_told_apart() {
        let mut output = Output { shape: Shape::People, out: Gone };
        assert!(output.record("x", &Value::Null).unwrap_err().is::<OutputClosed>());
    }
}
