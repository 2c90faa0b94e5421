//! What may be bound and read: four kinds of values, arrays of three of them on PostgreSQL, and nothing else.

use super::Db;

/// A value to bind. Tables of this workspace use only these kinds, since all others differ between databases.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// `bigint`.
    Int(Option<i64>),
    /// `{key}` and `{text}`.
    Text(Option<&'a str>),
    /// `{bytes}`.
    Bytes(Option<&'a [u8]>),
    /// `boolean`.
    Bool(Option<bool>),
    /// Only PostgreSQL has it: elsewhere a statement that binds one is an error.
    Array(Array<'a>),
}

/// Many values to bind as one.
#[derive(Clone, Copy, Debug)]
pub enum Array<'a> {
    /// `bigint[]`.
    Ints(&'a [i64]),
    /// `text[]`.
    Texts(&'a [Option<&'a str>]),
    /// `bytea[]`.
    Bytes(&'a [&'a [u8]]),
}

macro_rules! from {
    ($($ty:ty => |$value:ident| $made:expr;)*) => {
        $(impl<'a> From<$ty> for Value<'a> {
            fn from($value: $ty) -> Self {
                $made
            }
        })*
    };
}

from! {
    i64 => |value| Self::Int(Some(value));
    Option<i64> => |value| Self::Int(value);
    &'a str => |value| Self::Text(Some(value));
    &'a String => |value| Self::Text(Some(value));
    Option<&'a str> => |value| Self::Text(value);
    &'a [u8] => |value| Self::Bytes(Some(value));
    &'a Vec<u8> => |value| Self::Bytes(Some(value));
    Option<&'a [u8]> => |value| Self::Bytes(value);
    bool => |value| Self::Bool(Some(value));
    Option<bool> => |value| Self::Bool(value);
    &'a [i64] => |values| Self::Array(Array::Ints(values));
    &'a [Option<&'a str>] => |values| Self::Array(Array::Texts(values));
    &'a [&'a [u8]] => |values| Self::Array(Array::Bytes(values));
}

impl<'a, const N: usize> From<&'a [u8; N]> for Value<'a> {
    fn from(value: &'a [u8; N]) -> Self {
        Self::Bytes(Some(value))
    }
}

/// A column that can be read: `i64`, `String`, `Vec<u8>`, `bool`, or an `Option` of one.
pub trait Column: Sized {
    /// Reads column `at`.
    fn get<D: Db>(row: &D::Row, at: usize) -> sqlx::Result<Self>;
}

macro_rules! column {
    ($($ty:ty, $get:ident;)*) => {
        $(impl Column for Option<$ty> {
            fn get<D: Db>(row: &D::Row, at: usize) -> sqlx::Result<Self> {
                D::$get(row, at)
            }
        }

        impl Column for $ty {
            fn get<D: Db>(row: &D::Row, at: usize) -> sqlx::Result<Self> {
                D::$get(row, at)?.ok_or_else(|| sqlx::Error::ColumnDecode {
                    index: at.to_string(),
                    source: "null in a column that is never null".into(),
                })
            }
        })*
    };
}

column! {
    i64, int;
    String, text;
    Vec<u8>, bytes;
    bool, bool;
}

/// A row that can be read: a tuple of up to twelve columns.
pub trait Columns: Sized {
    /// Reads the columns from the first.
    fn row<D: Db>(row: &D::Row) -> sqlx::Result<Self>;
}

macro_rules! columns {
    ($($column:ident $at:tt),*) => {
        impl<$($column: Column),*> Columns for ($($column,)*) {
            fn row<D: Db>(row: &D::Row) -> sqlx::Result<Self> {
                Ok(($($column::get::<D>(row, $at)?,)*))
            }
        }
    };
}

columns!(A 0);
columns!(A 0, B 1);
columns!(A 0, B 1, C 2);
columns!(A 0, B 1, C 2, E 3);
columns!(A 0, B 1, C 2, E 3, F 4);
columns!(A 0, B 1, C 2, E 3, F 4, G 5);
columns!(A 0, B 1, C 2, E 3, F 4, G 5, H 6);
columns!(A 0, B 1, C 2, E 3, F 4, G 5, H 6, I 7);
columns!(A 0, B 1, C 2, E 3, F 4, G 5, H 6, I 7, J 8);
columns!(A 0, B 1, C 2, E 3, F 4, G 5, H 6, I 7, J 8, K 9);
columns!(A 0, B 1, C 2, E 3, F 4, G 5, H 6, I 7, J 8, K 9, L 10);
columns!(A 0, B 1, C 2, E 3, F 4, G 5, H 6, I 7, J 8, K 9, L 10, M 11);
