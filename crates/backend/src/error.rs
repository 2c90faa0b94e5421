//! One error for every backend, classified by what the caller may do next.
//!
//! This is the only place that looks at SQLSTATEs, error numbers and driver error kinds.

use std::error::Error as StdError;
use std::fmt;

type BoxError = Box<dyn StdError + Send + Sync>;

/// What a caller may conclude from a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// Nothing happened and the same call may succeed: deadlock, serialisation failure, lock time-out, busy, no free
    /// connection in the pool.
    Transient,
    /// The service could not be reached, or is not ready or not writable; nothing was changed.
    Unavailable,
    /// The call was sent, then the connection broke or timed out: it may or may not have taken effect.
    Unknown,
    /// A unique or primary key already holds that value.
    Conflict,
    /// Any other answer of the service: wrong statement, missing table, violated constraint, missing right.
    Refused,
    /// Bytes that came back cannot be read as what they should be.
    Corrupt,
}

impl ErrorClass {
    /// A short stable name, fit for a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Corrupt => "corrupt",
        }
    }
}

/// A failed call to a database, Redis or another backend, with its [`ErrorClass`] and the driver's error as source.
#[derive(Debug)]
pub struct BackendError {
    backend: &'static str,
    class: ErrorClass,
    source: BoxError,
}

impl BackendError {
    /// An error of `backend` (a short name such as `redis`) in the given class.
    pub fn new(backend: &'static str, class: ErrorClass, source: impl Into<BoxError>) -> Self {
        Self { backend, class, source: source.into() }
    }

    /// Stored bytes of `backend` that cannot be read.
    pub fn corrupt(backend: &'static str, what: impl Into<BoxError>) -> Self {
        Self::new(backend, ErrorClass::Corrupt, what)
    }

    /// The class, which decides what the caller may do next.
    pub const fn class(&self) -> ErrorClass {
        self.class
    }

    /// The short name of the backend that failed: `postgres`, `mysql`, `sqlite`, `sql`, `redis`, …
    pub const fn backend(&self) -> &'static str {
        self.backend
    }

    /// True if nothing happened and the same call may succeed later. An [`ErrorClass::Unknown`] outcome is not
    /// retryable: only a call that carries an operation or owner id may be repeated then.
    pub const fn is_retryable(&self) -> bool {
        matches!(self.class, ErrorClass::Transient | ErrorClass::Unavailable)
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self.class {
            ErrorClass::Transient => "busy, try again",
            ErrorClass::Unavailable => "not available",
            ErrorClass::Unknown => "connection lost, outcome unknown",
            ErrorClass::Conflict => "already present",
            ErrorClass::Refused => "refused",
            ErrorClass::Corrupt => "unreadable data",
        };
        write!(f, "{}: {meaning}", self.backend)
    }
}

impl StdError for BackendError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(feature = "sql")]
impl From<sqlx::Error> for BackendError {
    fn from(error: sqlx::Error) -> Self {
        let (backend, class) = sql_class(&error);
        Self::new(backend, class, error)
    }
}

#[cfg(feature = "sql")]
fn sql_class(error: &sqlx::Error) -> (&'static str, ErrorClass) {
    use sqlx::Error as E;
    let class = match error {
        E::Database(answer) => return database_class(&**answer),
        E::Io(io) => io_class(io),
        // An executor in between, such as a branch of a global transaction: what it met itself.
        E::AnyDriverError(between) => match StdError::source(&**between).and_then(|met| met.downcast_ref()) {
            Some(met) => return sql_class(met),
            None => ErrorClass::Refused,
        },
        E::PoolTimedOut => ErrorClass::Transient,
        E::Protocol(_) | E::WorkerCrashed => ErrorClass::Unknown,
        E::RowNotFound
        | E::TypeNotFound { .. }
        | E::ColumnIndexOutOfBounds { .. }
        | E::ColumnNotFound(_)
        | E::ColumnDecode { .. }
        | E::Decode(_) => ErrorClass::Corrupt,
        _ => ErrorClass::Refused,
    };
    ("sql", class)
}

/// A refused or unroutable connection sent nothing; any other failure of the wire may have come after the request.
#[cfg(any(feature = "sql", feature = "redis"))]
fn io_class(error: &std::io::Error) -> ErrorClass {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::ConnectionRefused | K::NotFound | K::AddrNotAvailable | K::HostUnreachable | K::NetworkUnreachable => {
            ErrorClass::Unavailable
        }
        _ => ErrorClass::Unknown,
    }
}

#[cfg(feature = "sql")]
fn database_class(answer: &dyn sqlx::error::DatabaseError) -> (&'static str, ErrorClass) {
    #[cfg(feature = "postgres")]
    if answer.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        return ("postgres", postgres_class(&answer.code().unwrap_or_default()));
    }
    #[cfg(feature = "mysql")]
    if let Some(error) = answer.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return ("mysql", mysql_class(error.number()));
    }
    #[cfg(feature = "sqlite")]
    if answer.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        let code = answer.code().and_then(|code| code.parse().ok()).unwrap_or_default();
        return ("sqlite", sqlite_class(code));
    }
    ("sql", if answer.is_unique_violation() { ErrorClass::Conflict } else { ErrorClass::Refused })
}

/// By SQLSTATE, <https://www.postgresql.org/docs/15/errcodes-appendix.html>.
#[cfg(feature = "postgres")]
fn postgres_class(state: &str) -> ErrorClass {
    match state {
        // serialisation failure, deadlock, lock not available, statement cancelled (it was rolled back)
        "40001" | "40P01" | "55P03" | "57014" => ErrorClass::Transient,
        // too many connections, server starting, a standby
        "53300" | "57P03" | "25006" => ErrorClass::Unavailable,
        // shut down or crashed under us
        "57P01" | "57P02" | "57P05" => ErrorClass::Unknown,
        "23505" => ErrorClass::Conflict,
        state if state.starts_with("08") => ErrorClass::Unknown,
        _ => ErrorClass::Refused,
    }
}

/// By error number, since one SQLSTATE (`HY000`) covers most.
#[cfg(feature = "mysql")]
fn mysql_class(number: u16) -> ErrorClass {
    match number {
        // lock wait time-out, deadlock, record changed under a snapshot, interrupted, out of time
        1205 | 1213 | 1020 | 1317 | 1969 | 3024 => ErrorClass::Transient,
        // too many connections (of all, of one user), read-only server
        1040 | 1203 | 1226 | 1290 | 1836 => ErrorClass::Unavailable,
        // shut down, connection killed
        1053 | 1927 => ErrorClass::Unknown,
        1062 | 1586 => ErrorClass::Conflict,
        _ => ErrorClass::Refused,
    }
}

/// By extended result code, <https://sqlite.org/rescode.html>.
#[cfg(feature = "sqlite")]
fn sqlite_class(code: u32) -> ErrorClass {
    const PRIMARY: u32 = 0xff;
    match (code & PRIMARY, code) {
        (5 | 6 | 9, _) => ErrorClass::Transient, // busy, locked, interrupted
        (14, _) => ErrorClass::Unavailable,      // cannot open
        (10, _) => ErrorClass::Unknown,          // input/output
        (11 | 26, _) => ErrorClass::Corrupt,     // damaged, not a database
        (_, 1555 | 2067 | 2579) => ErrorClass::Conflict,
        _ => ErrorClass::Refused,
    }
}

/// An error with its causes.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        // Some print their cause with themselves.
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(feature = "redis")]
impl From<redis::RedisError> for BackendError {
    fn from(error: redis::RedisError) -> Self {
        Self::new("redis", redis_class(&error), error)
    }
}

#[cfg(feature = "redis")]
fn redis_class(error: &redis::RedisError) -> ErrorClass {
    use redis::{ErrorKind, ServerErrorKind as S};
    match error.kind() {
        ErrorKind::Server(S::BusyLoading | S::ClusterDown | S::MasterDown | S::ReadOnly) => ErrorClass::Unavailable,
        ErrorKind::Server(S::TryAgain | S::NoScript | S::ExecAbort) => ErrorClass::Transient,
        ErrorKind::Io if error.is_connection_refusal() => ErrorClass::Unavailable,
        ErrorKind::Io => match StdError::source(error).and_then(|source| source.downcast_ref::<std::io::Error>()) {
            Some(io) => io_class(io),
            None => ErrorClass::Unknown,
        },
        ErrorKind::ClusterConnectionNotFound
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::NoValidReplicasFoundBySentinel => ErrorClass::Unavailable,
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => ErrorClass::Corrupt,
        // Out of memory, of disk, of replicas or of time is said before the command runs, so it may be sent again.
        _ if matches!(error.code(), Some("OOM" | "MISCONF" | "NOREPLICAS" | "BUSY")) => ErrorClass::Unavailable,
        _ => ErrorClass::Refused,
    }
}
