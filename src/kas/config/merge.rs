//! Joining two kas files: tables are joined key by key at every depth, anything else is replaced, also by
//! `null`. A new key goes to the end.

use std::collections::HashMap;
use std::sync::Arc;

use crate::kas::yaml::{YamlEntry, YamlNode, YamlValue};

/// `upper` over `lower`.
pub(super) fn merge(lower: &Arc<YamlNode>, upper: &Arc<YamlNode>) -> Arc<YamlNode> {
    let (YamlValue::Table(under), YamlValue::Table(over)) = (&lower.value, &upper.value) else {
        return Arc::clone(upper);
    };
    let mut entries: Vec<YamlEntry> = under.clone();
    let places: HashMap<&str, usize> = under
        .iter()
        .enumerate()
        .map(|(place, entry)| (entry.key.as_str(), place))
        .collect();
    for entry in over {
        match places.get(entry.key.as_str()) {
            Some(&place) => {
                entries[place].node = merge(&entries[place].node, &entry.node);
                entries[place].key_span = entry.key_span.clone();
            }
            None => entries.push(entry.clone()),
        }
    }
    Arc::new(YamlNode {
        span: upper.span.clone(),
        value: YamlValue::Table(entries),
    })
}
