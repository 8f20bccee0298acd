//! Values with a checksum: CRC-32C over table, key and value, then the value.

/// Bytes of the checksum.
const HEAD: usize = 4;

fn checksum(table: &str, key: &[u8], value: &[u8]) -> u32 {
    // A value that has ended up under another key is damage as well.
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(table.as_bytes()), key), value)
}

/// Puts a checksum before a value.
pub(super) fn seal(table: &str, key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(HEAD + value.len());
    sealed.extend_from_slice(&checksum(table, key, value).to_le_bytes());
    sealed.extend_from_slice(value);
    sealed
}

/// Takes a value out of its envelope; `None` when it is damaged.
pub(super) fn unseal<'a>(table: &str, key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (head, value) = sealed.split_first_chunk::<HEAD>()?;
    (u32::from_le_bytes(*head) == checksum(table, key, value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_changed_bit_is_found(value: Vec<u8>, key: Vec<u8>, at: prop::sample::Index, bit in 0..8_u32) {
            let mut sealed = seal("tasks", &key, &value);
            prop_assert_eq!(unseal("tasks", &key, &sealed), Some(value.as_slice()));
            prop_assert_eq!(unseal("data", &key, &sealed), None);
            let at = at.index(sealed.len());
            sealed[at] ^= 1_u8 << bit;
            prop_assert_eq!(unseal("tasks", &key, &sealed), None);
        }
    }

    #[test]
    fn a_short_value_is_damage() {
        assert_eq!(unseal("tasks", b"a", &[1, 2, 3]), None);
    }
}
