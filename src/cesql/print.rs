//! A tree as text that reads back as the same tree: every operation in parentheses, every keyword in capitals.

use std::fmt;
use std::fmt::Write;

use super::ast::Kind;
use super::ast::Node;
use super::like::Item;
use super::like::Pattern;

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Boolean(true) => f.write_str("TRUE"),
            Kind::Boolean(false) => f.write_str("FALSE"),
            Kind::Integer(value) => write!(f, "{value}"),
            Kind::Text(text) => string(f, text.chars().map(Item::Character), false),
            Kind::Attribute(name) => write!(f, "{name}"),
            Kind::Exists(name) => write!(f, "EXISTS {name}"),
            Kind::Not(operand) => write!(f, "NOT {operand}"),
            // A minus right before digits would be their sign.
            Kind::Negate(operand) => write!(f, "- {operand}"),
            Kind::Like { operand, negated, pattern } => {
                write!(f, "({operand} {}LIKE {pattern})", not(*negated))
            }
            Kind::In { operand, negated, set } => {
                write!(f, "({operand} {}IN (", not(*negated))?;
                list(f, set)?;
                f.write_str("))")
            }
            Kind::Chain { first, rest } => {
                write!(f, "({first}")?;
                for (operator, operand) in rest {
                    write!(f, " {} {operand}", operator.as_str())?;
                }
                f.write_char(')')
            }
            Kind::Call { name, function: _, arguments } => {
                write!(f, "{name}(")?;
                list(f, arguments)?;
                f.write_char(')')
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        string(f, self.items(), true)
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

fn list(f: &mut fmt::Formatter<'_>, nodes: &[Node]) -> fmt::Result {
    for (index, node) in nodes.iter().enumerate() {
        write!(f, "{}{node}", if index == 0 { "" } else { ", " })?;
    }
    Ok(())
}

fn string(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = Item>, pattern: bool) -> fmt::Result {
    f.write_char('\'')?;
    for item in items {
        match item {
            Item::AnyText => f.write_char('%')?,
            Item::AnyCharacter => f.write_char('_')?,
            Item::Character(character) => {
                if matches!(character, '\'' | '\\') || pattern && matches!(character, '%' | '_') {
                    f.write_char('\\')?;
                }
                f.write_char(character)?;
            }
        }
    }
    f.write_char('\'')
}
