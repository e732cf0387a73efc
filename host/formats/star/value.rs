//! Typed values and how they become cell text.

use super::number;

/// A value to be stored in a cell, formatted by RELION's rules when stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Fixed or scientific notation, width 12.
    Real(f64),
    /// Right-aligned, width 12.
    Integer(i64),
    /// 0 or 1.
    Boolean(bool),
    /// As is, quoted where needed.
    Text(String),
    /// `[v1,v2,…]`.
    Vector(Vec<f64>),
}

impl Value {
    /// Append the cell's text without padding or quotes.
    pub(super) fn push_text(&self, out: &mut Vec<u8>) {
        match self {
            Value::Real(v) => push_trimmed(out, |out| number::push_real(out, *v)),
            Value::Integer(v) => push_trimmed(out, |out| number::push_integer(out, *v)),
            Value::Boolean(v) => out.push(b'0' + u8::from(*v)),
            Value::Text(text) => out.extend_from_slice(text.as_bytes()),
            Value::Vector(values) => {
                out.push(b'[');
                for (i, v) in values.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    push_trimmed(out, |out| number::push_real(out, *v));
                }
                out.push(b']');
            }
        }
    }
}

/// Let `push` append a padded number, then drop the padding.
fn push_trimmed(out: &mut Vec<u8>, push: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    push(out);
    let padding = out[start..].iter().take_while(|&&b| b == b' ').count();
    out.drain(start..start + padding);
}

impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Value::Real(v)
    }
}
impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Value::Integer(v)
    }
}
impl From<usize> for Value {
    fn from(v: usize) -> Self {
        Value::Integer(v as i64)
    }
}
impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Value::Boolean(v)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Value::Text(v.to_string())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Self {
        Value::Text(v)
    }
}
