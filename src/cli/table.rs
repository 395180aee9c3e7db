//! Tables for people: columns as wide as they must be, numbers to the right.

use std::iter::once;

/// Lines without a last line break. Control characters are shown, not sent to the terminal.
pub(super) fn table<'a, const N: usize>(
    titles: [&str; N],
    rows: impl Iterator<Item = &'a [String; N]>,
) -> String {
    let rows: Vec<[String; N]> =
        rows.map(|cells| std::array::from_fn(|column| visible(&cells[column]))).collect();
    let titles = titles.map(str::to_owned);
    let width = |column: usize| {
        once(&titles).chain(&rows).map(|cells| cells[column].chars().count()).max().unwrap_or_default()
    };
    let is_number = |column: usize| {
        let digits = |cell: &String| !cell.is_empty() && cell.bytes().all(|b| b.is_ascii_digit());
        !rows.is_empty() && rows.iter().all(|cells| digits(&cells[column]))
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let numbers: [bool; N] = std::array::from_fn(is_number);
    let line = |cells: &[String; N]| {
        let padded = cells.iter().zip(widths).zip(numbers).map(|((cell, width), is_number)| {
            if is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
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
        assert_eq!(table(["NAME", "READY", "NOTE"], rows.iter()), expected);
    }

    #[test]
    fn a_body_cannot_drive_the_terminal() {
        let rows = [["\u{1b}[2J\n".to_owned()]];
        assert_eq!(table(["BODY"], rows.iter()), "BODY\n\\u{1b}[2J\\n");
    }
}
