//! The grammar's rules in human words.

use crate::grammar::Rule;

/// A word that stands for many rules.
pub(super) const STATEMENT: &str = "a statement";
pub(super) const EXPRESSION: &str = "an expression";
pub(super) const NAME: &str = "a name";
pub(super) const OPERATOR: &str = "an operator";
pub(super) const END: &str = "the end of the statement";

/// What pest could have gone on with, in words, the most telling first.
pub(super) fn words(rules: &[Rule]) -> Vec<&'static str> {
    let mut out: Vec<(u8, &'static str)> = rules.iter().filter_map(|r| word(*r)).collect();
    out.sort_unstable();
    out.dedup();
    let has = |w: &str| out.iter().any(|(_, o)| *o == w);
    let (statement, expression) = (has(STATEMENT), has(EXPRESSION));
    out.into_iter()
        .map(|(_, w)| w)
        .filter(|w| match *w {
            NAME | "`[`" | "`(`" | "`-`" | "`_`" => !statement && !expression,
            "`in`" => !expression,
            EXPRESSION => !statement,
            // Where a statement can begin, so can the words that begin one.
            w if statement => w == STATEMENT || w == "`}`",
            _ => true,
        })
        .collect()
}

/// A rule's rank and its word.
fn word(rule: Rule) -> Option<(u8, &'static str)> {
    Some(match rule {
        Rule::header
        | Rule::dims
        | Rule::constant
        | Rule::net
        | Rule::for_each
        | Rule::chain
        | Rule::guide
        | Rule::fit
        | Rule::weight
        | Rule::variable
        | Rule::kw_dim
        | Rule::kw_const
        | Rule::kw_model
        | Rule::kw_net
        | Rule::kw_for
        | Rule::kw_chain
        | Rule::kw_guide
        | Rule::kw_fit
        | Rule::kw_weight
        | Rule::file
        | Rule::body
        | Rule::statement => (0, STATEMENT),
        Rule::expr
        | Rule::number
        | Rule::conditional
        | Rule::matching
        | Rule::kw_if
        | Rule::kw_match
        | Rule::indexed
        | Rule::array
        | Rule::group
        | Rule::reference
        | Rule::not
        | Rule::argument
        | Rule::subscript
        | Rule::place
        | Rule::range
        | Rule::arm => (1, EXPRESSION),
        Rule::name
        | Rule::target
        | Rule::size
        | Rule::setting
        | Rule::field
        | Rule::net_line
        | Rule::outputs
        | Rule::family => (2, NAME),
        Rule::type_ => (2, "a type"),
        Rule::kw_param | Rule::kw_latent | Rule::kw_data | Rule::kw_given | Rule::kw_noise => (3, "a role"),
        Rule::kw_global => (3, "`global`"),
        Rule::kw_then => (4, "`then`"),
        Rule::kw_else => (4, "`else`"),
        Rule::kw_each => (4, "`each`"),
        Rule::kw_in => (4, "`in`"),
        Rule::kw_by => (4, "`by`"),
        Rule::arrow => (4, "`->`"),
        Rule::becomes => (4, "`=>`"),
        Rule::dots => (4, "`..`"),
        Rule::comma | Rule::between => (5, "`,`"),
        Rule::tilde | Rule::random => (5, "`~`"),
        Rule::equal | Rule::equation => (5, "`=`"),
        Rule::colon => (5, "`:`"),
        Rule::open | Rule::block => (6, "`{`"),
        Rule::left | Rule::arguments | Rule::inputs => (6, "`(`"),
        Rule::left_square | Rule::places | Rule::subscripts => (6, "`[`"),
        Rule::close => (6, "`}`"),
        Rule::right => (6, "`)`"),
        Rule::right_square => (6, "`]`"),
        Rule::neg => (6, "`-`"),
        Rule::wildcard => (6, "`_`"),
        Rule::or
        | Rule::and
        | Rule::le
        | Rule::ge
        | Rule::eq
        | Rule::ne
        | Rule::lt
        | Rule::gt
        | Rule::add
        | Rule::sub
        | Rule::mul
        | Rule::div
        | Rule::pow => (7, OPERATOR),
        Rule::separator | Rule::EOI => (8, END),
        _ => return None,
    })
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn list(words: &[&str]) -> String {
    match words {
        [] => "something else".into(),
        [one] => (*one).into(),
        [start @ .., last] => format!("{} or {last}", start.join(", ")),
    }
}
