//! The setting that names a store. The stores are those of the caller: see
//! [`LayerInput::stores`](crate::settings::LayerInput::stores).

use serde_json::json;
use toml::Spanned;
use toml::de::DeValue;

use crate::settings::choices::{StoreChoice, StoreWord};
use crate::settings::kinds::choice::{one_of, unknown};
use crate::settings::kinds::kind::{SettingKind, ValueFault, string};

/// `auto`, or the name of a store.
pub(crate) struct StoreKind;

fn names(stores: &[StoreWord]) -> Vec<String> {
    std::iter::once(&StoreChoice::AUTO)
        .chain(stores)
        .map(|word| word.name.to_owned())
        .collect()
}

impl SettingKind for StoreKind {
    type Value = StoreChoice;

    fn expected() -> String {
        "the name of a store".to_owned()
    }
    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<StoreChoice, Vec<ValueFault>> {
        string::<Self>(value)
    }
    fn from_text(text: &str) -> Result<StoreChoice, ValueFault> {
        Ok(StoreChoice::of(text))
    }
    fn toml_among(
        value: &Spanned<DeValue<'_>>,
        stores: &[StoreWord],
    ) -> Result<StoreChoice, Vec<ValueFault>> {
        let Some(text) = value.get_ref().as_str() else {
            let expected = one_of(&names(stores));
            return Err(vec![ValueFault::wrong_type(&expected, value)]);
        };
        Self::text_among(text, stores).map_err(|fault| vec![fault.within(value)])
    }
    fn text_among(text: &str, stores: &[StoreWord]) -> Result<StoreChoice, ValueFault> {
        let names = names(stores);
        if names.iter().any(|name| name == text) {
            Self::from_text(text)
        } else {
            Err(unknown(text, &names))
        }
    }
    fn show(value: &StoreChoice) -> String {
        value.as_str().to_owned()
    }
    fn schema() -> serde_json::Value {
        json!({ "type": "string" })
    }
    fn schema_among(stores: &[StoreWord]) -> serde_json::Value {
        json!({ "enum": names(stores) })
    }
}
