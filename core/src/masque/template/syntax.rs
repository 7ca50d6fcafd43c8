//! The parts of a template, and its expansion (RFC 6570, level 3).

use std::fmt::Write;

use super::TemplateError;
use crate::masque::Target;

/// Most bytes of a template; with any target in it, a URI stays far below the 65,534
/// bytes that [`http::Uri`] takes.
pub(super) const MAX_TEMPLATE: usize = 4096;

/// A piece of path and query.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// What stands there as it is; never empty.
    Text(Box<str>),
    /// `{x,y}`: the values, with commas between them.
    Simple(Vec<Variable>),
    /// `{?x,y}` and `{&x,y}`: parameters with their names.
    Form {
        /// Whether it begins the query.
        begins: bool,
        /// Its variables.
        variables: Vec<Variable>,
    },
}

/// A variable of a template.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Variable {
    Host,
    Port,
    /// One of which nothing is known: undefined.
    Other(Box<str>),
}

impl Variable {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Host => "target_host",
            Self::Port => "target_port",
            Self::Other(name) => name,
        }
    }

    pub(super) fn is_target(&self) -> bool {
        !matches!(self, Self::Other(_))
    }

    fn value(&self, target: &Target) -> Option<String> {
        match self {
            Self::Host => Some(encoded(&target.host.to_string())),
            Self::Port => Some(target.port.to_string()),
            Self::Other(_) => None,
        }
    }
}

/// Length and characters of a whole template.
pub(super) fn check_text(text: &str) -> Result<(), TemplateError> {
    if text.len() > MAX_TEMPLATE {
        return Err(TemplateError::Length(text.len()));
    }
    //= https://www.rfc-editor.org/rfc/rfc9298#section-2
    // All characters of a template are ASCII from 0x21 to 0x7E.
    let graphic = |character: &char| !character.is_ascii_graphic();
    match text.chars().find(graphic) {
        Some(character) => Err(TemplateError::Character(character)),
        None => Ok(()),
    }
}

/// The parts of path and query.
pub(super) fn parse(text: &str) -> Result<Vec<Part>, TemplateError> {
    //= https://www.rfc-editor.org/rfc/rfc9298#section-2
    // The path is not empty and begins with a slash.
    if !text.starts_with('/') {
        return Err(TemplateError::Path(text.into()));
    }
    let mut parts: Vec<Part> = Vec::new();
    let mut in_query = false;
    // `{?..}` that expands to nothing, where there was one.
    let mut nothing = None;
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(expression) = nothing.take() {
            return Err(TemplateError::Empty(expression));
        }
        let end = rest.find(['{', '}']).unwrap_or(rest.len());
        let (literal, after) = rest.split_at(end);
        if !literal.is_empty() {
            check_literal(literal)?;
            in_query |= literal.contains('?');
            parts.push(Part::Text(literal.into()));
            rest = after;
            continue;
        }
        let braces = || TemplateError::Braces(rest.into());
        let (inside, after) = rest
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'))
            .filter(|(inside, _)| !inside.contains('{'))
            .ok_or_else(braces)?;
        let part = expression(inside, in_query)?;
        match (&part, parts.last()) {
            (Part::Simple(_), Some(Part::Simple(_) | Part::Form { .. })) => {
                return Err(TemplateError::Adjacent(inside.into()));
            }
            (
                Part::Form {
                    begins: true,
                    variables,
                },
                _,
            ) => {
                in_query = true;
                if !variables.iter().any(Variable::is_target) {
                    nothing = Some(inside.into());
                }
            }
            _ => {}
        }
        parts.push(part);
        rest = after;
    }
    //= https://www.rfc-editor.org/rfc/rfc9298#section-2
    // A template contains both variables, `target_host` and `target_port`.
    for (variable, name) in [
        (Variable::Host, "target_host"),
        (Variable::Port, "target_port"),
    ] {
        match variables(&parts).filter(|one| **one == variable).count() {
            0 => return Err(TemplateError::Missing(name)),
            1 => {}
            _ => return Err(TemplateError::Repeated(name)),
        }
    }
    Ok(parts)
}

fn variables(parts: &[Part]) -> impl Iterator<Item = &Variable> {
    parts.iter().flat_map(|part| match part {
        Part::Text(_) => &[][..],
        Part::Simple(variables) | Part::Form { variables, .. } => variables,
    })
}

fn check_literal(literal: &str) -> Result<(), TemplateError> {
    if let Some(at) = literal.find('#') {
        let (_, fragment) = literal.split_at(at);
        return Err(TemplateError::Fragment(fragment.into()));
    }
    //= https://www.rfc-editor.org/rfc/rfc6570#section-2.1
    // These characters are not in the grammar of literals.
    let outside = |character| matches!(character, '"' | '<' | '>' | '\\' | '^' | '`' | '|');
    if let Some(character) = literal.chars().find(|character| outside(*character)) {
        return Err(TemplateError::Character(character));
    }
    match broken_percent(literal) {
        Some(broken) => Err(TemplateError::Percent(broken.into())),
        None => Ok(()),
    }
}

/// The first `%` that has not two digits behind it, with what is there.
fn broken_percent(text: &str) -> Option<&str> {
    let fine = |bytes: &[u8]| bytes.len() == 3 && bytes.iter().skip(1).all(u8::is_ascii_hexdigit);
    text.match_indices('%').find_map(|(at, _)| {
        let piece = text.get(at..(at + 3).min(text.len()))?;
        (!fine(piece.as_bytes())).then_some(piece)
    })
}

/// What is between two braces.
fn expression(inside: &str, in_query: bool) -> Result<Part, TemplateError> {
    let mut list = inside;
    let mut operator = None;
    if let Some(first) = inside.chars().next()
        && "+#./;?&=,!@|".contains(first)
    {
        operator = Some(first);
        list = inside.get(1..).unwrap_or_default();
    }
    match operator {
        //= https://www.rfc-editor.org/rfc/rfc9298#section-2
        // Reserved and fragment expansion, and those with label, path segment and
        // path-style parameter prefix, are not allowed. RFC 6570 keeps the others back.
        Some(operator) if operator != '?' && operator != '&' => {
            return Err(TemplateError::Operator {
                operator,
                expression: inside.into(),
            });
        }
        Some(operator) if in_query != (operator == '&') => {
            return Err(TemplateError::Query(inside.into()));
        }
        _ => {}
    }
    let variables = list.split(',').map(variable).collect::<Result<_, _>>()?;
    Ok(match operator {
        None => Part::Simple(variables),
        Some(operator) => Part::Form {
            begins: operator == '?',
            variables,
        },
    })
}

fn variable(text: &str) -> Result<Variable, TemplateError> {
    //= https://www.rfc-editor.org/rfc/rfc6570#section-2.4
    // Modifiers are of level 4; RFC 9298 allows level 3 and below.
    if text.contains([':', '*']) {
        return Err(TemplateError::Modifier(text.into()));
    }
    //= https://www.rfc-editor.org/rfc/rfc6570#section-2.3
    // A name has letters, digits, `_` and percent-encoding, and dots between those.
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'%');
    let is_piece = |piece: &str| !piece.is_empty() && piece.bytes().all(is_letter);
    if !text.split('.').all(is_piece) || broken_percent(text).is_some() {
        return Err(TemplateError::Variable(text.into()));
    }
    Ok(match text {
        "target_host" => Variable::Host,
        "target_port" => Variable::Port,
        other => Variable::Other(other.into()),
    })
}

/// Path and query with the target in the place of the variables.
pub(super) fn expand(parts: &[Part], target: &Target) -> String {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Simple(variables) => {
                //= https://www.rfc-editor.org/rfc/rfc6570#section-3.2.2
                // The values that are defined, with commas between them.
                let values = variables.iter().filter_map(|one| one.value(target));
                out.push_str(&values.collect::<Vec<_>>().join(","));
            }
            Part::Form { begins, variables } => {
                //= https://www.rfc-editor.org/rfc/rfc6570#section-3.2.8
                // `?` or `&`, then `name=value` of each that is defined, joined by `&`.
                let mut mark = if *begins { '?' } else { '&' };
                for variable in variables {
                    if let Some(value) = variable.value(target) {
                        out.push(mark);
                        out.push_str(variable.name());
                        out.push('=');
                        out.push_str(&value);
                        mark = '&';
                    }
                }
            }
        }
    }
    out
}

/// Whether a byte stands in a value as it is.
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn encoded(value: &str) -> String {
    //= https://www.rfc-editor.org/rfc/rfc6570#section-3.2.1
    // All but unreserved characters are percent-encoded.
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if is_unreserved(byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
