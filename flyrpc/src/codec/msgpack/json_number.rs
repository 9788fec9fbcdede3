//! Numbers of `serde_json` that are serialized as a struct.
//!
//! With its feature `arbitrary_precision`, which any crate of a program may enable, `serde_json` serializes a
//! number as a struct that contains the number's text. Without the feature, it deserializes that struct as an
//! object. Therefore, such a struct is encoded as the number, and nodes of version 0.1 that send the struct
//! are understood.

use super::{
    error::{CodecError, Result},
    head,
    token::{Input, Token},
};

/// The name of the struct and of its only field.
pub(super) const JSON_NUMBER: &str = "$serde_json::private::Number";

/// A number of `serde_json`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum JsonNumber {
    Unsigned(u64),
    /// An integer below 0.
    Negative(i64),
    Float(f64),
}

impl JsonNumber {
    /// Reads the entry of a map of one entry, if it contains the text of a number. Otherwise, the input does
    /// not move.
    ///
    /// # Errors
    ///
    /// If the number has no exact representation.
    pub(super) fn read(input: &mut Input<'_>) -> Result<Option<Self>> {
        let mut entry = *input;
        if entry.short_str() != Some(JSON_NUMBER) {
            return Ok(None);
        }
        let Token::Str(text) = entry.token()? else { return Ok(None) };
        let Some(number) = JsonNumber::parse(text) else {
            return Err(CodecError::new(format_args!(
                "the JSON number {text} has no exact representation in 64 bits"
            )));
        };
        *input = entry;
        Ok(Some(number))
    }

    /// Returns the number that has this text, or `None` if 64 bits do not represent it exactly.
    fn parse(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse() {
            return Some(JsonNumber::Unsigned(number));
        }
        // The integer type has no -0.
        if let Ok(number @ ..0) = text.parse() {
            return Some(JsonNumber::Negative(number));
        }
        let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
        // A float stands for the decimal number with the least digits that identify it.
        (decimal(text)? == decimal(&format!("{number:e}"))?).then_some(JsonNumber::Float(number))
    }

    pub(super) fn write(self, to: &mut Vec<u8>) {
        match self {
            JsonNumber::Unsigned(number) => head::write_unsigned(number, to),
            JsonNumber::Negative(number) => head::write_signed(number, to),
            JsonNumber::Float(number) => {
                head::write_marked(rmp::Marker::F64, number.to_be_bytes(), to);
            }
        }
    }
}

/// The sign, the digits without zeros at either end, and the exponent of a decimal number.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.parse::<i64>().ok()?.checked_sub(fraction.len() as i64)?;
    let digits = [whole, fraction].concat();
    let significant = digits.trim_end_matches('0');
    let exponent = exponent.checked_add((digits.len() - significant.len()) as i64)?;
    match significant.trim_start_matches('0') {
        "" => Some((negative, String::new(), 0)),
        significant => Some((negative, significant.to_owned(), exponent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_number_that_it_denotes() {
        let number = |text| JsonNumber::parse(text).unwrap();
        assert_eq!(number("0"), JsonNumber::Unsigned(0));
        assert_eq!(number("18446744073709551615"), JsonNumber::Unsigned(u64::MAX));
        assert_eq!(number("-9223372036854775808"), JsonNumber::Negative(i64::MIN));
        assert_eq!(number("-0"), JsonNumber::Float(-0.0));
        assert_eq!(number("0.10"), JsonNumber::Float(0.1));
        assert_eq!(number("1e300"), JsonNumber::Float(1e300));
        assert_eq!(number("-12.5E-3"), JsonNumber::Float(-0.0125));
        assert_eq!(number("1e2"), JsonNumber::Float(100.0));
    }

    #[test]
    fn number_that_would_be_rounded_is_refused() {
        for text in ["18446744073709551616", "0.1000000000000000055", "1e999", "1e-999", "x", ""] {
            assert_eq!(JsonNumber::parse(text), None, "{text}");
        }
    }
}
