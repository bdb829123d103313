//! The structural check: unknown keys, missing keys and wrong types, by the table in
//! [`shape`](crate::matrix::shape).

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::base::fault::{Fault, Faults};
use crate::base::suggest;
use crate::matrix::shape::{Field, ROOT, TableShape, Type};

/// The result of the structural check of a whole file.
#[derive(Debug)]
pub struct StructureReport {
    /// The faults.
    pub faults: Faults,
    /// The top-level keys that are missing or contain a fault. Faults that only follow from these
    /// are not reported.
    pub broken: BTreeSet<&'static str>,
}

/// Checks a whole file. Faults about missing top-level keys point at `span`.
#[must_use]
pub fn check_root(root: &DeTable<'_>, span: Range<usize>) -> StructureReport {
    let mut faults = Faults::new();
    check_table(root, span, &ROOT, "", &mut faults);
    let broken = ROOT
        .fields
        .iter()
        .filter(|field| match root.get(field.name) {
            None => field.required,
            Some(value) => !is_sound(value, &field.ty),
        })
        .map(|field| field.name)
        .collect();
    StructureReport { faults, broken }
}

/// Whether a value has the shape `ty`.
#[must_use]
pub fn is_sound(value: &Spanned<DeValue<'_>>, ty: &Type) -> bool {
    let mut faults = Faults::new();
    check(value, ty, "", &mut faults);
    faults.is_empty()
}

/// Checks a table. `path` is its dotted key, as `machines.qemu`, for messages.
pub fn check_table(
    value: &DeTable<'_>,
    span: Range<usize>,
    shape: &TableShape,
    path: &str,
    faults: &mut Faults,
) {
    let mut misspelt = Vec::new();
    for (key, inner) in value {
        let name: &str = key.get_ref();
        let here = join(path, name);
        if let Some(field) = shape.fields.iter().find(|field| field.name == name) {
            check(inner, &field.ty, &here, faults);
        } else if let Some(rest) = shape.rest {
            check(inner, rest, &here, faults);
        } else {
            let free = shape
                .fields
                .iter()
                .map(|field| field.name)
                .filter(|name| !value.contains_key(*name));
            misspelt.extend(suggest::nearest(name, free));
            faults.push(unknown_key(key, path, shape.fields));
        }
    }
    for field in shape.fields {
        // A misspelt key is reported already; the missing one is the same mistake.
        if field.required && !value.contains_key(field.name) && !misspelt.contains(&field.name) {
            faults.push(missing_key(field, span.clone(), path));
        }
    }
}

fn unknown_key(key: &Spanned<std::borrow::Cow<'_, str>>, path: &str, fields: &[Field]) -> Fault {
    let name: &str = key.get_ref();
    let place = if path.is_empty() {
        "at the top of the file".to_owned()
    } else {
        format!("in `{path}`")
    };
    Fault::at(
        key.span(),
        format!("unknown key `{name}` {place}"),
        "not a key of this table",
    )
    .hint(suggest::hint(
        name,
        "the keys here are",
        fields.iter().map(|field| field.name),
    ))
}

fn missing_key(field: &Field, span: Range<usize>, path: &str) -> Fault {
    let message = if path.is_empty() {
        format!("`{}` is missing", field.name)
    } else {
        format!("`{}` is missing in `{path}`", field.name)
    };
    let label = format!("needs `{}`", field.name);
    Fault::at(span, message, label).hint(format!("`{}`: {}", field.name, field.doc))
}

fn check(value: &Spanned<DeValue<'_>>, ty: &Type, path: &str, faults: &mut Faults) {
    let span = value.span();
    match (ty, value.get_ref()) {
        (Type::Text, DeValue::String(_)) | (Type::Boolean, DeValue::Boolean(_)) => {}
        (Type::False, DeValue::Boolean(false)) | (Type::Settings, _) => {}
        (Type::False, DeValue::Boolean(true)) => faults.push(
            Fault::at(
                span,
                format!("`{path}` cannot be `true`"),
                "does not name a value",
            )
            .hint("name the value, or write `false` to leave it unset"),
        ),
        (Type::Exactly(wanted), DeValue::Integer(number)) => {
            if integer(number) != Some(*wanted) {
                faults.push(
                    Fault::at(
                        span,
                        format!("`{path}` is {number}, which this version cannot read"),
                        format!("this version reads only {wanted}"),
                    )
                    .hint(format!(
                        "write `{path} = {wanted}`, or use a version of isar-build-all that reads {number}"
                    )),
                );
            }
        }
        (Type::List(element), DeValue::Array(values)) => {
            for value in values.iter() {
                check(value, element, path, faults);
            }
        }
        (Type::Table(shape), DeValue::Table(table)) => {
            check_table(table, span, shape, path, faults);
        }
        (Type::Map(element), DeValue::Table(table)) => {
            for (key, value) in table {
                check(value, element, &join(path, key.get_ref()), faults);
            }
        }
        (Type::Either(types), found) => match types.iter().find(|ty| same_kind(ty, found)) {
            Some(ty) => check(value, ty, path, faults),
            None => faults.push(wrong_type(value, ty, path)),
        },
        _ => faults.push(wrong_type(value, ty, path)),
    }
}

fn wrong_type(value: &Spanned<DeValue<'_>>, ty: &Type, path: &str) -> Fault {
    let found = kind_of(value.get_ref());
    let fault = Fault::at(
        value.span(),
        format!("`{path}` has the wrong type"),
        format!("expected {}, found {found}", describe(ty)),
    );
    match (ty, value.get_ref()) {
        (Type::Text, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)) => {
            fault.hint("put it in quotes")
        }
        (Type::List(Type::Text), DeValue::String(text)) => {
            fault.hint(format!("put it in brackets: `[\"{text}\"]`"))
        }
        _ => fault.hint(format!("make it {}", describe(ty))),
    }
}

/// A TOML integer as `i64`; `None` if it does not fit.
pub fn integer(number: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn same_kind(ty: &Type, value: &DeValue<'_>) -> bool {
    match ty {
        Type::Text => value.is_str(),
        Type::Exactly(_) => value.is_integer(),
        Type::Boolean | Type::False => value.is_bool(),
        Type::List(_) => value.is_array(),
        Type::Table(_) | Type::Map(_) | Type::Settings => value.is_table(),
        Type::Either(types) => types.iter().any(|ty| same_kind(ty, value)),
    }
}

fn describe(ty: &Type) -> String {
    match ty {
        Type::Text => "a string".to_owned(),
        Type::Exactly(_) => "an integer".to_owned(),
        Type::Boolean => "`true` or `false`".to_owned(),
        Type::False => "`false`".to_owned(),
        Type::List(Type::Text) => "a list of strings".to_owned(),
        Type::List(_) => "a list".to_owned(),
        Type::Table(_) | Type::Map(_) | Type::Settings => "a table".to_owned(),
        Type::Either(types) => {
            let mut all: Vec<String> = types.iter().map(describe).collect();
            let last = all.pop().unwrap_or_default();
            format!("{} or {last}", all.join(", "))
        }
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
