//! A walk through all rows of both sides, range by range: what differs is copied, or told.

use std::collections::HashSet;

use privet::Result;

use crate::progress::Progress;
use crate::rows::{Hash, Range, Row, hash_of, row_hash};
use crate::source::{Source, as_u64};
use crate::tables::{KEYS, LEDGER, TABLES, Table};
use crate::target::Target;

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
            found == as_u64(rows.len()) && theirs.is_none_or(|theirs| theirs == hash)
        };
        let there = self.target.hash(table, range).await?;
        let found = there.0;
        if same(there) {
            report.found += found;
            return Ok(hash);
        }
        if act != Act::Compare {
            let mut there =
                if found == 0 { Default::default() } else { self.target.hashes(table, range).await? };
            let (mut remove, mut insert) = (Vec::new(), Vec::new());
            for (row, hash) in rows.iter().zip(hashes) {
                let name = row.get(..table.key).unwrap_or_default();
                match there.remove_entry(name) {
                    Some((_, found)) if found == Some(hash) => {}
                    Some((name, _)) => {
                        remove.push(name);
                        insert.push(row.clone());
                    }
                    None => insert.push(row.clone()),
                }
            }
            remove.extend(there.into_keys());
            report.written += as_u64(insert.len());
            report.removed += as_u64(remove.len());
            self.target.replace(table, &range.group, &remove, &insert).await?;
        }
        let left = if act == Act::Settle { self.target.hash(table, range).await? } else { there };
        report.found += left.0;
        report.equal &= same(left);
        Ok(hash)
    }
}
