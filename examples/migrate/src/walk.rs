//! A walk through all rows of both sides, range by range: what differs is copied, or told.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use privet::Result;

use crate::progress::Progress;
use crate::rows::{Hash, Range, Row, hash_of, row_hash};
use crate::source::{Source, as_u64};
use crate::tables::{KEYS, LEDGER, TABLES, Table};
use crate::target::Target;

/// A connection that says nothing for some minutes is cut on many a way, and the locks of this move with it.
const STAY: Duration = Duration::from_secs(30);

/// What is done about a range that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Copy,
    /// Copied, and compared again: where nobody writes to SQLite any more, that is how both sides stay.
    Settle,
    Compare,
}

/// What a walk found in a table.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TableReport {
    /// Its name.
    pub table: &'static str,
    /// Rows in SQLite.
    pub rows: u64,
    /// Rows in PostgreSQL; before anything was copied, unless that was compared again.
    pub found: u64,
    /// Over the hashes of the rows in SQLite.
    pub hash: [u8; 32],
    /// Whether every range was equal when it was looked at last.
    pub equal: bool,
    /// Rows that were written.
    pub written: u64,
    /// Rows that were taken out, because they were gone or others.
    pub removed: u64,
}

/// Keys first, so that what was erased meanwhile is beyond reading soonest.
fn tables() -> impl Iterator<Item = &'static Table> {
    [&KEYS].into_iter().chain(TABLES).chain([&LEDGER])
}

pub(crate) struct Walk<'a> {
    pub(crate) source: &'a Source,
    pub(crate) target: &'a mut Target,
    /// So many rows are looked at, at once.
    pub(crate) batch: usize,
    pub(crate) progress: &'a Progress,
    /// When every connection was last used.
    pub(crate) stayed: Instant,
}

impl Walk<'_> {
    pub(crate) async fn all(&mut self, what: &str, act: Act) -> Result<Vec<TableReport>> {
        let counts = tables().map(|table| self.source.count(table)).collect::<Result<Vec<_>>>()?;
        self.progress.begin(what, counts.iter().sum());
        let mut reports = Vec::new();
        for table in tables() {
            self.progress.table(table.name);
            let report = self.table(table, act).await?;
            self.progress.done(table.name, report.rows);
            reports.push(report);
        }
        self.progress.end();
        Ok(reports)
    }

    async fn table(&mut self, table: &'static Table, act: Act) -> Result<TableReport> {
        let mut report = TableReport {
            table: table.name,
            rows: 0,
            found: 0,
            hash: [0; 32],
            equal: true,
            written: 0,
            removed: 0,
        };
        let mut groups = self.source.groups(table)?;
        let known: HashSet<_> = groups.iter().cloned().collect();
        groups.extend(self.target.groups(table).await?.into_iter().filter(|group| !known.contains(group)));
        let mut ranges: Vec<Hash> = Vec::new();
        for group in groups {
            let mut range = Range { group, after: None, to: None };
            loop {
                let rows = self.source.rows(table, &range, self.batch)?;
                let last = rows.last().and_then(|row| row.get(table.group..table.key)).map(<[_]>::to_vec);
                // The last range has no end: what the other side has beyond it is too much.
                range.to = last.filter(|_| rows.len() >= self.batch);
                ranges.push(self.range(table, &range, &rows, act, &mut report).await?);
                self.progress.advance(as_u64(rows.len()));
                if self.stayed.elapsed() > STAY {
                    self.target.stay().await?;
                    self.stayed = Instant::now();
                }
                match range.to.take() {
                    Some(end) => range.after = Some(end),
                    None => break,
                }
            }
        }
        report.hash = hash_of(&ranges);
        Ok(report)
    }

    async fn range(
        &mut self,
        table: &Table,
        range: &Range,
        rows: &[Row],
        act: Act,
        report: &mut TableReport,
    ) -> Result<Hash> {
        let hashes: Vec<Hash> = rows.iter().map(|row| row_hash(row)).collect();
        let hash = hash_of(&hashes);
        report.rows += as_u64(rows.len());
        let same = |(found, theirs): (u64, Option<Hash>)| {
            found == as_u64(rows.len()) && theirs.map_or(rows.is_empty(), |theirs| theirs == hash)
        };
        let there = self.target.hash(table, range, rows.len()).await?;
        let found = there.0;
        if same(there) {
            report.found += found;
            return Ok(hash);
        }
        if act != Act::Compare {
            self.replace(table, range, rows, &hashes, report).await?;
        }
        let left = if act == Act::Settle { self.target.hash(table, range, rows.len()).await? } else { there };
        report.found += left.0;
        report.equal &= same(left);
        Ok(hash)
    }

    /// Makes a range of the other side what it is on this one. What the other side has is gone through part by part: it may be
    /// far more.
    async fn replace(
        &mut self,
        table: &Table,
        range: &Range,
        rows: &[Row],
        hashes: &[Hash],
        report: &mut TableReport,
    ) -> Result<()> {
        let name = |row: &Row| row.get(..table.key).unwrap_or_default().to_vec();
        let mut missing: HashMap<_, _> =
            rows.iter().zip(hashes).map(|(row, hash)| (name(row), (row, *hash))).collect();
        let mut part = range.clone();
        loop {
            // One more than there are on this side, if both are as long.
            let there = self.target.hashes(table, &part, self.batch.saturating_add(1)).await?;
            let last = there.last().and_then(|(name, _)| name.get(table.group..)).map(<[_]>::to_vec);
            let goes_on = there.len() > self.batch;
            let mut remove = Vec::new();
            for (name, theirs) in there {
                match missing.get(&name) {
                    Some((_, ours)) if theirs == Some(*ours) => drop(missing.remove(&name)),
                    _ => remove.push(name),
                }
            }
            // With the last of what goes, so that a row is replaced all at once.
            let insert: Vec<Row> =
                if goes_on { Vec::new() } else { missing.values().map(|(row, _)| (*row).clone()).collect() };
            report.removed += as_u64(remove.len());
            report.written += as_u64(insert.len());
            self.target.replace(table, &range.group, &remove, &insert).await?;
            if !goes_on {
                return Ok(());
            }
            part.after = last;
        }
    }
}
