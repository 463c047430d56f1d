//! Kubernetes quantities (`250m`, `1.5Gi`, `1e3`) as exact numbers.
//!
//! Enough to compare resources and to answer `resourceFieldRef`; formatting is not needed here.

/// One unit, in the billionths that quantities are counted in.
const UNIT: i128 = 1_000_000_000;

/// An exact amount in billionths of a unit, the finest grain that Kubernetes knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::local::runner) struct Amount(i128);

impl Amount {
    pub(in crate::local::runner) const ZERO: Self = Self(0);

    /// A whole number of units.
    pub(in crate::local::runner) fn units(number: u64) -> Self {
        Self(i128::from(number) * UNIT)
    }

    /// Reads a quantity; `None` if it is not one or is out of range.
    pub(in crate::local::runner) fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        // 18 digits on each side keep every product below within an i128; real quantities have far fewer.
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > 18 || fraction.len() > 18 {
            return None;
        }
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let (numerator, denominator) = factor(suffix)?;
        let scaled = digits.checked_mul(numerator)?.checked_mul(UNIT)?;
        let divisor = scale.checked_mul(denominator)?;
        // Finer than a billionth rounds up, as in Kubernetes.
        let amount = scaled / divisor + i128::from(scaled % divisor != 0);
        Some(Self(if text.starts_with('-') { -amount } else { amount }))
    }

    /// The value in whole units, rounded up.
    pub(in crate::local::runner) fn ceil_units(self) -> i128 {
        ceil(self.0, UNIT)
    }

    /// The value in thousandths, rounded up.
    pub(in crate::local::runner) fn ceil_millis(self) -> i128 {
        ceil(self.0, UNIT / 1000)
    }
}

/// Division that rounds towards positive infinity; the divisor is positive.
pub(super) fn ceil(number: i128, divisor: i128) -> i128 {
    number.div_euclid(divisor) + i128::from(number.rem_euclid(divisor) != 0)
}

/// What a suffix multiplies by, as a fraction.
fn factor(suffix: &str) -> Option<(i128, i128)> {
    if let Some(power) = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter().position(|known| *known == suffix) {
        return Some((1024_i128.pow(u32::try_from(power).ok()? + 1), 1));
    }
    if let Some(power) = ["k", "M", "G", "T", "P", "E"].iter().position(|known| *known == suffix) {
        return Some((1000_i128.pow(u32::try_from(power).ok()? + 1), 1));
    }
    if let Some(power) = ["m", "u", "n"].iter().position(|known| *known == suffix) {
        return Some((1, 1000_i128.pow(u32::try_from(power).ok()? + 1)));
    }
    if suffix.is_empty() {
        return Some((1, 1));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    Some(if exponent < 0 { (1, power) } else { (power, 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suffix_means_what_kubernetes_says() {
        for (text, millis) in [
            ("0", 0),
            ("1", 1000),
            ("250m", 250),
            ("1.5", 1500),
            (".5", 500),
            ("2.", 2000),
            ("1k", 1_000_000),
            ("1Ki", 1_024_000),
            ("1.5Gi", 1_610_612_736_000),
            ("1E", 1_000_000_000_000_000_000_000),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("12e-1", 1200),
            ("100u", 1),
            ("1n", 1),
            ("+3", 3000),
            ("-2", -2000),
        ] {
            assert_eq!(Amount::parse(text).map(Amount::ceil_millis), Some(millis), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", ".", "x", "1x", "1 Gi", "1kk", "--1", "1e", "Gi", "1.2.3", "9999999999999999999"] {
            assert_eq!(Amount::parse(text), None, "{text}");
        }
    }

    #[test]
    fn parts_of_a_unit_round_up() {
        assert_eq!(Amount::parse("1500m").map(Amount::ceil_units), Some(2));
        assert_eq!(Amount::parse("1m").map(Amount::ceil_units), Some(1));
        assert_eq!(Amount::parse("-1500m").map(Amount::ceil_units), Some(-1));
    }

    #[test]
    fn amounts_compare_by_value_not_by_spelling() {
        assert_eq!(Amount::parse("1Gi"), Amount::parse("1024Mi"));
        assert_eq!(Amount::parse("1"), Amount::parse("1000m"));
        assert!(Amount::parse("1G") < Amount::parse("1Gi"));
        assert_eq!(Amount::units(2), Amount::parse("2000m").unwrap());
    }
}
