//! What `load-warehouse` would refuse of the new columns.
//!
//! Decided by the warehouse's own rules on the table a load of the standing version leaves. Nothing is asked of the
//! database: what others hung on the table, or changed about it, only the load finds out.

use super::forecast::Outlook;
use super::{Broken, steps_to_build};
use crate::error::Result;
use crate::flow::load;
use crate::flow::promote::plan::Plan;
use crate::ident::{Layer, TableName};
use crate::model::Project;
use crate::warehouse;
use arrow::datatypes::{Schema, SchemaRef};
use std::collections::BTreeMap;

pub(super) fn foresee(
    project: &Project,
    decided: &Plan<'_>,
    schema: &str,
    outlooks: &mut BTreeMap<TableName, Outlook>,
) -> Result<()> {
    let columns = |of: fn(&Outlook) -> Option<&SchemaRef>| -> BTreeMap<TableName, Schema> {
        let gold = outlooks.iter().filter(|(table, _)| table.layer() == Layer::Gold);
        gold.filter_map(|(table, outlook)| Some((table.clone(), of(outlook)?.as_ref().clone()))).collect()
    };
    let before = load::targets(project, &columns(|outlook| outlook.before.as_ref()));
    let after = load::targets(project, &columns(|outlook| outlook.after.as_ref()));
    for table in steps_to_build(decided).map(|step| &step.model.table) {
        let (Some(target), Some(outlook)) = (after.get(table), outlooks.get_mut(table)) else { continue };
        if let Err(refusal) = warehouse::foreseen(schema, before.get(table), target) {
            let why = match refusal.hint_text() {
                Some(hint) => format!("{refusal}; {hint}"),
                None => refusal.to_string(),
            };
            outlook.breaks.push(Broken { what: "postgres".into(), why });
        }
    }
    Ok(())
}
