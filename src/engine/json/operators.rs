//! `->` and `->>`: what lies at a key, an index or a path, as JSON and as text.
//!
//! They bind closer than any other operator, `::` among them, so that `payload ->> 'n'::int = 7` is what it looks like. The
//! parser has them bind looser than `=`; they are put in brackets before it reads them.

use super::{Wanted, function};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// Makes the operators calls of functions.
#[derive(Debug)]
pub(in crate::engine) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, found: RawBinaryExpr, _: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let wanted = match found.op {
            BinaryOperator::Arrow => Wanted::Json,
            BinaryOperator::LongArrow => Wanted::Text,
            _ => return Ok(PlannerResult::Original(found)),
        };
        Ok(PlannerResult::Planned(function(wanted).call(vec![found.left, found.right])))
    }
}

/// Words that stand in front of an expression, and so name no function before a bracket.
const BEFORE_EXPRESSIONS: [Keyword; 26] = [
    Keyword::ALL,
    Keyword::AND,
    Keyword::BETWEEN,
    Keyword::BY,
    Keyword::CASE,
    Keyword::DISTINCT,
    Keyword::ELSE,
    Keyword::ESCAPE,
    Keyword::FROM,
    Keyword::HAVING,
    Keyword::ILIKE,
    Keyword::IN,
    Keyword::IS,
    Keyword::LIKE,
    Keyword::LIMIT,
    Keyword::NOT,
    Keyword::OFFSET,
    Keyword::ON,
    Keyword::OR,
    Keyword::QUALIFY,
    Keyword::SELECT,
    Keyword::THEN,
    Keyword::TO,
    Keyword::WHEN,
    Keyword::WHERE,
    Keyword::XOR,
];

/// The statement with brackets around each row of arrows whose operands are plain.
pub(in crate::engine) fn bracketed(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| is_arrow(&token.token)) {
        return tokens;
    }
    let mut written: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len() + 16);
    let mut at = 0;
    while at < tokens.len() {
        let end = end_of_steps(&tokens, at);
        match (end > at).then(|| start_of_operand(&written)).flatten() {
            Some(start) => {
                let span = written[start].span;
                written.insert(start, TokenWithSpan::new(Token::LParen, span));
                written.extend_from_slice(&tokens[at..end]);
                written.push(TokenWithSpan::new(Token::RParen, tokens[end - 1].span));
                at = end;
            }
            None => {
                written.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    written
}

fn is_arrow(token: &Token) -> bool {
    matches!(token, Token::Arrow | Token::LongArrow)
}

/// Behind the arrows that begin at `at`, each with its key or index; `at` itself when none does.
fn end_of_steps(tokens: &[TokenWithSpan], at: usize) -> usize {
    let mut end = at;
    loop {
        let mut next = (end..tokens.len()).filter(|at| !is_blank(&tokens[*at].token));
        let (arrow, step) = (next.next(), next.next());
        let is_step = |step: &usize| matches!(tokens[*step].token, Token::SingleQuotedString(_) | Token::Number(..));
        match (arrow.filter(|arrow| is_arrow(&tokens[*arrow].token)), step.filter(is_step)) {
            (Some(arrow), Some(step)) if end > at || arrow == at => end = step + 1,
            _ => return end,
        }
    }
}

/// Where the operand begins that ends with these tokens: a name, a text, a call or something in brackets, with what is
/// tied to it by `.`, `::` or `[]`.
fn start_of_operand(tokens: &[TokenWithSpan]) -> Option<usize> {
    let mut end = tokens.len();
    loop {
        let last = last_before(tokens, end)?;
        let start = match &tokens[last].token {
            Token::RParen => {
                let open = opening(tokens, last)?;
                match last_before(tokens, open).map(|at| (at, &tokens[at].token)) {
                    // Behind a call of an aggregate or a window function, which ends before it.
                    Some((at, token)) if is_clause(token) => {
                        end = at;
                        continue;
                    }
                    Some((at, token)) if is_name(token) => at,
                    _ => open,
                }
            }
            Token::RBracket => {
                end = opening(tokens, last)?;
                continue;
            }
            Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) | Token::Number(..) => last,
            token if is_type_of_two_words(tokens, last) || is_clause(token) => return None,
            token if is_name(token) => last,
            _ => return None,
        };
        match last_before(tokens, start).filter(|at| matches!(tokens[*at].token, Token::Period | Token::DoubleColon)) {
            Some(tie) => end = tie,
            None => return Some(start),
        }
    }
}

fn is_name(token: &Token) -> bool {
    let is_keyword = |word: &Word| word.keyword == Keyword::END || BEFORE_EXPRESSIONS.contains(&word.keyword);
    matches!(token, Token::Word(word) if word.quote_style.is_some() || !is_keyword(word))
}

fn is_clause(token: &Token) -> bool {
    matches!(token, Token::Word(word) if matches!(word.keyword, Keyword::OVER | Keyword::FILTER))
}

/// `double precision`, `character varying` and the like, whose begin nobody can tell from here.
fn is_type_of_two_words(tokens: &[TokenWithSpan], last: usize) -> bool {
    let of = |at: usize| match &tokens[at].token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.keyword),
        _ => None,
    };
    let second = matches!(of(last), Some(Keyword::PRECISION | Keyword::VARYING | Keyword::ZONE));
    second && last_before(tokens, last).is_some_and(|before| of(before).is_some())
}

fn is_blank(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_))
}

fn last_before(tokens: &[TokenWithSpan], end: usize) -> Option<usize> {
    tokens[..end].iter().rposition(|token| !is_blank(&token.token))
}

/// The bracket that the one at `close` closes.
fn opening(tokens: &[TokenWithSpan], close: usize) -> Option<usize> {
    let mut open = 0_usize;
    tokens[..=close].iter().rposition(|token| {
        match token.token {
            Token::RParen | Token::RBracket => open += 1,
            Token::LParen | Token::LBracket => open = open.saturating_sub(1),
            _ => {}
        }
        open == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    #[test]
    fn arrows_bind_closest() {
        let table = [
            ("a->>'x' = 'y'", "(a->>'x') = 'y'"),
            ("'y' = t.a -> 'x' ->> 0 and b", "'y' = (t.a -> 'x' ->> 0) and b"),
            ("a->>'x' || ' ' || \"B c\" ->> 'y'", "(a->>'x') || ' ' || (\"B c\" ->> 'y')"),
            ("not (a or b) -> 'x' in (f (a)->'x', 2)", "not ((a or b) -> 'x') in ((f (a)->'x'), 2)"),
            ("s.f(a, g(b))[1].c::text->>'x'", "(s.f(a, g(b))[1].c::text->>'x')"),
            ("(a->'x')->'y'::int", "(((a->'x'))->'y')::int"),
            ("a /* c */ -> -- d\n 'x' is null", "(a /* c */ -> -- d\n 'x') is null"),
            ("max(j) over (partition by a) ->> 'x'", "(max(j) over (partition by a) ->> 'x')"),
            ("max(j) filter (where a) over (b) ->> 'x'", "(max(j) filter (where a) over (b) ->> 'x')"),
            ("a xor (j) ->> 'x'", "a xor ((j) ->> 'x')"),
            // Left as they are: a step that is not plain, an operand nobody can tell from here, none at all.
            ("a -> b = 1", "a -> b = 1"),
            ("case when a then b end ->> 'x'", "case when a then b end ->> 'x'"),
            ("j::double precision ->> 'x'", "j::double precision ->> 'x'"),
            ("-> 'x'", "-> 'x'"),
            ("a) -> 'x'", "a) -> 'x'"),
            ("a = b", "a = b"),
        ];
        for (sql, expected) in table {
            let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().unwrap();
            let found: String = bracketed(tokens).iter().map(|token| token.token.to_string()).collect();
            assert_eq!(found, expected, "{sql}");
        }
    }
}
