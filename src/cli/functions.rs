//! `lake functions`

use super::connections::Connections;
use super::output::Answer;
use crate::engine::Function;
use crate::error::{Error, Result};
use crate::ident::known_names;
use serde_json::json;

/// List the functions SQL may call in queries, models and streams
#[derive(clap::Args)]
pub struct Args {
    /// Only those with this in their name or description
    #[arg(value_name = "PATTERN")]
    pattern: Option<String>,
}

pub fn run(args: &Args, connections: &mut Connections) -> Result<Answer> {
    let all = connections.engine()?.session().functions();
    let wanted = args.pattern.as_deref().unwrap_or_default().to_lowercase();
    let fits = |text: &String| text.to_lowercase().contains(&wanted);
    let named = |function: &&Function| fits(&function.name) || function.aliases.iter().any(fits);
    let found: Vec<&Function> = all.iter().filter(|function| named(function) || fits(&function.summary)).collect();
    if found.is_empty() {
        let names = all.iter().map(|function| function.name.as_str());
        return Err(Error::config(format!("no function is about `{wanted}`")).hint(match wanted.len() {
            0..=2 => "ask without a pattern for all of them".to_string(),
            _ => known_names(&wanted, names),
        }));
    }
    let lines: Vec<String> = found.iter().map(|function| line(function)).collect();
    let entries = found.iter().map(|function| {
        json!({
            "name": function.name,
            "aliases": function.aliases,
            "kind": function.kind,
            "syntax": function.syntax,
            "summary": function.summary,
        })
    });
    Answer::new(lines.join("\n"), &json!({ "functions": entries.collect::<Vec<_>>() }))
}

fn line(function: &Function) -> String {
    let aliases = match function.aliases.is_empty() {
        true => String::new(),
        false => format!(" (also {})", function.aliases.join(", ")),
    };
    format!("{}{aliases}  {}\n    {}", function.syntax, function.kind, function.summary).trim_end().to_string()
}
