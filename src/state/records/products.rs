//! What was made of registered artifacts. Knows nothing of how it is made.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

use super::keys::{json, parsed};
use super::{Records, RecordsError};
use crate::model::matrix::VariantKey;
use crate::store::copy::Stamp;

/// A file in the output directory that was made of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductRecord {
    /// Its name.
    pub unique_name: String,
    /// How it was made, as the method is written.
    pub method: String,
    /// SHA-256 of the artifact that it was made of, in hexadecimal.
    pub of: String,
    /// Its own SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its state.
    pub stamp: Stamp,
}

impl Records {
    /// These are all products of a variant.
    ///
    /// # Errors
    /// SQLite's.
    pub fn record_products(
        &self,
        variant: &VariantKey,
        products: &[ProductRecord],
    ) -> Result<(), RecordsError> {
        let connection = self.connection();
        let changed = if products.is_empty() {
            connection.execute(
                "DELETE FROM products WHERE machine = ?1 AND variant = ?2",
                params![variant.machine, variant.id],
            )
        } else {
            connection.execute(
                "INSERT OR REPLACE INTO products (machine, variant, products) VALUES (?1, ?2, ?3)",
                params![variant.machine, variant.id, json(&products)],
            )
        };
        changed.map(drop).map_err(self.fault())
    }

    /// The products of a variant.
    ///
    /// # Errors
    /// SQLite's.
    pub fn products(&self, variant: &VariantKey) -> Result<Vec<ProductRecord>, RecordsError> {
        self.connection()
            .query_row(
                "SELECT products FROM products WHERE machine = ?1 AND variant = ?2",
                params![variant.machine, variant.id],
                |row| parsed(row, 0),
            )
            .optional()
            .map(Option::unwrap_or_default)
            .map_err(self.fault())
    }

    /// Those of every variant.
    ///
    /// # Errors
    /// SQLite's.
    pub fn all_products(&self) -> Result<BTreeMap<VariantKey, Vec<ProductRecord>>, RecordsError> {
        let connection = self.connection();
        let read = || {
            connection
                .prepare("SELECT machine, variant, products FROM products")?
                .query_map([], |row| {
                    let variant = VariantKey {
                        machine: row.get(0)?,
                        id: row.get(1)?,
                    };
                    Ok((variant, parsed(row, 2)?))
                })?
                .collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.fault())
    }
}
