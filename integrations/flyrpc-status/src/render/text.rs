//! Text of other nodes in HTML, and figures as people read them.

use std::fmt::{self, Display, Write as _};

/// The number of characters of a name.
const NAME: usize = 64;

/// The number of characters of an explanation.
const REASON: usize = 400;

/// A text that is safe between tags and in quoted attributes, and that has a bounded length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Escaped<'a> {
    text: &'a str,
    at_most: usize,
}

/// A name of a node, region, service, method or version.
pub(crate) fn name(text: &str) -> Escaped<'_> {
    Escaped { text, at_most: NAME }
}

/// An explanation or a signature.
pub(crate) fn reason(text: &str) -> Escaped<'_> {
    Escaped { text, at_most: REASON }
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, char) in self.text.chars().enumerate() {
            if index == self.at_most {
                return f.write_char('…');
            }
            match char {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // These change the direction of the text that follows.
                '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    f.write_char('\u{fffd}')?;
                }
                char if char.is_control() => f.write_char('\u{fffd}')?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

/// A text as a part of a query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InQuery<'a>(pub(crate) &'a str);

impl Display for InQuery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                f.write_char(byte.into())?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

/// A duration in seconds, rounded: `850 µs`, `12.5 ms`, `214 ms`, `3.2 s`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time(pub(crate) Option<f64>);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_char('–'),
            Some(time) if !time.is_finite() => f.write_char('–'),
            Some(time) if time < 0.001 => write!(f, "{:.0} µs", time * 1e6),
            Some(time) if time < 0.1 => write!(f, "{:.1} ms", time * 1e3),
            Some(time) if time < 1.0 => write!(f, "{:.0} ms", time * 1e3),
            Some(time) => write!(f, "{time:.1} s"),
        }
    }
}

/// A long time in seconds, with the two largest units: `3 d 4 h`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Age(pub(crate) Option<f64>);

impl Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(age) = self.0 else { return f.write_char('–') };
        // Casts of floats saturate.
        let seconds = age as u64;
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, _, _) => write!(f, "{hours} h {minutes} min"),
            _ => write!(f, "{days} d {hours} h"),
        }
    }
}

/// A time of the day in UTC, from seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(pub(crate) f64);

impl Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 as u64 % 86_400;
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        write!(f, "{hours:02}:{minutes:02}:{:02} UTC", seconds % 60)
    }
}

/// A number of things: `1 node`, `2 nodes`.
pub(crate) fn count(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_other_nodes_cannot_end_a_tag_or_an_attribute() {
        let text = name("<script>'\"&\n\u{202e}é").to_string();
        assert_eq!(text, "&lt;script&gt;&#39;&quot;&amp;\u{fffd}\u{fffd}é");
        assert_eq!(name(&"x".repeat(1_000)).to_string().chars().count(), NAME + 1);
        assert_eq!(InQuery("a/b c\"é").to_string(), "a%2Fb%20c%22%C3%A9");
    }

    #[test]
    fn figures_are_rounded() {
        let times = [0.000_85, 0.012_5, 0.214, 3.21, f64::NAN].map(|it| Time(Some(it)).to_string());
        assert_eq!(times, ["850 µs", "12.5 ms", "214 ms", "3.2 s", "–"]);
        let ages = [5.0, 65.0, 3_660.0, 273_600.0, -1.0].map(|it| Age(Some(it)).to_string());
        assert_eq!(ages, ["5 s", "1 min 5 s", "1 h 1 min", "3 d 4 h", "0 s"]);
        assert_eq!(Clock(1_732_708_800.0 + 61.0).to_string(), "12:01:01 UTC");
    }
}
