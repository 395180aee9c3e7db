//! Tables for people: columns as wide as they must be, numbers to the right, and no column that says nothing.

use std::iter::once;

/// A column's title, and on which side its cells stand. A body of digits is a text: what a column is does not hang on what it holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    /// To the left.
    Text(&'static str),
    /// To the right.
    Number(&'static str),
}

/// Lines without a last line break. Control characters are shown, not sent to the terminal. A column that is empty in every row is
/// left out.
pub(super) fn table<'a, const N: usize>(
    columns: [Column; N],
    rows: impl Iterator<Item = &'a [String; N]>,
) -> String {
    let rows: Vec<[String; N]> =
        rows.map(|cells| std::array::from_fn(|column| visible(&cells[column]))).collect();
    let titles = columns.map(|(Column::Text(title) | Column::Number(title))| title.to_owned());
    let width = |column: usize| {
        once(&titles).chain(&rows).map(|cells| cells[column].chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let is_shown = |column: &usize| rows.is_empty() || rows.iter().any(|cells| !cells[*column].is_empty());
    let shown: Vec<usize> = (0..N).filter(is_shown).collect();
    let line = |cells: &[String; N]| {
        let padded = shown.iter().map(|&column| {
            let (cell, width) = (&cells[column], widths[column]);
            match columns[column] {
                Column::Text(_) => format!("{cell:<width$}"),
                Column::Number(_) => format!("{cell:>width$}"),
            }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    once(&titles).chain(&rows).map(line).collect::<Vec<_>>().join("\n")
}

/// The text with control characters written out.
pub(super) fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, character| {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::Column::{Number, Text};
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            ["jobs".to_owned(), "9".to_owned(), "a".to_owned()],
            ["grün".to_owned(), "1200".to_owned(), String::new()],
        ];
        let expected = "\
NAME  READY  NOTE
jobs      9  a
grün   1200";
        assert_eq!(table([Text("NAME"), Number("READY"), Text("NOTE")], rows.iter()), expected);
    }

    /// Else one row more could turn a column around.
    #[test]
    fn a_column_of_texts_that_are_digits_stays_on_its_side() {
        let rows = [["1", "5"], ["12", "1234"]].map(|cells| cells.map(str::to_owned));
        let expected = "\
BODY  READY
1         5
12     1234";
        assert_eq!(table([Text("BODY"), Number("READY")], rows.iter()), expected);
    }

    #[test]
    fn a_column_that_says_nothing_is_left_out() {
        let rows = [["a", "", ""], ["b", "", "1"]].map(|cells| cells.map(str::to_owned));
        let columns = [Text("NAME"), Number("DEAD"), Number("SIZE")];
        assert_eq!(table(columns, rows.iter()), "NAME  SIZE\na\nb        1");
        assert_eq!(table(columns, [].iter()), "NAME  DEAD  SIZE");
    }

    #[test]
    fn a_body_cannot_drive_the_terminal() {
        let rows = [["\u{1b}[2J\n".to_owned()]];
        assert_eq!(table([Text("BODY")], rows.iter()), "BODY\n\\u{1b}[2J\\n");
    }
}
