//! Standard output: lines for people, or one JSON object a line.
//!
//! Always true: what was printed is with the reader's end of the pipe when the call returns, so a message may be settled
//! after it. A reader who has had enough is no failure: see [`OutputClosed`].

use std::fmt;
use std::io::{self, IsTerminal as _, Stdout, Write};

use anyhow::{Result, anyhow};
use serde_json::Value;

use super::Global;
use super::table::{Column, table};

/// Whoever read the output has gone; the process ends quietly.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the output has gone")]
pub struct OutputClosed;

/// Where results go.
pub(super) struct Output<W = Stdout> {
    shape: Shape,
    out: W,
    /// Lines of the terminal, if it is one.
    height: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    People,
    Json,
}

impl Output {
    /// To standard output, as the flags say.
    pub(super) fn new(global: &Global) -> Self {
        let out = io::stdout();
        let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok()).flatten();
        // Some terminals do not say; then it is the height that they all used to have.
        let height = size.map(|size| if size.ws_row == 0 { 24 } else { usize::from(size.ws_row) });
        Self { shape: if global.json { Shape::Json } else { Shape::People }, out, height }
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
        columns: [Column; N],
        rows: &[([String; N], Value)],
        none: &str,
    ) -> Result<()> {
        match self.shape {
            Shape::Json => rows.iter().try_for_each(|(_, json)| self.line(json.to_string().as_bytes())),
            Shape::People if rows.is_empty() => {
                eprintln!("{none}");
                Ok(())
            }
            Shape::People => self.line(table(columns, rows.iter().map(|(cells, _)| cells)).as_bytes()),
        }
    }

    /// A table that takes the place of the one before if standard output is a terminal, cut to its height.
    pub(super) fn screen<const N: usize>(
        &mut self,
        note: &str,
        columns: [Column; N],
        rows: &[[String; N]],
        json: impl FnOnce() -> Value,
    ) -> Result<()> {
        if self.shape == Shape::Json {
            return self.line(json().to_string().as_bytes());
        }
        let Some(height) = self.height else {
            return self.line(format!("{note}\n{}\n", table(columns, rows.iter())).as_bytes());
        };
        let fitting = rows.len().min(height.saturating_sub(3));
        let cut = if fitting < rows.len() { "\n…" } else { "" };
        // Home, and nothing below: no flicker, and nothing of the table before is left.
        let shown = format!("\x1b[H\x1b[2J{note}\n{}{cut}", table(columns, rows[..fitting].iter()));
        self.line(shown.as_bytes())
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
        let mut output = Output { shape, out: Vec::new(), height: None };
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
        let print =
            |output: &mut Output<Vec<u8>>| output.rows([Column::Text("NAME")], &rows, "no queues").unwrap();
        assert_eq!(printed(Shape::Json, print), "{\"name\":\"a\"}\n{\"name\":\"b\"}\n");
        assert_eq!(printed(Shape::People, print), "NAME\na\nb\n");
        assert_eq!(printed(Shape::Json, |o| o.rows([Column::Text("NAME")], &[], "none").unwrap()), "");
    }

    #[test]
    fn a_screen_is_redrawn_on_a_terminal_and_fits_it() {
        let rows = [["a".to_owned()], ["b".to_owned()], ["c".to_owned()]];
        let drawn = |shape, height| {
            let mut output = Output { shape, out: Vec::new(), height };
            output.screen("now", [Column::Text("NAME")], &rows, || json!({"n": 3})).unwrap();
            String::from_utf8(output.out).unwrap()
        };
        assert_eq!(drawn(Shape::Json, Some(5)), "{\"n\":3}\n");
        assert_eq!(drawn(Shape::People, None), "now\nNAME\na\nb\nc\n\n");
        assert_eq!(drawn(Shape::People, Some(9)), "\x1b[H\x1b[2Jnow\nNAME\na\nb\nc\n");
        assert_eq!(drawn(Shape::People, Some(5)), "\x1b[H\x1b[2Jnow\nNAME\na\nb\n…\n");
    }

    #[test]
    fn a_reader_who_has_gone_is_told_apart() {
        let mut output = Output { shape: Shape::People, out: Gone, height: None };
        assert!(output.record("x", &Value::Null).unwrap_err().is::<OutputClosed>());
    }
}
