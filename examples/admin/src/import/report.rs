//! What became of each row: [`Report`]. It has row numbers and reasons, and never a secret.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::facts::NotTaken;
use crate::print::say;
use crate::problem::Problem;

#[derive(Default)]
pub struct Report {
    pub imported: u64,
    pub already_there: u64,
    /// How many had no end and got one, as the policy allows none without.
    pub ends_given: u64,
    pub labels_changed: Vec<u64>,
    skipped: BTreeMap<String, Vec<u64>>,
    refused: BTreeMap<String, Vec<u64>>,
}

/// How many ranges of rows a line names at most. All of them are in the JSON.
const MOST_RANGES: usize = 20;

impl Report {
    pub fn not_taken(&mut self, row: u64, why: NotTaken) {
        let (reasons, why) = match why {
            NotTaken::Skipped(why) => (&mut self.skipped, why),
            NotTaken::Refused(why) => (&mut self.refused, why),
        };
        reasons.entry(why).or_default().push(row);
    }

    /// Returns whether it has no row.
    pub fn is_empty(&self) -> bool {
        let not_taken = self.skipped.len() + self.refused.len();
        self.imported + self.already_there == 0 && not_taken == 0
    }

    pub fn refused(&self) -> usize {
        self.refused.values().map(Vec::len).sum()
    }

    pub fn say(&self, json: bool) -> Result<(), Problem> {
        if json {
            return say(self.json());
        }
        say(format_args!("imported {}", self.imported))?;
        say(format_args!("already there {}", self.already_there))?;
        for (heading, reasons) in [("skipped", &self.skipped), ("refused", &self.refused)] {
            let count: usize = reasons.values().map(Vec::len).sum();
            say(format_args!("{heading} {count}"))?;
            for (why, rows) in reasons {
                say(format_args!("  {why}: {}", ranges(rows)))?;
            }
        }
        if !self.labels_changed.is_empty() {
            let rows = ranges(&self.labels_changed);
            say(format_args!("labels cut, cleaned or made up: {rows}"))?;
        }
        if self.ends_given > 0 {
            say(format_args!(
                "{} had no end, which the policy does not allow; they end after its default life",
                self.ends_given
            ))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let reasons = |reasons: &BTreeMap<String, Vec<u64>>| -> Value {
            reasons.iter().map(|(why, rows)| json!({ "reason": why, "rows": rows })).collect()
        };
        json!({
            "imported": self.imported,
            "already_there": self.already_there,
            "skipped": reasons(&self.skipped),
            "refused": reasons(&self.refused),
            "labels_changed": self.labels_changed,
            "ends_given": self.ends_given,
        })
    }
}

/// Writes row numbers as ranges: "rows 3, 7-9".
fn ranges(rows: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for row in rows {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *row => *last = *row,
            _ => ranges.push((*row, *row)),
        }
    }
    let written = ranges.iter().take(MOST_RANGES).map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    let word = if rows.len() == 1 { "row" } else { "rows" };
    let more = match ranges.len().saturating_sub(MOST_RANGES) {
        0 => String::new(),
        _ => format!(" and more, {} in all; --json has each", rows.len()),
    };
    format!("{word} {}{more}", written.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_numbers_are_written_as_ranges_and_many_are_cut() {
        assert_eq!(ranges(&[3]), "row 3");
        assert_eq!(ranges(&[3, 7, 8, 9, 11]), "rows 3, 7-9, 11");
        let many: Vec<u64> = (0..1_000).map(|row| 2 * row).collect();
        let said = ranges(&many);
        assert!(said.ends_with(", 38 and more, 1000 in all; --json has each"), "{said}");
    }
}
