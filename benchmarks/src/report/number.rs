//! Formatting of numbers.

/// Formats a number with at least four significant digits.
pub(super) fn exact(value: f64) -> String {
    format!("{value:.*}", decimals(value, 4))
}

/// Formats a number with at least three significant digits, and commas between thousands.
pub(super) fn short(value: f64) -> String {
    let text = format!("{value:.*}", decimals(value, 3));
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{fraction}")
}

fn decimals(value: f64, digits: i32) -> usize {
    let before_point = value.abs().max(0.1).log10().floor() as i32 + 1;
    (digits - before_point).max(0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_enough_significant_digits() {
        let all =
            [0.0, 0.5, 1.5, 28.56, 1234567.8, -12.3].map(|value| (exact(value), short(value)));
        let all = all.iter().map(|(exact, short)| format!("{exact} {short}")).collect::<Vec<_>>();
        let expected = [
            "0.0000 0.000",
            "0.5000 0.500",
            "1.500 1.50",
            "28.56 28.6",
            "1234568 1,234,568",
            "-12.30 -12.3",
        ];
        assert_eq!(all, expected);
    }
}
