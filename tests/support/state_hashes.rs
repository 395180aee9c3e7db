//! The file of `broker.state_hashes`: what a replay must reproduce.
//!
//! Each start of a server first appends a line for each entry that it replays, then one for each entry of its own. An entry
//! that was appended but not yet written when the server was killed is gone, and its index is another entry's after the next
//! start. So each start is compared with what was true before it, and what lies past the last entry that it found is void.

use std::collections::BTreeMap;
use std::path::Path;

/// What is known of the hashes so far.
#[derive(Debug, Default)]
pub struct StateHashes {
    /// The hash after each entry that counts.
    known: BTreeMap<u64, u64>,
    /// Bytes of the file that were read.
    read: usize,
    /// How many replayed entries were compared.
    pub compared: u64,
}

impl StateHashes {
    /// Reads what one start of a server wrote; `replayed` is how many entries it replayed, or none if it did not come so far
    /// as to say: then it had none of its own yet.
    pub fn read_run(&mut self, file: &Path, replayed: Option<usize>) -> Result<(), String> {
        // A server that was killed early enough made no file.
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let run = &text[self.read..];
        // The last line may be cut short by the kill.
        let whole = run.rfind('\n').map_or(0, |at| at + 1);
        let run = run[..whole].to_owned();
        self.read += whole;
        self.take_run(&run, replayed)
    }

    fn take_run(&mut self, run: &str, replayed: Option<usize>) -> Result<(), String> {
        let lines = run.lines().map(parse).collect::<Option<Vec<_>>>().ok_or("a line is not `index hash`")?;
        if let Some(gap) = lines.windows(2).find(|pair| pair[0].0 + 1 != pair[1].0) {
            return Err(format!("entry {} is followed by entry {}", gap[0].0, gap[1].0));
        }
        let (found, own) = lines.split_at(replayed.unwrap_or(lines.len()).min(lines.len()));
        for &(index, hash) in found {
            match self.known.get(&index) {
                Some(&known) if known != hash => {
                    return Err(format!("entry {index} left {known:016x}, its replay {hash:016x}"));
                }
                Some(_) => self.compared += 1,
                // Killed between the entry and its line: only the last one can be.
                None if self.known.range(index..).next().is_none() => _ = self.known.insert(index, hash),
                None => return Err(format!("entry {index} was replayed, and never appended")),
            }
        }
        let Some(&(first_own, _)) = own.first() else {
            // Killed after its replay: it may have appended an entry, and not yet the line.
            if replayed.is_some_and(|count| count == found.len()) {
                let end = found.last().map_or(0, |(last, _)| last + 1);
                self.known.split_off(&end);
            }
            return Ok(());
        };
        if let Some((last, _)) = found.last().filter(|(last, _)| last + 1 != first_own) {
            return Err(format!("after replaying up to {last}, entry {first_own} was appended"));
        }
        self.known.split_off(&first_own);
        self.known.extend(own.iter().copied());
        Ok(())
    }
}

fn parse(line: &str) -> Option<(u64, u64)> {
    let (index, hash) = line.split_once(' ')?;
    Some((index.parse().ok()?, u64::from_str_radix(hash, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(runs: &[(&str, usize)]) -> Result<u64, String> {
        let mut hashes = StateHashes::default();
        for (run, replayed) in runs {
            hashes.take_run(run, Some(*replayed))?;
        }
        Ok(hashes.compared)
    }

    #[test]
    fn a_replay_must_give_the_same_hashes() {
        assert_eq!(after(&[("1 a\n2 b\n3 c\n", 0), ("2 b\n3 c\n4 d\n", 2)]), Ok(2));
        assert!(after(&[("1 a\n2 b\n3 c\n", 0), ("2 b\n3 d\n", 2)]).is_err());
        // Also those that were replayed before.
        assert!(after(&[("1 a\n2 b\n", 0), ("1 a\n2 b\n3 c\n", 2), ("2 d\n3 c\n", 2)]).is_err());
    }

    #[test]
    fn an_entry_that_was_not_written_makes_room_for_another() {
        assert_eq!(after(&[("1 a\n2 b\n3 c\n", 0), ("2 b\n3 d\n", 1), ("3 d\n4 e\n", 1)]), Ok(2));
        assert_eq!(after(&[("1 a\n2 b\n3 c\n", 0), ("2 d\n", 0), ("2 d\n3 f\n", 1)]), Ok(1));
    }

    #[test]
    fn a_start_that_wrote_no_line_of_its_own_may_have_written_an_entry() {
        assert_eq!(after(&[("1 a\n2 b\n3 c\n", 0), ("2 b\n", 1), ("2 b\n3 d\n4 e\n", 2)]), Ok(2));
        assert_eq!(after(&[("1 a\n2 b\n", 0), ("", 0), ("2 d\n3 e\n", 1)]), Ok(0));
    }

    #[test]
    fn a_line_may_be_missing_at_the_end_and_nowhere_else() {
        assert_eq!(after(&[("1 a\n", 0), ("1 a\n2 b\n3 c\n", 2), ("2 b\n3 c\n", 2)]), Ok(3));
        assert!(after(&[("1 a\n3 b\n", 0)]).is_err());
        assert!(after(&[("1 a\n2 b\n", 0), ("1 a\n3 b\n", 1)]).is_err());
    }
}
