//! Records of products: compressed images and block maps made of registered artifacts.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, params};

use crate::inputs::record::ProductRecord;
use crate::matrix::VariantKey;
use crate::state::records::keys::{json, parsed};
use crate::state::records::{Records, RecordsError};

impl Records {
    /// Records all products of a variant, in place of those recorded before.
    ///
    /// # Errors
    /// When SQLite cannot write.
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
    /// When SQLite cannot read.
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

    /// The products of every variant.
    ///
    /// # Errors
    /// When SQLite cannot read.
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
