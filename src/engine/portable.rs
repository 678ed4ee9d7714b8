//! Expressions that another database reads as this one does: made of plain words, numbers, texts and operators.
//!
//! Written anew from its parts with a blank between any two, such an expression is the same parts there and ends nothing
//! but itself, so that it can stand in a statement. The parser's own writing of what it has read is no such thing: it
//! takes two quotes within a text for one that was escaped already.

use super::fault::Fault;
use super::sql;
use crate::ident::{literal, quote};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Word};

/// One expression, whole and nothing behind it; comments are left out. Refused: what is no expression, what is quoted in
/// another way than standard SQL does, and queries.
pub fn expression(text: &str) -> Result<String, Fault> {
    sql::check_expression(text)?;
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize().map_err(|error| Fault::new(error.message))?;
    let parts = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).map(part);
    Ok(parts.collect::<Result<Vec<_>, _>>()?.join(" "))
}

fn part(token: &Token) -> Result<String, Fault> {
    match token {
        Token::Word(found) => word(found),
        Token::Number(digits, false) => Ok(digits.clone()),
        Token::SingleQuotedString(text) if !text.contains('\0') => Ok(literal(text)),
        sign if is_plain(sign) => Ok(sign.to_string()),
        other => Err(Fault::new(format!("`{other}` is not the same in every database"))),
    }
}

fn word(word: &Word) -> Result<String, Fault> {
    let is_plain = || word.value.chars().all(|c| c.is_alphanumeric() || c == '_');
    match word.quote_style {
        None if word.keyword == Keyword::SELECT => Err(Fault::new("it looks at one row and cannot hold a query")),
        None if is_plain() => Ok(word.value.clone()),
        Some('"') if !word.value.contains('\0') => Ok(quote(&word.value)),
        _ => Err(Fault::new(format!("the name `{word}` is not the same in every database"))),
    }
}

/// Brackets, and operators of which Postgres has the same.
fn is_plain(sign: &Token) -> bool {
    use Token::*;
    let grouping = matches!(sign, LParen | RParen | LBracket | RBracket | Comma | Period | DoubleColon);
    let comparing = matches!(sign, Eq | Neq | Lt | Gt | LtEq | GtEq);
    let matching = matches!(sign, Tilde | TildeAsterisk | ExclamationMarkTilde | ExclamationMarkTildeAsterisk);
    let computing = matches!(sign, Plus | Minus | Mul | Div | Mod | StringConcat | Arrow | LongArrow);
    grouping || comparing || matching || computing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_written_anew_part_by_part() {
        let table = [
            ("price>0", "price > 0"),
            ("a <> 'it''s' -- why\n and /* so */ b is not null", "a <> 'it''s' and b is not null"),
            (r#""Größe" || größe <> '\'"#, r#""Größe" || größe <> '\'"#),
            (r#""a""b" = 1.5e3"#, r#""a""b" = 1.5e3"#),
            ("x::decimal(10,2) in (1, -1)", "x :: decimal ( 10 , 2 ) in ( 1 , - 1 )"),
            ("day >= date '2020-01-01'", "day >= date '2020-01-01'"),
            ("case when a ~ '^x' then b else not c end", "case when a ~ '^x' then b else not c end"),
            ("a <> '''' or b <> ''''''", "a <> '''' or b <> ''''''"),
            (r"c <> '\''' and d", r"c <> '\''' and d"),
        ];
        for (text, expected) in table {
            assert_eq!(expression(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_could_mean_something_else_is_refused() {
        for bad in [
            "",
            "a > 0); drop table t; --",
            "a > 0; drop table t",
            "a > 0) or (b > 0",
            "a > (select max(a) from t)",
            "exists (select 1)",
            r"a = E'\''",
            "a = $$x$$",
            "a = $1",
            "a = ?",
            "a = :b",
            "`a` > 0",
            "a#b > 0",
            "a = N'x'",
            "a = X'00'",
            "a = 'x\0'",
            "a ^ b > 0",
            "a > 0 /* open",
        ] {
            assert!(expression(bad).is_err(), "{bad}: {:?}", expression(bad));
        }
    }
}
