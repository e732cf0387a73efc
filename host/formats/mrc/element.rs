//! Element types of MRC data and their decoding to f32.

use half::f16;

/// Byte order of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// Element type: the header's `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    /// Mode 0, signed 8-bit.
    Int8,
    /// Mode 1, signed 16-bit.
    Int16,
    /// Mode 2, 32-bit float.
    Float32,
    /// Mode 6, unsigned 16-bit.
    Uint16,
    /// Mode 12, 16-bit float (IEEE 754).
    Float16,
    /// Mode 101, unsigned 4-bit, two in a byte, low half first.
    Uint4,
}

impl Element {
    /// Element type of a header mode, or why it cannot be read.
    pub(crate) fn from_mode(mode: i32) -> Result<Self, String> {
        match mode {
            0 => Ok(Element::Int8),
            1 => Ok(Element::Int16),
            2 => Ok(Element::Float32),
            6 => Ok(Element::Uint16),
            12 => Ok(Element::Float16),
            101 => Ok(Element::Uint4),
            3 | 4 => Err(format!(
                "mode {mode} holds complex numbers (a Fourier transform); only real-space images can be read; give the map itself"
            )),
            _ => Err(format!(
                "mode {mode} is not a known MRC mode (0, 1, 2, 6, 12 and 101 can be read): \
                 the header is damaged or this is not an MRC file"
            )),
        }
    }

    /// Bytes that `count` elements take; `None` if they do not fill whole bytes or overflow.
    pub(crate) fn bytes(self, count: u64) -> Option<u64> {
        match self {
            Element::Int8 => Some(count),
            Element::Int16 | Element::Uint16 | Element::Float16 => count.checked_mul(2),
            Element::Float32 => count.checked_mul(4),
            Element::Uint4 => count.is_multiple_of(2).then_some(count / 2),
        }
    }

    /// Decode `bytes` into `out`, which holds exactly as many elements as the bytes do.
    pub(crate) fn decode(self, order: ByteOrder, bytes: &[u8], out: &mut [f32]) {
        match self {
            Element::Int8 => {
                for (value, &byte) in out.iter_mut().zip(bytes) {
                    *value = f32::from(byte as i8);
                }
            }
            Element::Uint4 => {
                for (pair, &byte) in out.chunks_exact_mut(2).zip(bytes) {
                    pair[0] = f32::from(byte & 0xf);
                    pair[1] = f32::from(byte >> 4);
                }
            }
            Element::Int16 => two(order, bytes, out, |b| f32::from(i16::from_le_bytes(b))),
            Element::Uint16 => two(order, bytes, out, |b| f32::from(u16::from_le_bytes(b))),
            Element::Float16 => two(order, bytes, out, |b| f16::from_le_bytes(b).to_f32()),
            Element::Float32 => {
                for (value, four) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                    *value = match order {
                        ByteOrder::Little => f32::from_le_bytes(*four),
                        ByteOrder::Big => f32::from_be_bytes(*four),
                    };
                }
            }
        }
    }
}

/// Decode 2-byte elements with a decoder of little-endian bytes.
fn two(order: ByteOrder, bytes: &[u8], out: &mut [f32], decode: impl Fn([u8; 2]) -> f32) {
    let pairs = bytes.as_chunks::<2>().0;
    match order {
        ByteOrder::Little => {
            for (value, pair) in out.iter_mut().zip(pairs) {
                *value = decode(*pair);
            }
        }
        ByteOrder::Big => {
            for (value, &[high, low]) in out.iter_mut().zip(pairs) {
                *value = decode([low, high]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(element: Element, order: ByteOrder, bytes: &[u8], n: usize) -> Vec<f32> {
        let mut out = vec![f32::NAN; n];
        element.decode(order, bytes, &mut out);
        out
    }

    #[test]
    fn every_mode_in_both_byte_orders() {
        use ByteOrder::{Big, Little};
        assert_eq!(
            decoded(Element::Int8, Little, &[0xff, 0x7f], 2),
            [-1.0, 127.0]
        );
        assert_eq!(decoded(Element::Int16, Little, &[0xfe, 0xff], 1), [-2.0]);
        assert_eq!(decoded(Element::Int16, Big, &[0xff, 0xfe], 1), [-2.0]);
        assert_eq!(decoded(Element::Uint16, Big, &[0xff, 0xfe], 1), [65534.0]);
        assert_eq!(
            decoded(Element::Float32, Little, &1.5f32.to_le_bytes(), 1),
            [1.5]
        );
        assert_eq!(
            decoded(Element::Float32, Big, &1.5f32.to_be_bytes(), 1),
            [1.5]
        );
        assert_eq!(decoded(Element::Float16, Little, &[0x00, 0xc2], 1), [-3.0]);
        assert_eq!(decoded(Element::Float16, Big, &[0xc2, 0x00], 1), [-3.0]);
        // The smallest subnormal, which RELION reads as 0, keeps its value.
        assert_eq!(
            decoded(Element::Float16, Little, &[1, 0], 1),
            [2.0f32.powi(-24)]
        );
        assert_eq!(decoded(Element::Uint4, Little, &[0x3f], 2), [15.0, 3.0]);
    }

    #[test]
    fn complex_and_unknown_modes_are_refused_by_name() {
        assert!(Element::from_mode(4).unwrap_err().contains("complex"));
        assert!(Element::from_mode(77).unwrap_err().contains("mode 77"));
        assert_eq!(Element::Uint4.bytes(9), None);
    }
}
