//! Amounts of bytes for people.

/// At most four characters and a unit: `512 B`, `1.5 KiB`, `31 GiB`.
pub(crate) fn bytes(amount: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if amount < 1024 {
        return format!("{amount} B");
    }
    // Tenths of the unit, in whole numbers so that every amount fits.
    let mut tenths = u128::from(amount) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    if tenths < 100 {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{} {}", tenths / 10, UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_grow_with_the_amount() {
        for (amount, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 * 1024, "10 KiB"),
            (33_554_432, "32 MiB"),
            (1_u64 << 40, "1.0 TiB"),
            (u64::MAX, "15 EiB"),
        ] {
            assert_eq!(bytes(amount), text);
        }
    }
}
