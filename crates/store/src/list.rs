//! Lists that go on where they were left: one shape of query for all of them.
//!
//! A list is read along an index, whose columns are its sort key. What narrows it down is either served by that index, or looked at row
//! by row; then at most [`MAX_EXAMINED`] rows are looked at for one part of the list, and a part that has fewer rows than it may have
//! says where to go on. So no part of a list costs more than a bounded walk, however long the list is and however few rows are wanted.

use crate::pool::{Pool, on_pool};
use crate::row::Columns;
use crate::{DatabaseError, MAX_PAGE, Store};
use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;
use std::fmt::Write as _;
use uuid::Uuid;

/// Most rows that one part of a list looks at which its index cannot leave out: some 20 ms of work.
pub const MAX_EXAMINED: u32 = 10_000;

/// Most rows that are counted exactly: some 200 ms of work.
pub const MAX_COUNTED: u32 = 1_000_000;

/// A place in a list: the sort key of a row. The list goes on after it, whether the row is still there or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position(Vec<KeyPart>);

/// One column of a sort key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum KeyPart {
    #[serde(rename = "i")]
    Integer(i64),
    #[serde(rename = "t")]
    Text(String),
    #[serde(rename = "u")]
    Uuid(Uuid),
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Where to go on; `None` is the beginning.
    pub after: Option<Position>,
    /// How many to pass over.
    pub skip: u32,
    /// How many to give, at most [`MAX_PAGE`].
    pub limit: u32,
    /// Whether the list is asked for in its other direction.
    pub reversed: bool,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where to go on; `None` at the end of the list. There may be more though rows are fewer than were asked for, or none.
    pub next: Option<Position>,
}

/// How a list is sorted, and so what its positions are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortKey {
    columns: &'static [(&'static str, KeyKind)],
    /// Greatest first, unless the list is asked for reversed.
    descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Integer,
    Text,
    Uuid,
}

impl SortKey {
    pub(crate) const fn ascending(columns: &'static [(&'static str, KeyKind)]) -> Self {
        Self { columns, descending: false }
    }

    pub(crate) const fn descending(columns: &'static [(&'static str, KeyKind)]) -> Self {
        Self { columns, descending: true }
    }

    /// Whether a position can be one of a list of this sort: clients hand positions in, as they like.
    #[must_use]
    pub fn has(&self, position: &Position) -> bool {
        let fits = |(part, (_, kind)): (&KeyPart, &(&str, KeyKind))| match part {
            KeyPart::Integer(_) => *kind == KeyKind::Integer,
            // PostgreSQL knows no text with NUL.
            KeyPart::Text(text) => *kind == KeyKind::Text && !text.contains('\0'),
            KeyPart::Uuid(_) => *kind == KeyKind::Uuid,
        };
        position.0.len() == self.columns.len() && position.0.iter().zip(self.columns).all(fits)
    }

    fn position<R: Columns>(&self, row: &R) -> Result<Position, DatabaseError> {
        let part = |(name, kind): &(&'static str, KeyKind)| {
            Ok(match kind {
                KeyKind::Integer => KeyPart::Integer(row.integer(name)?),
                KeyKind::Text => KeyPart::Text(row.text(name)?),
                KeyKind::Uuid => KeyPart::Uuid(row.uuid(name)?),
            })
        };
        self.columns.iter().map(part).collect::<Result<_, _>>().map(Position)
    }

    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

impl Part {
    /// A part by the number of rows before it.
    #[must_use]
    pub const fn page(skip: u32, limit: u32) -> Self {
        Self { after: None, skip, limit, reversed: false }
    }

    const fn limit(&self) -> u32 {
        if self.limit < MAX_PAGE { self.limit } else { MAX_PAGE }
    }
}

/// A value that a condition compares with.
#[derive(Clone, Debug)]
pub(crate) enum Bound {
    Integer(i64),
    Text(String),
    Uuid(Uuid),
}

/// What rows of a list must be like. Columns are names in this source, never text of a client.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Is(&'static str, Bound),
    IsOneOf(&'static str, Vec<Bound>),
    /// It holds one of these texts, upper or lower case.
    Holds(&'static str, Vec<String>),
    /// Written out, without values.
    Plain(&'static str),
    After(&'static str, i64),
    Before(&'static str, i64),
}

/// A list: what of which table, narrowed down how, sorted how.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) table: &'static str,
    /// The index along which SQLite must read, where it would choose another one: without statistics it takes a span of time for rarer
    /// than a number.
    pub(crate) index: Option<&'static str>,
    pub(crate) columns: &'static str,
    pub(crate) key: SortKey,
    /// What the index of the sort key begins with: one index serves all of these, and then the sort key.
    pub(crate) narrow: Vec<Condition>,
    /// What is looked at row by row.
    pub(crate) wide: Vec<Condition>,
    /// Bounds of the first column of the sort key, both included.
    pub(crate) from: Option<i64>,
    pub(crate) to: Option<i64>,
}

/// Reads rows of either backend.
pub(crate) trait ReadRow {
    type Row;

    fn read<R: Columns>(&self, row: &R) -> Result<Self::Row, DatabaseError>;
}

/// Whose statements are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend {
    Sqlite,
    Postgres,
}

/// A statement with its values, in the order of their places `$1`, `$2`…
struct Statement {
    sql: String,
    values: Vec<Bound>,
}

/// Binds the values of a statement, on either backend.
macro_rules! bound {
    ($statement:expr) => {{
        let Statement { sql, values } = $statement;
        // Made of names in this source and of places for values.
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in values {
            query = match value {
                Bound::Integer(number) => query.bind(number),
                Bound::Text(text) => query.bind(text),
                Bound::Uuid(uuid) => query.bind(uuid),
            };
        }
        query
    }};
}

impl Store {
    /// A part of a list.
    pub(crate) async fn list<T: ReadRow>(
        &self,
        listing: &Listing,
        part: &Part,
        reader: &T,
    ) -> Result<Listed<T::Row>, DatabaseError> {
        let limit = part.limit();
        on_pool!(self, pools => {
            let backend = self.backend();
            let end = if listing.wide.is_empty() {
                None
            } else {
                let last = bound!(listing.end_of_walk(backend, part)).fetch_optional(&pools.reader).await?;
                last.map(|row| listing.key.position(&row)).transpose()?
            };
            let mut found = bound!(listing.select(backend, part, end.as_ref())).fetch_all(&pools.reader).await?;
            let has_more = found.len() > limit as usize;
            found.truncate(limit as usize);
            let next = match found.last().filter(|_| has_more) {
                Some(last) => Some(listing.key.position(last)?),
                None => end,
            };
            let rows = found.iter().map(|row| reader.read(row)).collect::<Result<_, _>>()?;
            Ok(Listed { rows, next })
        })
    }

    /// How many rows a list has; `None` of more than [`MAX_COUNTED`].
    pub(crate) async fn count(&self, listing: &Listing) -> Result<Option<u64>, DatabaseError> {
        let counted: u64 = on_pool!(self, pools => {
            bound!(listing.counted(self.backend())).fetch_one(&pools.reader).await?.number("counted")?
        });
        Ok(Some(counted).filter(|counted| *counted <= u64::from(MAX_COUNTED)))
    }

    /// How the database would read a part of a list, as it says so itself.
    pub(crate) async fn explain(&self, listing: &Listing, part: &Part) -> Result<Vec<String>, DatabaseError> {
        let backend = self.backend();
        let (explain, column) = match backend {
            Backend::Sqlite => ("EXPLAIN QUERY PLAN ", "detail"),
            Backend::Postgres => ("EXPLAIN ", "QUERY PLAN"),
        };
        // Plans depend on the shape of the query, so that any position will do.
        let end = part.after.as_ref().filter(|_| !listing.wide.is_empty());
        let mut steps = Vec::new();
        on_pool!(self, pools => {
            for mut statement in [listing.select(backend, part, end), listing.end_of_walk(backend, part)] {
                statement.sql.insert_str(0, explain);
                for row in bound!(statement).fetch_all(&pools.reader).await? {
                    steps.push(row.text(column)?);
                }
            }
        });
        Ok(steps)
    }

    fn backend(&self) -> Backend {
        match self.pool() {
            Pool::Sqlite(_) => Backend::Sqlite,
            Pool::Postgres(_) => Backend::Postgres,
        }
    }
}

impl Listing {
    const fn is_descending(&self, part: &Part) -> bool {
        self.key.descending != part.reversed
    }

    /// The rows of a part and one more, up to the end of the walk.
    fn select(&self, backend: Backend, part: &Part, end: Option<&Position>) -> Statement {
        let mut statement = Statement::new(format!("SELECT {} FROM {}", self.columns, self.source(backend)));
        self.push_conditions(&mut statement, part, end, true);
        self.push_order(&mut statement, part);
        statement.push(" LIMIT ").push_value(Bound::Integer(i64::from(part.limit()) + 1));
        statement.push(" OFFSET ").push_value(Bound::Integer(part.skip.into()));
        statement
    }

    /// The last row that may be looked at for a part.
    fn end_of_walk(&self, backend: Backend, part: &Part) -> Statement {
        let mut statement = Statement::new(format!("SELECT {} FROM {}", self.key.names(), self.source(backend)));
        self.push_conditions(&mut statement, part, None, false);
        self.push_order(&mut statement, part);
        statement.push(" LIMIT 1 OFFSET ").push_value(Bound::Integer(i64::from(MAX_EXAMINED) - 1));
        statement
    }

    fn counted(&self, backend: Backend) -> Statement {
        let mut statement =
            Statement::new(format!("SELECT count(*) AS counted FROM (SELECT 1 FROM {}", self.source(backend)));
        self.push_conditions(&mut statement, &Part::default(), None, true);
        statement.push(" LIMIT ").push_value(Bound::Integer(i64::from(MAX_COUNTED) + 1));
        statement.push(") AS listed");
        statement
    }

    fn source(&self, backend: Backend) -> String {
        match self.index.filter(|_| backend == Backend::Sqlite) {
            Some(index) => format!("{} INDEXED BY {index}", self.table),
            None => self.table.to_owned(),
        }
    }

    fn push_conditions(&self, statement: &mut Statement, part: &Part, end: Option<&Position>, with_wide: bool) {
        let wide = if with_wide { self.wide.as_slice() } else { &[] };
        let mut word = " WHERE ";
        for condition in self.narrow.iter().chain(wide) {
            statement.push(word).push_condition(condition);
            word = " AND ";
        }
        self.push_bounds(statement, part, end);
        let (after, until) = if self.is_descending(part) { (" < ", " >= ") } else { (" > ", " <= ") };
        for (position, comparison) in [(part.after.as_ref(), after), (end, until)] {
            let Some(Position(parts)) = position else { continue };
            statement.push(" AND (").push(&self.key.names()).push(")").push(comparison).push("(");
            for (place, part) in parts.iter().enumerate() {
                statement.push(if place > 0 { ", " } else { "" }).push_value(match part {
                    KeyPart::Integer(number) => Bound::Integer(*number),
                    KeyPart::Text(text) => Bound::Text(text.clone()),
                    KeyPart::Uuid(uuid) => Bound::Uuid(*uuid),
                });
            }
            statement.push(")");
        }
    }

    /// One lower and one upper bound of the first column: what the caller wants, or what the positions say, whichever is narrower. An
    /// index is walked between them, and which of several bounds it would be a backend chooses as it likes.
    fn push_bounds(&self, statement: &mut Statement, part: &Part, end: Option<&Position>) {
        let Some((column, _)) = self.key.columns.first() else { return };
        let first = |position: Option<&Position>| match position?.0.first()? {
            KeyPart::Integer(number) => Some(*number),
            KeyPart::Text(_) | KeyPart::Uuid(_) => None,
        };
        let (begin, end) = (first(part.after.as_ref()), first(end));
        let (lowest, highest) = if self.is_descending(part) { (end, begin) } else { (begin, end) };
        let from = self.from.max(lowest);
        let to = [self.to, highest].into_iter().flatten().min();
        for (comparison, bound) in [(" >= ", from), (" <= ", to)] {
            if let Some(bound) = bound {
                statement.push(" AND ").push(column).push(comparison).push_value(Bound::Integer(bound));
            }
        }
    }

    fn push_order(&self, statement: &mut Statement, part: &Part) {
        let direction = if self.is_descending(part) { " DESC" } else { "" };
        statement.push(" ORDER BY ");
        for (place, (name, _)) in self.key.columns.iter().enumerate() {
            statement.push(if place > 0 { ", " } else { "" }).push(name).push(direction);
        }
    }
}

impl Statement {
    const fn new(sql: String) -> Self {
        Self { sql, values: Vec::new() }
    }

    fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    fn push_value(&mut self, value: Bound) -> &mut Self {
        self.values.push(value);
        // Writing to a String does not fail.
        let _ = write!(self.sql, "${}", self.values.len());
        self
    }

    fn push_condition(&mut self, condition: &Condition) -> &mut Self {
        match condition {
            Condition::Is(column, value) => self.push(column).push(" = ").push_value(value.clone()),
            Condition::IsOneOf(column, values) => {
                self.push(column).push(" IN (");
                for (place, value) in values.iter().enumerate() {
                    self.push(if place > 0 { ", " } else { "" }).push_value(value.clone());
                }
                self.push(")")
            }
            Condition::Holds(column, texts) => {
                self.push("(");
                for (place, text) in texts.iter().enumerate() {
                    let pattern = Bound::Text(format!("%{}%", without_wildcards(text)));
                    self.push(if place > 0 { " OR " } else { "" }).push(column).push(" LIKE ").push_value(pattern);
                    self.push(" ESCAPE '!'");
                }
                self.push(")")
            }
            Condition::After(column, number) => self.push(column).push(" > ").push_value(Bound::Integer(*number)),
            Condition::Before(column, number) => self.push(column).push(" < ").push_value(Bound::Integer(*number)),
            Condition::Plain(sql) => self.push(sql),
        }
    }
}

/// The text as LIKE finds it, with `!` to escape by.
fn without_wildcards(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}
