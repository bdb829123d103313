//! Settings that are ages: a whole number with a unit, or no limit.

use serde::{Serialize, Serializer};
use serde_json::json;
use toml::Spanned;
use toml::de::DeValue;

use crate::settings::kinds::kind::{SettingKind, ValueFault, string};

/// A maximum age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// In seconds; 0: any age is too old.
    Seconds(u64),
    /// No maximum.
    Forever,
}

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

impl std::fmt::Display for Age {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Age::Seconds(seconds) = *self else {
            return f.write_str("forever");
        };
        // Days are printed as hours, because `24h` is the usual spelling of the default.
        let (unit, size) = UNITS[1..]
            .iter()
            .find(|(_, size)| seconds > 0 && seconds % size == 0)
            .unwrap_or(&("", 1));
        write!(f, "{}{unit}", seconds / size)
    }
}

impl Serialize for Age {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An age: `90m`, `24h`, `7d`; `0`; `forever`.
pub(crate) struct AgeKind;

impl SettingKind for AgeKind {
    type Value = Age;

    fn expected() -> String {
        "an age such as `24h`, as a string".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Age, Vec<ValueFault>> {
        string::<Self>(value)
    }
    fn from_text(text: &str) -> Result<Age, ValueFault> {
        let text = text.trim();
        if text == "forever" {
            return Ok(Age::Forever);
        }
        if text == "0" {
            return Ok(Age::Seconds(0));
        }
        UNITS
            .iter()
            .find_map(|(unit, size)| {
                let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
                number.checked_mul(*size).map(Age::Seconds)
            })
            .ok_or_else(|| {
                ValueFault::new(format!("`{text}` is not an age"))
                    .hint("write a whole number with d, h, m or s, as `24h`; or `0`, or `forever`")
            })
    }
    fn show(value: &Age) -> String {
        value.to_string()
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "string", "pattern": "^([0-9]+[dhms]|0|forever)$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_and_printed() {
        for (word, seconds, shown) in [
            ("24h", 86_400, "24h"),
            ("1d", 86_400, "24h"),
            ("90m", 5_400, "90m"),
            ("61s", 61, "61s"),
            ("0", 0, "0"),
            ("0h", 0, "0"),
        ] {
            let age = AgeKind::from_text(word).unwrap();
            assert_eq!(age, Age::Seconds(seconds), "{word}");
            assert_eq!(age.to_string(), shown, "{word}");
        }
        assert_eq!(AgeKind::from_text("forever"), Ok(Age::Forever));
        for word in ["", "24", "h", "1.5h", "-1h", "99999999999999999999d"] {
            assert!(AgeKind::from_text(word).is_err(), "{word}");
        }
    }
}
