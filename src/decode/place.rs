//! Which column each field of an object fills, and which fields are left over.

use super::names::{Binding, Columns};
use super::object::{Field, shortened};
use std::collections::BTreeSet;
use std::fmt::Display;

/// The fields of one object, each in the place where it counts.
pub(super) struct Placed<'p> {
    /// By column.
    pub slots: Vec<Option<Field<'p>>>,
    /// Those of no column, in the order they are written.
    pub rescued: Vec<Field<'p>>,
}

/// Gives each field its column; `around` is what stands before a field's name in messages. An error says why it
/// cannot be told which field counts.
pub(super) fn place<'p>(fields: Vec<Field<'p>>, columns: &Columns, around: &dyn Display) -> Result<Placed<'p>, String> {
    // True when the field has exactly the column's name.
    let mut slots: Vec<Option<(Field<'p>, bool)>> = Vec::new();
    slots.resize_with(columns.len(), || None);
    let mut rescued = Vec::new();
    for field in fields {
        let Some(Binding { column, exact }) = columns.bind(&field.name) else {
            rescued.push(field);
            continue;
        };
        let slot = &mut slots[column];
        match slot {
            None => *slot = Some((field, exact)),
            Some((first, _)) if first.name == field.name => return Err(twice(around, &field.name)),
            Some((_, true)) => rescued.push(field),
            Some((_, false)) if exact => rescued.extend(slot.replace((field, true)).map(|(field, _)| field)),
            Some((first, _)) => {
                let named = |name: &str| format!("`{around}{}`", shortened(name));
                let (one, other) = (named(&first.name), named(&field.name));
                return Err(format!(
                    "fields {one} and {other} both belong to column `{around}{}`",
                    columns.name(column)
                ));
            }
        }
    }
    refuse_repeats(&rescued, around)?;
    let slots = slots.into_iter().map(|slot| slot.map(|(field, _)| field)).collect();
    Ok(Placed { slots, rescued })
}

/// Fails when two fields have one name.
pub(super) fn refuse_repeats(fields: &[Field<'_>], around: &dyn Display) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match fields.iter().find(|field| !seen.insert(field.name.as_ref())) {
        Some(field) => Err(twice(around, &field.name)),
        None => Ok(()),
    }
}

fn twice(around: &dyn Display, name: &str) -> String {
    format!("field `{around}{}` occurs twice", shortened(name))
}
