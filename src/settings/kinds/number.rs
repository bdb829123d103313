//! Settings that are whole numbers.

use std::fmt::Display;
use std::marker::PhantomData;

use serde_json::json;
use toml::Spanned;
use toml::de::DeValue;

use crate::settings::kinds::kind::{SettingKind, ValueFault};

/// A whole number from `MIN` to `MAX`, both included.
pub(crate) struct NumberKind<T, const MIN: u64, const MAX: u64>(PhantomData<T>);

impl<T, const MIN: u64, const MAX: u64> SettingKind for NumberKind<T, MIN, MAX>
where
    T: Clone + PartialEq + Display + TryFrom<u64>,
{
    type Value = T;

    fn expected() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<T, Vec<ValueFault>> {
        let integer = value
            .get_ref()
            .as_integer()
            .ok_or_else(|| vec![ValueFault::wrong_type(&Self::expected(), value)])?;
        u64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| (MIN..=MAX).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                let message = format!("expected {}, found {integer}", Self::expected());
                vec![ValueFault::new(message).within(value)]
            })
    }
    fn from_text(text: &str) -> Result<T, ValueFault> {
        text.trim()
            .parse::<u64>()
            .ok()
            .filter(|number| (MIN..=MAX).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                ValueFault::new(format!("expected {}, found `{text}`", Self::expected()))
            })
    }
    fn show(value: &T) -> String {
        value.to_string()
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}
