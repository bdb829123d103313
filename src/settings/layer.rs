//! A value with the layer that set it and the values that it overrides.

use serde::Serialize;

/// A layer of settings, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// The built-in default.
    Default,
    /// `$XDG_CONFIG_HOME/isar-build-all/config.toml`.
    User,
    /// `[settings]` of variants.toml.
    Project,
    /// An environment variable.
    Environment,
    /// An option on the command line.
    CommandLine,
}

impl Layer {
    /// The name in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Layer::Default => "default",
            Layer::User => "user",
            Layer::Project => "project",
            Layer::Environment => "environment",
            Layer::CommandLine => "command line",
        }
    }
}

/// A value with its layer, its place, and the values that it overrides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// The layer that set it.
    pub layer: Layer,
    /// The file and line, the variable, or the option; `None` for a default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The values that weaker layers set, the nearest first; without the default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Overridden<T>>,
}

/// A value that a stronger layer overrides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overridden<T> {
    /// The value.
    pub value: T,
    /// The layer that set it.
    pub layer: Layer,
    /// The file and line, or the variable.
    pub place: String,
}

impl<T> Sourced<T> {
    /// A default.
    pub fn default(value: T) -> Self {
        Self {
            value,
            layer: Layer::Default,
            place: None,
            overrides: Vec::new(),
        }
    }

    /// Sets a value of the same or a stronger layer; the former value is kept as overridden.
    pub(crate) fn cover(&mut self, value: T, layer: Layer, place: String) {
        let former = std::mem::replace(&mut self.value, value);
        if let Some(former_place) = self.place.replace(place) {
            let overridden = Overridden {
                value: former,
                layer: self.layer,
                place: former_place,
            };
            self.overrides.insert(0, overridden);
        }
        self.layer = layer;
    }
}
